"""How fast and how long a stage trains: functions of what its epochs have given so far, so they have no state."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainer.stages.recipe import Stage
from trainer.stages.result import Epoch


def learning_rate(stage: Stage, epochs: Sequence[Epoch]) -> float:
    """The learning rate of the epoch that follows these.

    `plateau` (paper 000): times `factor` whenever the validation score has not risen for `patience` epochs, counted
    anew after each fall, down to `minimum`. `exponential` (paper 003): times `factor` every `every_epochs`.
    """
    rate, schedule = stage.optimiser.learning_rate, stage.schedule
    if schedule.kind == "constant":
        return rate
    if schedule.kind == "exponential":
        return float(rate * schedule.factor ** (len(epochs) // schedule.every_epochs))
    best, waited = -math.inf, 0
    for score in map(_score, epochs):
        waited = 0 if score > best else waited + 1
        best = max(best, score)
        if waited and waited >= schedule.patience:
            # A minimum above the rate that it starts with must not raise it.
            rate, waited = min(rate, max(schedule.minimum, rate * schedule.factor)), 0
    return rate


def best_epoch(epochs: Sequence[Epoch]) -> int:
    """Index of the epoch with the highest validation score; of equal ones, the first."""
    return max(range(len(epochs)), key=lambda index: _score(epochs[index]))


def is_over(stage: Stage, epochs: Sequence[Epoch]) -> bool:
    """Whether all epochs are done, or the validation score has not risen for `stop_after` epochs (early stopping)."""
    if len(epochs) >= stage.epochs:
        return True
    return bool(stage.stop_after and epochs and len(epochs) - 1 - best_epoch(epochs) >= stage.stop_after)


def needs_validation(stage: Stage) -> bool:
    """Whether the stage cannot be trained, or calibrated, without a validation part."""
    return bool(stage.stop_after) or stage.schedule.kind == "plateau" or stage.calibrate


def _score(epoch: Epoch) -> float:
    # `fit` lets no stage begin that would lack it.
    return -math.inf if epoch.validation_score is None else epoch.validation_score
