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
    raise NotImplementedError


def learnable(base: BaseHead, samples: Samples) -> Learnable:
    """Which outputs the samples can change, and what to tell a person of the others."""
    raise NotImplementedError
