"""Samplers against the pseudo-code of paper 002 (Tables 2, 3 and 4), step by step as printed."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import MienError
from mien.expression.head import DenseLayerSpec, HeadOutputSpec, HeadPartSpec, HeadSpec, Prediction
from mien.personal.samples import Array, BaseHead
from mien.personal.sampling import SAMPLERS, Sampler, choose, dropout_uncertainty, gsx, gsy, igs, mcdue, outputs_of

Point = tuple[int, ...]
RANDOM = np.random.default_rng(0)


def squared(a: Point, b: Point) -> int:
    """Exact in whole numbers; squaring changes neither order nor ties."""
    return sum((one - other) ** 2 for one, other in zip(a, b, strict=True))


def closest_to_centroid(points: list[Point]) -> int:
    """In N-fold coordinates, so that the centroid is whole too."""
    total = tuple(map(sum, zip(*points, strict=True)))
    scaled = [tuple(len(points) * value for value in point) for point in points]
    return min(range(len(points)), key=lambda n: squared(scaled[n], total))


def as_printed(points: list[Point], count: int, distance: Callable[[int, int], int]) -> list[int]:
    """Tables 2 and 3: `points` say where to start, `distance` is that between two rows."""
    chosen = [closest_to_centroid(points)]
    unlabelled = [n for n in range(len(points)) if n != chosen[0]]
    while len(chosen) < count:
        best = max(unlabelled, key=lambda n: min(distance(n, m) for m in chosen))
        unlabelled.remove(best)
        chosen.append(best)
    return chosen


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[Point], list[Point], int]:
    """Features and outputs on a coarse grid, so that duplicates and ties are common, and K from 1 to N."""
    number = st.integers(-3, 3)
    size = draw(st.integers(1, 40))
    features = draw(st.lists(st.tuples(number, number, number), min_size=size, max_size=size))
    outputs = draw(st.lists(st.tuples(number, number), min_size=size, max_size=size))
    return features, outputs, draw(st.integers(1, size))


def floats(points: list[Point]) -> Array:
    return np.array(points, np.float32)


@settings(deadline=None, max_examples=60)
@given(pools())
def test_gsx_is_table_2(pool: tuple[list[Point], list[Point], int]) -> None:
    features, _, count = pool
    expected = as_printed(features, count, lambda n, m: squared(features[n], features[m]))
    assert gsx(floats(features), count).tolist() == expected


@settings(deadline=None, max_examples=60)
@given(pools())
def test_gsy_is_table_2_over_outputs(pool: tuple[list[Point], list[Point], int]) -> None:
    _, outputs, count = pool
    expected = as_printed(outputs, count, lambda n, m: squared(outputs[n], outputs[m]))
    assert gsy(floats(outputs), count).tolist() == expected


@settings(deadline=None, max_examples=60)
@given(pools())
def test_igs_is_table_3(pool: tuple[list[Point], list[Point], int]) -> None:
    features, outputs, count = pool
    expected = as_printed(
        outputs, count, lambda n, m: squared(features[n], features[m]) * squared(outputs[n], outputs[m])
    )
    assert igs(floats(features), floats(outputs), count).tolist() == expected


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.data())
def test_mcdue_is_table_4(deviations: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(deviations)))
    expected = sorted(range(len(deviations)), key=lambda n: -deviations[n])[:count]
    assert mcdue(np.array(deviations, np.float64), count).tolist() == expected


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_chooses_different_moments(sampler: Sampler) -> None:
    embeddings, predictions = floats([(i % 7, i % 3) for i in range(30)]), floats([(i % 4,) for i in range(30)])
    for count in (0, 1, 30):
        rows = choose(sampler, embeddings, predictions, count, RANDOM, np.ones(30))
        assert rows.dtype == np.int64
        assert len(set(rows.tolist())) == len(rows) == count


def test_random_follows_its_generator_and_nothing_else() -> None:
    pool = np.zeros((50, 2), np.float32), np.zeros((50, 1), np.float32)
    first, again, other = (choose("random", *pool, 20, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_more_than_there_are_is_refused(sampler: Sampler) -> None:
    pool = np.zeros((3, 2), np.float32), np.zeros((3, 1), np.float32)
    for count in (4, -1):
        with pytest.raises(MienError, match=f"{count} moments .* of 3"):
            choose(sampler, *pool, count, RANDOM, np.zeros(3))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    good, broken = np.zeros((3, 2), np.float32), np.full((3, 2), bad, np.float32)
    for sampler, pool in (("gsx", (broken, good)), ("gsy", (good, broken)), ("igs", (broken, good))):
        with pytest.raises(MienError, match="not finite"):
            choose(sampler, *pool, 1, RANDOM)
    with pytest.raises(MienError, match=r"uncertainty .* not finite"):
        mcdue(np.array([1.0, bad]), 1)


def test_what_a_sampler_lacks_is_named() -> None:
    pool = np.zeros((3, 2), np.float32), np.zeros((3, 1), np.float32)
    with pytest.raises(MienError, match="mcdue needs the uncertainty"):
        choose("mcdue", *pool, 1, RANDOM)
    with pytest.raises(MienError, match="no sampler 'best'"):
        choose("best", *pool, 1, RANDOM)  # type: ignore[arg-type]
    with pytest.raises(MienError, match="3 embeddings, 2 predictions"):
        igs(pool[0], pool[1][:2], 1)


def test_gsx_takes_320_of_10_000_in_a_second() -> None:
    embeddings = np.maximum(np.random.default_rng(0).normal(size=(10_000, 1152)), 0).astype(np.float32)

    def takes_s() -> float:
        started = time.thread_time()
        gsx(embeddings, 320)
        return time.thread_time() - started

    assert any(takes_s() <= 1.0 for _ in range(3))


# ---- uncertainty by dropout


def head(layers: int, outputs: tuple[str, ...] = ("valence",), size: int = 4) -> BaseHead:
    """Identity matrices, so that what is dropped can be seen; the classes' last layer too."""
    tensors: dict[str, Array] = {}
    specs = {}
    for output in outputs:
        stack = []
        for number in range(layers):
            units = size if number < layers - 1 or output == "classes" else 1
            tensors |= {
                f"{output}.{number}.weight": np.ones((units, size), np.float32)
                if units == 1
                else np.eye(size, dtype=np.float32),
                f"{output}.{number}.bias": np.zeros(units, np.float32),
            }
            stack.append(DenseLayerSpec(f"{output}.{number}.weight", f"{output}.{number}.bias"))
        part = HeadPartSpec(output, 0, size, tuple(stack))
        specs[output] = HeadOutputSpec("softmax" if output == "classes" else "linear", (part,))
    labels = ("neutral", "happiness", "sadness", "anger") if "classes" in outputs else ()
    return BaseHead(HeadSpec(**specs), tensors, labels, size, (-2.0, 2.0))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_uncertainty_grows_with_what_dropout_can_silence(layers: int) -> None:
    embeddings = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2]], np.float32)
    result = dropout_uncertainty(head(layers), embeddings, np.random.default_rng(0))
    assert result[0] == 0 < result[1] < result[2]


