"""Valence and arousal as a weighted mean of published coordinates."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mien.expression.circumplex import RUSSELL_MEHRABIAN_1977, circumplex

LABELS = tuple(RUSSELL_MEHRABIAN_1977)
COORDINATES = np.array([RUSSELL_MEHRABIAN_1977[label] for label in LABELS], np.float32)
weights = arrays(np.float32, st.tuples(st.integers(1, 5), st.just(len(LABELS))), elements=st.floats(0.0, 1.0, width=32))


def normalised(values: np.ndarray) -> np.ndarray:
    values = values + np.float32(1e-3)
    return values / values.sum(axis=1, keepdims=True)


def test_a_certain_class_gives_its_own_coordinates() -> None:
    valence, arousal = circumplex(np.eye(len(LABELS), dtype=np.float32), COORDINATES)
    for i, label in enumerate(LABELS):
        assert (valence[i], arousal[i]) == tuple(np.float32(RUSSELL_MEHRABIAN_1977[label]))


def test_neutral_is_the_origin_and_signs_are_as_everyone_expects() -> None:
    assert RUSSELL_MEHRABIAN_1977["neutral"] == (0.0, 0.0)
    for label in ("anger", "fear", "disgust", "sadness"):
        assert RUSSELL_MEHRABIAN_1977[label][0] < 0
    assert RUSSELL_MEHRABIAN_1977["happiness"][0] > 0
    assert RUSSELL_MEHRABIAN_1977["sadness"][1] < 0 < RUSSELL_MEHRABIAN_1977["anger"][1]


@given(weights)
def test_values_stay_within_the_coordinates(values: np.ndarray) -> None:
    for column, result in enumerate(circumplex(normalised(values), COORDINATES)):
        assert result.dtype == np.float32
        assert result.shape == (len(values),)
        assert (result >= COORDINATES[:, column].min() - 1e-6).all()
        assert (result <= COORDINATES[:, column].max() + 1e-6).all()


@given(weights, st.permutations(range(len(LABELS))))
def test_the_order_of_the_classes_does_not_matter(values: np.ndarray, order: list[int]) -> None:
    probabilities = normalised(values)
    shuffled = circumplex(probabilities[:, order], COORDINATES[order])
    np.testing.assert_allclose(shuffled, circumplex(probabilities, COORDINATES), atol=1e-6)


@given(weights, weights, st.floats(0.0, 1.0, width=32))
def test_a_mixture_of_two_faces_lies_between_them(a: np.ndarray, b: np.ndarray, share: float) -> None:
    first, second = normalised(a)[:1], normalised(b)[:1]
    mixed = circumplex(share * first + (1 - share) * second, COORDINATES)
    expected = np.array(circumplex(first, COORDINATES)) * share + np.array(circumplex(second, COORDINATES)) * (
        1 - share
    )
    np.testing.assert_allclose(mixed, expected, atol=1e-6)
