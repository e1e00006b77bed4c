"""May a new head replace the old one? Only if it is no worse on moments that it did not learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.personal.learners import Learner
from mien.personal.samples import BaseHead, Samples, Tensors

FOLDS = 5
MINIMUM_SAMPLES = 10
"""With fewer there is no held-out score."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says.

    Attributes:
        accepted: the new head may be used.
        score_before: held-out score without the new head, 0 to 1, higher is better; NaN with too few samples.
        score_after: with it, likewise.
        reason: a sentence for people.
    """

    accepted: bool
    score_before: float
    score_after: float
    reason: str


def folds_of(samples: Samples) -> list[NDArray[np.bool_]]:
    """Which samples (bool (N,)) each fold holds out: blocks of contiguous time, `FOLDS` of them in turn."""
    raise NotImplementedError


def score(base: BaseHead, tensors: Tensors, samples: Samples) -> float:
    """How well a head does on samples: 0 to 1, higher is better; NaN when nothing that it learns is labelled.

    The mean of one score per labelled output. Classes: 1 - half the Brier score. Valence, arousal: 1 - RMSE / 2.
    """
    raise NotImplementedError


def held_out_score(learner: Learner, base: BaseHead, samples: Samples) -> float:
    """The score of what a learner makes of the samples, each told by a head that did not learn from its block."""
    raise NotImplementedError


def decide(learner: Learner, base: BaseHead, samples: Samples, before: Learner | None = None) -> Decision:
    """Judge the head that `learner` makes of all samples.

    Args:
        learner: what makes the new head.
        base: the head that everyone has.
        samples: all labelled moments of the person.
        before: what made the head in use; None when it is the base head.
    """
    raise NotImplementedError
