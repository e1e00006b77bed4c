"""What the labels of some moments teach each output of a head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.personal.samples import Array, BaseHead, Samples

OUTPUTS = ("classes", "valence", "arousal")


@dataclass(frozen=True, slots=True)
class Targets:
    """What one output is to say.

    Attributes:
        rows: bool (N,), which samples say something of this output; M of them do.
        values: float32 (M, units): shares per class, rows sum to 1; or (M, 1) in the head's own range.
        weights: float32 (M,), > 0.
    """

    rows: NDArray[np.bool_]
    values: Array
    weights: Array


@dataclass(frozen=True, slots=True)
class Learnable:
    """Which outputs can be learned from some samples.

    Attributes:
        outputs: of "classes", "valence" and "arousal", in this order.
        notes: a sentence for each thing that was labelled but cannot be learned with this head, and one when there is
            nothing to learn from at all.
    """

    outputs: tuple[str, ...]
    notes: tuple[str, ...]


def targets_of(base: BaseHead, samples: Samples, output: str) -> Targets:
    """What the samples teach one output; no rows where the head learns nothing of it.

    Args:
        base: says which outputs are there, and in which range valence and arousal are told.
        samples: labelled moments.
        output: "classes", "valence" or "arousal".
    """
    rows: NDArray[np.bool_]
    if not _learns(base, output):
        rows, values = np.zeros(len(samples), np.bool_), np.empty((len(samples), 1), np.float32)
    elif output == "classes":
        rows, values = ~np.any(np.isnan(samples.classes), axis=1), samples.classes
    else:
        told: Array = getattr(samples, output)
        rows, values = np.isfinite(told), to_head_range(base, told)[:, None]
    return Targets(rows, values[rows], samples.weights[rows])


def to_head_range(base: BaseHead, values: Array) -> Array:
    """Valence or arousal from -1 to 1 into the range of the head's outputs."""
    low, high = base.affect_range or (-1.0, 1.0)
    return np.asarray(low + (values + 1) * ((high - low) / 2), np.float32)


def from_head_range(base: BaseHead, values: Array) -> Array:
    """Valence or arousal as the head tells it into -1 to 1."""
    low, high = base.affect_range or (-1.0, 1.0)
    return np.asarray(np.clip((values - low) * (2 / (high - low)) - 1, -1, 1), np.float32)


def learnable(base: BaseHead, samples: Samples, learned: tuple[str, ...] = OUTPUTS) -> Learnable:
    """Which outputs the samples can change, and what to tell a person of the others.

    Args:
        base: the head to learn from.
        samples: labelled moments.
        learned: what the learner learns at all (`Learner.outputs`).
    """
    labelled = {"classes": samples.classes.shape[1] > 0 and not np.isnan(samples.classes).all()}
    labelled |= {output: not np.isnan(getattr(samples, output)).all() for output in OUTPUTS[1:]}
    outputs = tuple(one for one in OUTPUTS if labelled[one] and _learns(base, one) and one in learned)
    notes = [_why_not(base, one) for one in OUTPUTS if labelled[one] and one not in outputs]
    if not outputs:
        notes.append(f"Nothing to learn: none of the {len(samples)} moments has a label that can be learned from")
    return Learnable(outputs, tuple(notes))


def _learns(base: BaseHead, output: str) -> bool:
    there = getattr(base.spec, output) is not None
    return there and (output == "classes" or base.affect_range is not None)


def _why_not(base: BaseHead, output: str) -> str:
    if _learns(base, output):
        return f"Labels of {output} are kept, but this learner does not learn from them: take another one"
    if output != "classes" and base.labels:
        return f"Labels of {output} are kept, but not learned from: with this model it follows from the classes"
    return f"Labels of {output} are kept, but not learned from: this model does not tell {output}"
