from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau

from tests.trainer.stages.small import make_stage
from trainer.stages.result import Epoch
from trainer.stages.schedule import best_epoch, is_over, learning_rate

SCORES = st.lists(st.integers(-3, 3).map(float), max_size=30)


def epochs_of(scores: list[float]) -> list[Epoch]:
    return [Epoch(number, 1.0, 0.0, score, 0.1, 10, 1.0) for number, score in enumerate(scores, 1)]


def optimiser() -> torch.optim.SGD:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.01)


@given(SCORES, st.integers(1, 5), st.sampled_from([0.0, 0.001, 0.004]))
def test_plateau_falls_as_torchs_does(scores: list[float], patience: int, minimum: float) -> None:
    schedule = {"kind": "plateau", "factor": 0.5, "patience": patience, "minimum": minimum}
    stage = make_stage(schedule=schedule, optimiser={"learning_rate": 0.01})
    theirs = optimiser()
    # Torch lets one epoch more pass before it acts.
    plateau = ReduceLROnPlateau(theirs, "max", 0.5, patience - 1, threshold=0, min_lr=minimum, eps=0)
    for number, score in enumerate(scores, 1):
        plateau.step(score)
        assert learning_rate(stage, epochs_of(scores[:number])) == pytest.approx(theirs.param_groups[0]["lr"])


def test_the_rate_halves_after_ten_epochs_without_a_rise() -> None:
    stage = make_stage(schedule={"kind": "plateau"}, optimiser={"learning_rate": 0.01})
    assert learning_rate(stage, epochs_of([0.5] + [0.4] * 9)) == 0.01
    assert learning_rate(stage, epochs_of([0.5] + [0.4] * 10)) == 0.005


def test_a_minimum_above_the_rate_does_not_raise_it() -> None:
    stage = make_stage(schedule={"kind": "plateau", "patience": 1, "minimum": 0.1}, optimiser={"learning_rate": 0.01})
    assert learning_rate(stage, epochs_of([0.5, 0.4, 0.3])) == 0.01


def test_exponential_falls_every_fifteen_epochs_as_torchs_does() -> None:
    stage = make_stage(
        schedule={"kind": "exponential", "factor": 0.94, "every_epochs": 15}, optimiser={"learning_rate": 0.01}
    )
    theirs = optimiser()
    falling = ExponentialLR(theirs, 0.94)
    for fall in range(4):
        for epoch in (0, 14):
            rate = learning_rate(stage, epochs_of([0.0] * (15 * fall + epoch)))
            assert rate == pytest.approx(theirs.param_groups[0]["lr"])
        theirs.step()
        falling.step()


@given(SCORES, st.integers(1, 5))
def test_early_stopping_ends_so_many_epochs_after_the_best(scores: list[float], patience: int) -> None:
    stage = make_stage(stop_after=patience, epochs=1000)
    epochs = epochs_of(scores)
    stops = [end for end in range(1, len(scores) + 1) if is_over(stage, epochs[:end])]
    expected = [end for end in range(patience + 1, len(scores) + 1) if max(scores[:end]) in scores[: end - patience]]
    assert stops == expected
    if scores:
        assert best_epoch(epochs) == scores.index(max(scores))


def test_without_early_stopping_all_epochs_are_trained() -> None:
    stage = make_stage(epochs=3)
    assert [is_over(stage, epochs_of([0.5] * count)) for count in range(5)] == [False, False, False, True, True]
