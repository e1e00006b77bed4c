"""Labelled moments of a person, and the head they are learned on: what samplers, learners and store share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mien.expression.head import HeadSpec

Array = NDArray[np.float32]
Tensors = Mapping[str, Array]
"""A head's tensors by name, as in `head.safetensors`. A personal head has the base head's names and shapes."""


class Source(IntEnum):
    """Who says so; the numbers are those of mien_msgs/SampleLabel."""

    SELF = 0
    OBSERVER = 1
    STIMULUS = 2


SOURCE_WEIGHTS = {Source.SELF: 1.0, Source.OBSERVER: 1.0, Source.STIMULUS: 0.5}
"""How much a label counts. What a stimulus should cause is not always what is felt or shown."""


class Cancelled(Exception):  # noqa: N818  not an error: somebody asked for it
    """Raised inside a learner when learning is to stop; nothing is kept of it."""


@dataclass(frozen=True, slots=True)
class Label:
    """What one annotator says of a moment; at least one of expression and valence/arousal.

    Attributes:
        expression: a label of the model, or empty.
        valence: -1 to 1; NaN when not said.
        arousal: -1 to 1; NaN when not said.
        source: who says so.
        annotator: opaque id that tells observers apart; may be empty.
    """

    expression: str
    valence: float
    arousal: float
    source: Source
    annotator: str = ""

    @property
    def is_empty(self) -> bool:
        """It says nothing."""
        return not self.expression and math.isnan(self.valence) and math.isnan(self.arousal)


@dataclass(frozen=True, slots=True)
class Samples:
    """N labelled moments in the order of time.

    Attributes:
        embeddings: float32 (N, D), what the backbone says of each moment.
        stamps_s: float64 (N,), when, seconds.
        classes: float32 (N, L), the share of labels that name each class, rows sum to 1; NaN in rows where nobody named
            one; (N, 0) for heads without classes.
        valence: float32 (N,), -1 to 1, the mean over annotators; NaN where nobody said.
        arousal: float32 (N,), likewise.
        weights: float32 (N,), > 0, how much each moment counts.
    """

    embeddings: Array
    stamps_s: NDArray[np.float64]
    classes: Array
    valence: Array
    arousal: Array
    weights: Array

    def __len__(self) -> int:
        return len(self.embeddings)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Samples:
        """Those rows, in that order."""
        return Samples(
            self.embeddings[rows],
            self.stamps_s[rows],
            self.classes[rows],
            self.valence[rows],
            self.arousal[rows],
            self.weights[rows],
        )


@dataclass(frozen=True, slots=True)
class BaseHead:
    """The head that everyone has before anything is learned: where learning starts and what it is anchored at.

    Attributes:
        spec: its outputs.
        tensors: its numbers.
        labels: class labels in the order of the outputs; empty without classes.
        embedding_size: D.
        affect_range: (low, high) of its valence and arousal outputs, which mean -1 and 1; None where it has none, or
            where valence and arousal are derived from the classes.
    """

    spec: HeadSpec
    tensors: Tensors
    labels: tuple[str, ...]
    embedding_size: int
    affect_range: tuple[float, float] | None
