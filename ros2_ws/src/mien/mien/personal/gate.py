"""May a new head replace the old one? Only if it is no worse on moments that it did not learn from."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from mien.expression.head import Head
from mien.personal.learners import Learner, Tell, say_nothing
from mien.personal.samples import Array, BaseHead, Samples, Tensors
from mien.personal.targets import OUTPUTS, from_head_range, learnable, targets_of

FOLDS = 5
BLOCKS_PER_FOLD = 4
MINIMUM_SAMPLES = 10
"""With fewer labelled ones there is no held-out score."""
STANDARD_ERRORS = 0.5
"""By so many a head must better the base head; chosen on rendered people whom the study has not. The usual one
(L. Breiman et al., "Classification and regression trees", 1984, section 3.4.3) refused nearly half of the heads that
did good to people who differ from others, at 16 labels; with 0, more passed that did harm to people who do not."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says.

    Attributes:
        accepted: the new head may be used.
        score_before: held-out score without the new head, 0 to 1, higher is better; NaN with too few samples.
        score_after: with it, likewise.
        reason: a sentence for people.
        base_is_better: the new head may not be used, and the one in use is worse than the base head.
    """

    accepted: bool
    score_before: float
    score_after: float
    reason: str
    base_is_better: bool = False


@dataclass(frozen=True, slots=True)
class _Losses:
    """How far heads are from the labels: by output the loss of each sample that has such a label, 0 to 1."""

    rows: dict[str, NDArray[np.intp]]
    losses: dict[str, NDArray[np.float64]]
    weights: Array

    def score(self) -> float:
        """See `score`."""
        found = []
        for output, rows in self.rows.items():
            mean = float(np.average(self.losses[output], weights=self.weights[rows]))
            found.append(1 - (mean if output == "classes" else mean**0.5))
        return float(np.mean(found)) if found else nan


def blocks_of(samples: Samples) -> NDArray[np.intp]:
    """For each sample the number of its block of contiguous time, `FOLDS * BLOCKS_PER_FOLD` in all.

    Blocks take turns in the folds: block b is held out by fold b % `FOLDS`. Neighbours in time look alike and stay
    together as far as the number of samples allows, and a class that was labelled in one go is not held out as a whole.
    """
    blocks = np.empty(len(samples), np.intp)
    order = np.argsort(samples.stamps_s, kind="stable")
    blocks[order] = np.arange(len(samples)) * FOLDS * BLOCKS_PER_FOLD // max(len(samples), FOLDS * BLOCKS_PER_FOLD)
    return blocks


def score(base: BaseHead, tensors: Tensors, samples: Samples) -> float:
    """How well a head does on samples: 0 to 1, higher is better; NaN when nothing that it learns is labelled.

    The mean of one score per labelled output. Classes: 1 - half the Brier score, which no exaggeration betters and in
    which no wrong label counts more than 1 (G. Brier, "Verification of forecasts expressed in terms of probability",
    1950). Valence, arousal: 1 - RMSE / 2, on the scale -1 to 1.
    """
    return _losses(base, samples, [(np.ones(len(samples), np.bool_), tensors)]).score()


def held_out_score(
    learner: Learner, base: BaseHead, samples: Samples, steps: int = 0, tell: Tell = say_nothing
) -> float:
    """The score of what a learner makes of the samples, each told by a head that did not learn from its fold.

    NaN with fewer than `MINIMUM_SAMPLES` labelled ones. For `steps` and `tell` see `Learner.fit_folds`.
    """
    enough = _labelled(base, samples) >= MINIMUM_SAMPLES
    return _held_out(learner, base, samples, steps, tell).score() if enough else nan


def decide(
    learner: Learner,
    base: BaseHead,
    samples: Samples,
    before: Learner | None = None,
    steps: int = 0,
    tell: Tell = say_nothing,
) -> Decision:
    """Judge the head that `learner` makes of all samples, on samples that it did not learn from.

    It must better the base head by `STANDARD_ERRORS` of the mean gain, as the blocks of time scatter, and be no worse
    than what is in use. A head in use cannot be judged by samples that it learned from, so what made it is, on the same
    folds; where that is worse than the base head, so that it should not stay in use, either, the decision says so. With
    too few samples to judge, the head of an anchored learner is taken, which few samples move little; no other.

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
    labelled = _labelled(base, samples)
    if labelled < MINIMUM_SAMPLES:
        few = f"{labelled} labelled moments are too few to judge a head by ({MINIMUM_SAMPLES} are needed)"
        more = "label more; ridge learns from fewer, where the last layers are linear"
        why = "it is taken since it stays near the base head" if learner.anchored else more
        return Decision(learner.anchored, nan, nan, f"{few}: {why}")
    now = _losses(base, samples, [(np.ones(len(samples), np.bool_), base.tensors)])
    after = _held_out(learner, base, samples, steps, tell)
    gain, error = _gain(now, after, blocks_of(samples))
    score_base, score_after = now.score(), after.score()
    score_before = score_base
    if before is not None:
        same = before.name == learner.name
        score_before = score_after if same else held_out_score(before, base, samples, 0, tell)
    accepted = gain >= STANDARD_ERRORS * error and score_after >= score_before
    compared = f"held-out score {score_after:.3f}, before {score_before:.3f}, the base head's {score_base:.3f}"
    why = "" if accepted else "; it does not surely better the base head" if score_after >= score_before else "; worse"
    base_is_better = not accepted and score_before < score_base
    why += "; the base head is used again" if base_is_better else ""
    reason = f"{'Taken' if accepted else 'Not taken'}: {compared}{why}"
    return Decision(accepted, score_before, score_after, reason, base_is_better)