def test_uncertainty_of_one_layer_is_that_of_a_masked_sum() -> None:
    """Each of 4 numbers is 0 or 2 with π = 0.5: a standard deviation of 2, in a range of 4 one half of it."""
    embeddings = np.ones((400, 4), np.float32)
    result = dropout_uncertainty(head(1), embeddings, np.random.default_rng(0))
    assert np.sqrt(np.mean(result**2)) == pytest.approx(1.0, rel=0.02)


def test_several_outputs_add_their_variances() -> None:
    embeddings = np.ones((400, 4), np.float32)
    one = dropout_uncertainty(head(2), embeddings, np.random.default_rng(0))
    two = dropout_uncertainty(head(2, ("valence", "arousal")), embeddings, np.random.default_rng(0))
    assert np.mean(two**2) == pytest.approx(2 * np.mean(one**2), rel=0.05)


def test_uncertainty_of_classes_is_that_of_probabilities() -> None:
    embeddings = np.array([[0, 0, 0, 0], [3, 0, 0, 0], [300, 0, 0, 0]], np.float32)
    result = dropout_uncertainty(head(1, ("classes",)), embeddings, np.random.default_rng(0), passes=400)
    # Half of the time 0.25 each, else all on the first: its deviation 0.375, of the others 0.125.
    assert result[0] == 0 < result[1] < result[2]
    assert result[2] == pytest.approx(np.sqrt(0.375**2 + 3 * 0.125**2), rel=0.02)


def test_uncertainty_is_the_same_again_with_the_same_chance() -> None:
    embeddings = RANDOM.normal(size=(700, 4)).astype(np.float32)
    first, again = (dropout_uncertainty(head(2), embeddings, np.random.default_rng(5)) for _ in range(2))
    assert (first == again).all()


def test_outputs_of_a_prediction_are_points_in_the_same_units() -> None:
    half, one = np.full(2, 0.5, np.float32), np.ones(2, np.float32)
    both = Prediction(np.eye(2, dtype=np.float32), half, one, np.empty((2, 0), np.float32))
    assert outputs_of(head(1), both).tolist() == [[1, 0, 0.25, 0.5], [0, 1, 0.25, 0.5]]
    classes = Prediction(both.probabilities, None, None, both.part_confidences)
    assert outputs_of(head(1), classes).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(("passes", "probability"), [(1, 0.5), (50, 0.0), (50, 1.0)])
def test_dropout_that_says_nothing_is_refused(passes: int, probability: float) -> None:
    with pytest.raises(MienError, match="says nothing of uncertainty"):
        dropout_uncertainty(head(1), np.ones((2, 4), np.float32), RANDOM, passes, probability)
