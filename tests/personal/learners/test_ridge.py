"""The ridge learner against its definition: exact under any order, anchored at the base head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import MienError
from mien.expression.head import Head, HeadSpec, softmax
from mien.personal.learners import dual, say_nothing
from mien.personal.learners.ridge import LastingRidge, Ridge, RidgeState
from mien.personal.samples import BaseHead, Samples, Tensors
from mien.personal.statistics import measure_statistics
from tests.personal.heads import HEADS, World, make_base, make_samples

kinds = pytest.mark.parametrize("kind", HEADS)


def with_statistics(base: BaseHead) -> BaseHead:
    faces = make_samples(base, 200, seed=9)
    return replace(base, tensors={**base.tensors, **measure_statistics(base, faces.embeddings, faces.classes)})


def close(found: Tensors, wanted: Tensors, tolerance: float = 1e-5) -> None:
    assert found.keys() <= wanted.keys()
    for name in found:
        np.testing.assert_allclose(found[name], wanted[name], rtol=tolerance, atol=tolerance, err_msg=name)


def fit(base: BaseHead, samples: Samples, ridge: Ridge | None = None) -> Tensors:
    return (ridge or Ridge()).fit(base, samples, None, 0, say_nothing)


@kinds
@pytest.mark.parametrize("statistics", [False, True])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), commands=st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_samples_come_and_go_in_any_order_as_if_fitted_at_once(
    kind: str, statistics: bool, seed: int, commands: list[int]
) -> None:
    base = make_base(kind, seed % 5)
    base = with_statistics(base) if statistics else base
    samples, random = make_samples(base, 40, seed, gaps=0.3), np.random.default_rng(seed)
    there: list[int] = []
    state = RidgeState(Ridge(), base, samples.take(slice(0, 0)))
    for command in commands:
        absent = [row for row in range(40) if row not in there]
        if command == 0 and there:
            row = int(random.integers(len(there)))
            state.remove(row)
            there.pop(row)
        elif len(absent) >= command:
            more = random.choice(absent, max(command, 1), replace=False)
            state.add(samples.take(more))
            there.extend(map(int, more))
    assert len(state) == len(there)
    shuffled = samples.take(random.permutation(there).astype(int))
    close(state.tensors(), fit(base, shuffled))


def test_hundreds_of_updates_do_not_wear_it_out() -> None:
    world = World()
    samples = world.mixed(world.person(0.5), 60)
    state = RidgeState(Ridge(0.05), world.base, samples)
    for _ in range(10):
        for row in range(60):
            state.remove(0)
            state.add(samples.take(slice(row, row + 1)))
    close(state.tensors(), fit(world.base, samples, Ridge(0.05)))


@kinds
def test_without_samples_it_is_the_base_head(kind: str) -> None:
    base = with_statistics(make_base(kind))
    found = fit(base, make_samples(base, 0))
    assert not any(name.startswith("statistics") for name in found)
    for name, values in found.items():
        np.testing.assert_array_equal(values, base.tensors[name])


@kinds
def test_a_heavy_anchor_keeps_the_base_head(kind: str) -> None:
    base = make_base(kind)
    close(fit(base, make_samples(base, 20), Ridge(1e9, 1e9)), base.tensors)


def test_values_are_the_minimum_of_what_is_to_be_lowered() -> None:
    base = with_statistics(make_base("twins", affect_range=(0.0, 5.0)))
    samples, ridge = make_samples(base, 15), Ridge(affect=0.7, bias=0.3)
    found = fit(base, samples, ridge)
    hidden = np.maximum(samples.embeddings[:, :5] @ base.tensors["v1.weight"].T + base.tensors["v1.bias"], 0)
    hidden = np.maximum(hidden @ base.tensors["v2.weight"].T + base.tensors["v2.bias"], 0).astype(np.float64)
    middle, variance = (base.tensors[f"statistics.valence.valence.{one}"] for one in ("mean", "variance"))
    bias_input = np.sqrt(0.3 * variance.sum())
    rows = np.column_stack([hidden - middle, np.full(15, bias_input)])
    base_values = hidden @ base.tensors["v3.weight"][0] + base.tensors["v3.bias"][0]
    shares = samples.weights / (rows**2).sum(axis=1)
    missing = 2.5 + 2.5 * samples.valence - base_values
    change = np.linalg.solve(rows.T @ (shares[:, None] * rows) + 0.7 * np.eye(6), rows.T @ (shares * missing))
    np.testing.assert_allclose(found["v3.weight"][0], base.tensors["v3.weight"][0] + change[:5], rtol=1e-4, atol=1e-5)
    new = rows @ change + base_values
    np.testing.assert_allclose(hidden @ found["v3.weight"][0] + found["v3.bias"][0], new, rtol=1e-4, atol=1e-4)


def test_classes_are_the_minimum_of_the_anchored_cross_entropy() -> None:
    base = make_base("one layer")
    samples = make_samples(base, 12)
    found = fit(base, samples, Ridge(classes=0.8))
    rows = np.column_stack([samples.embeddings, np.ones(12)]).astype(np.float64)
    first = np.column_stack([base.tensors["c.weight"], base.tensors["c.bias"]])
    now = np.column_stack([found["c.weight"], found["c.bias"]])
    shares = (samples.weights / (rows**2).sum(axis=1))[:, None]

    def slope(weights: np.ndarray) -> np.ndarray:  # of sum (w / n) 2 CE + lambda |change|^2
        return 2 * (shares * (softmax(rows @ weights.T) - samples.classes)).T @ rows + 1.6 * (weights - first)

    assert np.abs(slope(now)).max() < 0.01 * np.abs(slope(first)).max()


def test_few_steps_are_enough_where_the_base_head_is_often_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    samples = world.mixed(world.person(1.5), 200)

    def told() -> np.ndarray:
        head = Head(world.base.spec, fit(world.base, samples), 4, 60)
        return head.predict(samples.embeddings).probabilities

    soon = told()
    monkeypatch.setattr(dual, "ITERATIONS", 2000)
    assert np.abs(told() - soon).mean() < 0.006


@pytest.mark.parametrize("statistics", [False, True])
def test_one_label_is_seen_at_once(statistics: bool) -> None:
    world = World(statistics=statistics)
    person = world.person(0.8)
    moments = world.mixed(person, 200)
    told = Head(world.base.spec, world.base.tensors, 4, 60).predict(moments.embeddings).probabilities
    truth = moments.classes.argmax(axis=1)
    before = told[np.arange(200), truth]
    wrong = np.flatnonzero((before > 0.05) & (before < 0.5))
    assert len(wrong) > 5
    for row in wrong:
        one = moments.take(slice(row, row + 1))
        after = Head(world.base.spec, fit(world.base, one), 4, 60).predict(one.embeddings).probabilities
        assert after[0, truth[row]] > before[row] + 0.2


def test_what_the_base_head_knows_with_certainty_changes_nothing() -> None:
    base = make_base("one layer")
    sure = dict(base.tensors) | {"c.weight": base.tensors["c.weight"] * 200}
    base = replace(base, tensors=sure)
    samples = make_samples(base, 30)
    told = Head(base.spec, sure, 4, 10).predict(samples.embeddings).probabilities
    certain = told.max(axis=1) > 1 - 1e-7
    assert certain.sum() > 20
    taught = replace(samples, classes=np.asarray(told, np.float32)).take(certain)
    close({"c.weight": fit(base, taught)["c.weight"]}, sure)


def test_folds_are_fits_of_the_others() -> None:
    base = with_statistics(make_base("parts"))
    samples = make_samples(base, 30, gaps=0.2)
    folds = [np.arange(30) % 3 == fold for fold in range(3)]
    for fold, found in zip(folds, Ridge().fit_folds(base, samples, folds), strict=True):
        close(found, fit(base, samples.take(~fold)))


def test_a_last_layer_that_is_not_linear_is_refused() -> None:
    base = make_base("twins")
    valence = base.spec.valence
    assert valence is not None
    part = valence.parts[0]
    bent = type(part)(part.name, part.start, part.stop, (*part.layers[:1], part.layers[0]))
    spec = HeadSpec(valence=type(valence)("linear", (bent,)))
    with pytest.raises(MienError, match="last layer"):
        fit(replace(base, spec=spec), make_samples(base, 3))


@kinds
def test_what_lasts_gives_the_same_head_whatever_it_was_given_before(kind: str) -> None:
    base, lasting = make_base(kind), LastingRidge()
    samples, others = make_samples(base, 40, gaps=0.3), make_samples(base, 30, seed=1)
    relabelled = replace(samples, weights=np.roll(samples.weights, 1))
    for given_ in (
        samples.take(slice(0, 5)),
        samples.take(slice(0, 6)),
        samples,
        samples,
        relabelled,
        relabelled.take(slice(0, 30)),
        others,
        samples.take(np.arange(40)[::-1]),
        samples.take(slice(0, 0)),
        others,
    ):
        close(lasting.fit(base, given_, None, 0, say_nothing), fit(base, given_))
        folds = [np.arange(len(given_)) % 3 == fold for fold in range(3)]
        for found, wanted in zip(
            lasting.fit_folds(base, given_, folds), Ridge().fit_folds(base, given_, folds), strict=True
        ):
            close(found, wanted)


def test_what_lasts_goes_on_from_samples_that_it_knows_and_forgets_them() -> None:
    base, lasting = make_base("one layer"), LastingRidge()
    samples = make_samples(base, 12)
    state = lasting.state_of(base, samples.take(slice(0, 11)))
    assert lasting.state_of(base, samples) is state
    assert len(state) == 12
    lasting.forget()
    assert lasting.state_of(base, samples) is not state
