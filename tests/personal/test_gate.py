"""The gate: its score, its folds, and whom it lets through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.personal.gate import FOLDS, MINIMUM_SAMPLES, blocks_of, decide, held_out_score, score
from mien.personal.learners import LEARNERS, Tell, say_nothing
from mien.personal.learners.learner import Learner
from mien.personal.samples import BaseHead, Cancelled, Samples, Tensors
from tests.personal.heads import HEADS, World, make_base, make_samples

RIDGE, SGD = LEARNERS["ridge"], LEARNERS["sgd"]


class Memory(Learner):
    """Remembers which samples it saw; makes heads that are right by chance or always wrong."""

    name = "memory"

    def __init__(self, worse: float = 0.0) -> None:
        self.worse = worse
        self.seen: list[Samples] = []

    def fit(self, base: BaseHead, samples: Samples, start: Tensors | None, steps: int, tell: Tell) -> Tensors:
        del start, steps, tell
        self.seen.append(samples)
        names = [name for name in base.tensors if not name.startswith("statistics")]
        return {name: np.asarray(base.tensors[name] * (1 - self.worse), np.float32) for name in names}


@pytest.mark.parametrize("count", [10, 19, 20, 21, 64, 320])
def test_blocks_are_contiguous_even_and_in_time(count: int) -> None:
    samples = make_samples(make_base("parts"), count)
    shuffled = samples.take(np.random.default_rng(0).permutation(count))
    blocks = blocks_of(shuffled)
    in_time = blocks[np.argsort(shuffled.stamps_s)]
    assert (np.diff(in_time) >= 0).all()
    assert len(np.unique(blocks)) == min(count, 20)
    assert np.ptp(np.bincount(blocks)) <= 1
    assert np.ptp(np.bincount(blocks % FOLDS)) <= 4


def test_each_moment_is_told_by_a_head_that_did_not_learn_from_it() -> None:
    base, memory = make_base("shared layers"), Memory()
    samples = make_samples(base, 40)
    assert held_out_score(memory, base, samples) == pytest.approx(score(base, base.tensors, samples))
    assert len(memory.seen) == FOLDS
    seen = np.concatenate([one.stamps_s for one in memory.seen])
    assert (np.unique(seen, return_counts=True)[1] == FOLDS - 1).all()


def test_a_class_that_was_labelled_in_one_go_is_not_held_out_as_a_whole() -> None:
    world, memory = World(), Memory()
    held_out_score(memory, world.base, world.moments(world.means, np.repeat(np.arange(4), [8, 8, 8, 16])))
    assert all((one.classes.sum(axis=0) > 0).all() for one in memory.seen)


class Tilted(Memory):
    """Says a little more of the first class and less of the second, whatever it is taught."""

    name = "tilted"

    def fit(self, base: BaseHead, samples: Samples, start: Tensors | None, steps: int, tell: Tell) -> Tensors:
        tensors = dict(super().fit(base, samples, start, steps, tell))
        tensors["c.bias"] = tensors["c.bias"] + np.float32([0.1, -0.1, 0, 0])
        return tensors


@pytest.mark.parametrize("each", [1, 10])
@pytest.mark.parametrize(("first", "accepted"), [(11, False), (18, True)])
def test_a_gain_that_chance_explains_is_none(first: int, each: int, accepted: bool) -> None:
    world = World(statistics=False)
    blank = {name: np.zeros_like(values) for name, values in world.base.tensors.items()}
    base = replace(world.base, tensors=blank)
    classes = np.random.default_rng(0).permutation([0] * first + [1] * (20 - first)).repeat(each)
    decision = decide(Tilted(), base, world.moments(world.means, classes))
    assert decision.score_after > decision.score_before
    assert decision.accepted == accepted


def test_scores_are_those_of_the_formula() -> None:
    base = make_base("one layer", affect_range=(0.0, 1.0))
    still = {name: np.zeros_like(values) for name, values in base.tensors.items()}
    still["v.bias"] = np.float32([0.75])
    nothing = np.full(3, np.nan, np.float32)
    samples = replace(
        make_samples(base, 3),
        classes=np.eye(4, dtype=np.float32)[:3],
        valence=np.float32([0.5, 0.1, np.nan]),
        arousal=nothing,
        weights=np.float32([1, 3, 1]),
    )
    brier = 0.75**2 + 3 * 0.25**2
    rmse = np.sqrt((1 * 0 + 3 * 0.4**2) / 4)
    assert score(base, still, samples) == pytest.approx(((1 - brier / 2) + (1 - rmse / 2)) / 2, rel=1e-5)
    assert isnan(score(base, still, replace(samples, classes=np.full((3, 4), np.nan, np.float32), valence=nothing)))


@pytest.mark.parametrize("kind", HEADS)
def test_every_learner_is_judged_on_every_kind_of_head(kind: str) -> None:
    base = make_base(kind)
    samples = make_samples(base, 30, gaps=0.3)
    for name in ("ridge", "sgd"):
        decision = decide(LEARNERS[name], base, samples)
        assert 0 <= decision.score_after <= 1
        assert decision.score_before == pytest.approx(score(base, base.tensors, samples))


def test_too_few_moments_let_only_anchored_learners_through() -> None:
    world = World()
    few = world.mixed(world.means, MINIMUM_SAMPLES - 1)
    for learner, accepted in ((RIDGE, True), (SGD, False)):
        decision = decide(learner, world.base, few)
        assert (decision.accepted, isnan(decision.score_after)) == (accepted, True)
        assert "too few" in decision.reason
    unlabelled = replace(world.mixed(world.means, 30), classes=np.full((30, 4), np.nan, np.float32))
    assert not decide(RIDGE, world.base, unlabelled).accepted
    assert decide(LEARNERS["recentre"], world.base, unlabelled).accepted


def test_a_head_that_is_worse_than_base_or_than_the_one_in_use_is_refused() -> None:
    world = World()
    samples = world.mixed(world.person(0.6), 200)
    worse = decide(Memory(worse=0.7), world.base, samples)
    assert not worse.accepted
    assert worse.score_after < worse.score_before
    assert not worse.base_is_better  # it is in use already
    both = decide(Memory(worse=0.7), world.base, samples, before=Memory(worse=0.7))
    assert (both.accepted, both.base_is_better) == (False, True)
    better = decide(RIDGE, world.base, samples, before=Memory(worse=0.7))
    assert better.accepted
    assert better.score_after > better.score_before
    undone = decide(Memory(), world.base, samples, before=RIDGE)
    assert (undone.accepted, undone.base_is_better) == (False, False)
    assert undone.score_before == pytest.approx(held_out_score(RIDGE, world.base, samples))


def test_asking_to_stop_stops_it() -> None:
    world = World()

    def stop(step: int, steps: int, loss: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        decide(SGD, world.base, world.mixed(world.means, 30), tell=stop)


def in_use(base: BaseHead, samples: Samples) -> Tensors:
    """The head that a person has after these labels."""
    if decide(RIDGE, base, samples).accepted:
        return RIDGE.fit(base, samples, None, 0, say_nothing)
    return base.tensors


def gains(style: float, count: int, order: str = "mixed", wrong: float = 0.0) -> NDArray[np.float64]:
    """By how much the score of 20 people's other moments rises over the base head's."""
    found = []
    for seed in range(20):
        world = World(seed)
        person, random = world.person(style), np.random.default_rng(seed)
        tested = world.mixed(person, 500)
        classes = random.integers(0, 4, count)
        samples = world.moments(person, np.sort(classes) if order == "by class" else classes)
        errors = random.random(count) < wrong
        told = np.where(errors, (classes + random.integers(1, 4, count)) % 4, samples.classes.argmax(axis=1))
        learned = in_use(world.base, replace(samples, classes=np.eye(4, dtype=np.float32)[told]))
        found.append(score(world.base, learned, tested) - score(world.base, world.base.tensors, tested))
    return np.array(found)


def harmed(found: NDArray[np.float64]) -> bool:
    """People are worse off than with the base head by more than the 95 % interval and half a percent."""
    return bool(found.mean() + 2 * found.std(ddof=1) / np.sqrt(len(found)) < 0) and found.mean() < -0.005


@pytest.mark.parametrize("wrong", [0.0, 0.1])
@pytest.mark.parametrize("order", ["mixed", "by class"])
@pytest.mark.parametrize("count", [1, 16, 64])
def test_nobody_is_harmed_who_does_not_differ(count: int, order: str, wrong: float) -> None:
    assert not harmed(gains(0.0, count, order, wrong))


@pytest.mark.parametrize(("order", "wrong"), [("mixed", 0.0), ("by class", 0.0), ("mixed", 0.1)])
def test_who_differs_gains_in_the_hard_cases_too(order: str, wrong: float) -> None:
    found = gains(0.8, 64, order, wrong)
    assert found.mean() - 2 * found.std(ddof=1) / np.sqrt(len(found)) > 0
    assert found.mean() > 0.02


def test_one_class_labelled_alone_does_not_drown_the_others() -> None:
    found: Sequence[float] = [
        score(world.base, in_use(world.base, world.moments(world.means, np.zeros(16, int))), tested)
        - score(world.base, world.base.tensors, tested)
        for world in map(World, range(5))
        for tested in [world.mixed(world.means, 500)]
    ]
    assert np.mean(found) > -0.01
