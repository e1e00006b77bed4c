"""Learning afresh: in a process of its own the same comes out as here."""

from __future__ import annotations

import subprocess
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from mien.personal.afresh import Learn, Task, learn, learn_apart
from mien.personal.messages import Progress
from mien.personal.samples import Cancelled, Samples, Tensors
from tests.personal.heads import HEADS, make_base, make_samples
from tests.personal.small_people import BASE, LABELS, embedding

STEPS = 150


@pytest.fixture(params=["here", "apart"])
def learn_(request: pytest.FixtureRequest, tmp_path: Path) -> Learn:
    return learn if request.param == "here" else partial(learn_apart, tmp_path)


def mistaken(count: int) -> Samples:
    """Moments that are labelled otherwise than the base head reads them."""
    classes = np.eye(len(LABELS), dtype=np.float32)[(np.arange(count) + 1) % len(LABELS)]
    nothing, weights = np.full(count, np.nan, np.float32), np.ones(count, np.float32)
    embeddings = np.stack([embedding(seed) for seed in range(count)])
    return Samples(embeddings, np.arange(count, dtype=np.float64), classes, nothing, nothing, weights)


def say_nothing(progress: Progress | None) -> None:
    """A `Hear` when nobody asks."""


def assert_same(one: Tensors | None, other: Tensors | None) -> None:
    assert one is not None
    assert other is not None
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


@pytest.mark.parametrize("learner", ["sgd", "ridge"])
def test_apart_the_same_is_learned_as_here(tmp_path: Path, learner: str) -> None:
    task = Task(BASE, mistaken(40), learner, learner, None, STEPS)
    here, apart = learn(task, say_nothing), learn_apart(tmp_path, task, say_nothing)
    assert here.decision.accepted
    assert apart.decision == here.decision
    assert_same(apart.tensors, here.tensors)
    further = Task(BASE, mistaken(40), "sgd", "sgd", here.tensors, STEPS)
    assert_same(learn_apart(tmp_path, further, say_nothing).tensors, learn(further, say_nothing).tensors)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", HEADS)
def test_heads_and_labels_of_every_kind_get_there_whole(tmp_path: Path, kind: str) -> None:
    base = make_base(kind, affect_range=(0.0, 2.0))
    task = Task(base, make_samples(base, 30, gaps=0.3), "sgd", "", None, 20)
    here, apart = learn(task, say_nothing), learn_apart(tmp_path, task, say_nothing)
    assert apart.decision == here.decision


def test_progress_is_told(learn_: Learn) -> None:
    told: list[Progress | None] = []
    learned = learn_(Task(BASE, mistaken(40), "sgd", "", None, STEPS), told.append)
    heard = [one for one in told if one is not None]
    assert {one.steps for one in heard} == {STEPS}
    assert [one.step for one in heard].count(STEPS) == 6, "the ends of five folds and of the fit"
    assert heard[-1].held_out_score == learned.decision.score_after


def test_who_hears_may_end_it(learn_: Learn) -> None:
    def end(progress: Progress | None) -> None:
        if progress is not None:
            raise Cancelled

    with pytest.raises(Cancelled):
        learn_(Task(BASE, mistaken(40), "sgd", "", None, 2_000_000), end)


def test_for_what_is_cancelled_before_it_begins_no_process_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: started.append(command))

    def end(progress: Progress | None) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        learn_apart(tmp_path, Task(BASE, mistaken(40), "sgd", "", None, STEPS), end)
    assert started == []


def test_without_the_memory_to_tell_it_that_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(message: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("mien.personal.afresh.encode_message", fail)
    heard = count()

    def hear(progress: Progress | None) -> None:
        assert next(heard) < 5, "it waits for ever"

    with pytest.raises(MemoryError):
        learn_apart(tmp_path, Task(BASE, mistaken(40), "sgd", "", None, STEPS), hear)


def test_a_head_that_is_not_good_enough_is_not_made(learn_: Learn) -> None:
    learned = learn_(Task(BASE, mistaken(5), "sgd", "", None, STEPS), say_nothing)
    assert learned.tensors is None
    assert "too few" in learned.decision.reason


def test_what_a_learner_cannot_do_is_said(learn_: Learn) -> None:
    base = make_base("one layer")
    with pytest.raises(MienError, match="statistics"):
        learn_(Task(base, make_samples(base, 30), "lda", "", None, 0), say_nothing)
