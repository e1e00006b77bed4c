"""May a new head replace the old one? Only if it is no worse on moments that it did not learn from."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray

from mien.expression.head import Head
from mien.personal.learners import Learner, Tell, say_nothing
from mien.personal.samples import Array, BaseHead, Samples, Tensors
from mien.personal.targets import from_head_range, learnable

FOLDS = 5
BLOCKS_PER_FOLD = 4
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
    """Which samples (bool (N,)) each fold holds out.

    Blocks of contiguous time, `BLOCKS_PER_FOLD` for each fold in turn: neighbours in time look alike and stay together
    as far as the number of samples allows, and a class that was labelled in one go is not held out as a whole.
    """
    blocks = np.array_split(np.argsort(samples.stamps_s, kind="stable"), FOLDS * BLOCKS_PER_FOLD)
    folds = [np.zeros(len(samples), np.bool_) for _ in range(FOLDS)]
    for number, block in enumerate(blocks):
        folds[number % FOLDS][block] = True
    return folds


def score(base: BaseHead, tensors: Tensors, samples: Samples) -> float:
    """How well a head does on samples: 0 to 1, higher is better; NaN when nothing that it learns is labelled.

    The mean of one score per labelled output. Classes: 1 - half the Brier score, which no exaggeration betters and in
    which no wrong label counts more than 1 (G. Brier, "Verification of forecasts expressed in terms of probability",
    1950). Valence, arousal: 1 - RMSE / 2, on the scale -1 to 1.
    """
    return _score(base, _told(base, tensors, samples), samples)


def held_out_score(
    learner: Learner, base: BaseHead, samples: Samples, steps: int = 0, tell: Tell = say_nothing
) -> float:
    """The score of what a learner makes of the samples, each told by a head that did not learn from its fold.

    NaN with fewer than `MINIMUM_SAMPLES`. For `steps` and `tell` see `Learner.fit_folds`.
    """
    if len(samples) < MINIMUM_SAMPLES:
        return nan
    folds = folds_of(samples)
    told: dict[str, Array] = {}
    for fold, tensors in zip(folds, learner.fit_folds(base, samples, folds, steps, tell), strict=True):
        for output, values in _told(base, tensors, samples.take(fold)).items():
            told.setdefault(output, np.empty((len(samples), *values.shape[1:]), np.float32))[fold] = values
    return _score(base, told, samples)


def decide(
    learner: Learner,
    base: BaseHead,
    samples: Samples,
    before: Learner | None = None,
    steps: int = 0,
    tell: Tell = say_nothing,
) -> Decision:
    """Judge the head that `learner` makes of all samples.

    It must be no worse than the base head and than what is in use, each on samples that it did not learn from. A head
    in use cannot be judged by samples that it learned from, so what made it is, on the same folds. With too few samples
    to judge, the head of an anchored learner is taken, which few samples move little; no other.

    Args:
        learner: what makes the new head.
        base: the head that everyone has.
        samples: all labelled moments of the person.
        before: what made the head in use; None when it is the base head.
        steps: as for the fit.
        tell: hears the steps of every fold by themselves; may raise `Cancelled`.
    """
    found = learnable(base, samples, learner.outputs)
    if learner.needs_labels and not found.outputs:
        return Decision(False, nan, nan, ". ".join(found.notes))
    score_base = score(base, base.tensors, samples)
    score_after = held_out_score(learner, base, samples, steps, tell)
    if isnan(score_after):
        few = f"With {len(samples)} moments (fewer than {MINIMUM_SAMPLES}) or without labels nothing can be judged"
        taken = (
            "it is taken since it stays near the base head" if learner.anchored else "only ridge and its like are taken"
        )
        return Decision(learner.anchored, nan, nan, f"{few}: {taken}")
    if before is None:
        score_before = score_base
    else:
        score_before = score_after if before.name == learner.name else held_out_score(before, base, samples, 0, tell)
    accepted = score_after >= max(score_base, score_before)
    compared = (
        f"on held-out moments it scores {score_after:.3f}, before {score_before:.3f}, the base head {score_base:.3f}"
    )
    return Decision(accepted, score_before, score_after, f"{'Taken' if accepted else 'Not taken'}: {compared}")


def _told(base: BaseHead, tensors: Tensors, samples: Samples) -> dict[str, Array]:
    """By output what a head says: float32 (N, L), or (N,) from -1 to 1."""
    head = Head(base.spec, tensors, len(base.labels), base.embedding_size)
    prediction = head.predict(samples.embeddings)
    affect = {"valence": prediction.valence, "arousal": prediction.arousal}
    told = {output: from_head_range(base, values) for output, values in affect.items() if values is not None}
    return {"classes": prediction.probabilities, **told}


def _score(base: BaseHead, told: dict[str, Array], samples: Samples) -> float:
    scores = []
    for output in learnable(base, samples).outputs:
        wanted: Array = getattr(samples, output)
        labelled = ~np.isnan(wanted.reshape(len(samples), -1)).any(axis=1)
        squares = (told[output][labelled] - wanted[labelled]) ** 2
        if output == "classes":
            scores.append(1 - np.average(squares.sum(axis=1), weights=samples.weights[labelled]) / 2)
        else:
            scores.append(1 - np.sqrt(np.average(squares, weights=samples.weights[labelled])) / 2)
    return float(np.mean(scores)) if scores else nan