def _labelled(base: BaseHead, samples: Samples) -> int:
    """How many samples have a label that the head can learn from."""
    rows = [targets_of(base, samples, output).rows for output in OUTPUTS]
    return int(np.any(rows, axis=0).sum())


def _held_out(learner: Learner, base: BaseHead, samples: Samples, steps: int, tell: Tell) -> _Losses:
    blocks = blocks_of(samples)
    folds = [blocks % FOLDS == fold for fold in range(FOLDS)]
    return _losses(base, samples, list(zip(folds, learner.fit_folds(base, samples, folds, steps, tell), strict=True)))


def _losses(base: BaseHead, samples: Samples, heads: list[tuple[NDArray[np.bool_], Tensors]]) -> _Losses:
    """The losses of samples, each told by the head of its group (bool (N,)); every sample is in one group."""
    outputs = learnable(base, samples).outputs
    told = {one: np.empty((len(samples), len(base.labels) if one == "classes" else 1), np.float32) for one in outputs}
    for rows, tensors in heads:
        head = Head(base.spec, tensors, len(base.labels), base.embedding_size)
        prediction = head.predict(samples.embeddings[rows])
        for output, values in told.items():
            if output == "classes":
                values[rows] = prediction.probabilities
            else:
                values[rows] = from_head_range(base, getattr(prediction, output))[:, None]
    wanted = {output: np.reshape(getattr(samples, output), (len(samples), -1)) for output in outputs}
    labelled = {output: np.flatnonzero(~np.isnan(wanted[output]).any(axis=1)) for output in outputs}
    losses = {}
    for output, places in labelled.items():
        squares = ((told[output][places] - wanted[output][places]).astype(np.float64) ** 2).sum(axis=1)
        losses[output] = squares / (2 if output == "classes" else 4)
    return _Losses(labelled, losses, samples.weights)


def _gain(before: _Losses, after: _Losses, blocks: NDArray[np.intp]) -> tuple[float, float]:
    """By how much losses fell on average, and the standard error of that: samples of a block are not independent."""
    gains, weights = np.zeros(len(blocks)), np.zeros(len(blocks))
    for output, rows in before.rows.items():
        gains[rows] += before.weights[rows] * (before.losses[output] - after.losses[output])
        weights[rows] += before.weights[rows]
    mean = gains.sum() / weights.sum()
    scatter = np.bincount(blocks, gains - mean * weights)
    count = len(scatter)
    return float(mean), float(np.sqrt(count / (count - 1) * (scatter**2).sum()) / weights.sum())
