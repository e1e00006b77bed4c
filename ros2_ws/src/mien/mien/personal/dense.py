"""Forward and backward through the dense layers of a head, with dropout, by numpy alone.

`mien.expression.head.Head` only predicts; here layers can be looked into, dropped out and trained. Layers that several
outputs share stand here once, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mien.expression.head import Activation, HeadSpec
from mien.personal.samples import Array, Tensors


@dataclass(frozen=True, slots=True)
class Dropout:
    """Muting of inputs: of every layer that follows a hidden one, and of the embedding for outputs of one layer.

    What is kept is scaled by 1 / (1 - share), so that nothing is to be changed when predicting.

    Attributes:
        share: 0 to below 1, the probability of being muted.
        random: where chance comes from.
    """

    share: float
    random: np.random.Generator


@dataclass(frozen=True, slots=True)
class Layer:
    """A dense layer: where its inputs come from, and its tensors by name.

    Attributes:
        source: a slice of the embedding, or the number of the layer below.
        weight: name of the tensor (outputs, inputs).
        bias: name of the tensor (outputs,).
        activation: after them.
    """

    source: slice | int
    weight: str
    bias: str
    activation: Activation


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an output: "classes", "valence" or "arousal", the part's name and the number of its last layer."""

    output: str
    name: str
    last: int


@dataclass(frozen=True, slots=True)
class Pass:
    """What a forward pass of N samples leaves.

    Attributes:
        inputs: by layer, float32 (N, inputs), after dropout.
        masks: by layer, what its inputs were multiplied by, or None.
        values: by layer, float32 (N, outputs), after the activation.
    """

    inputs: list[Array]
    masks: list[Array | None]
    values: list[Array]


class Dense:
    """The layers of a head's outputs in the order of computing.

    Args:
        spec: the outputs.

    Attributes:
        layers: what is computed, each once.
        parts: the parts of all outputs, classes first, then valence, then arousal.
    """

    layers: tuple[Layer, ...]
    parts: tuple[Part, ...]

    def __init__(self, spec: HeadSpec) -> None:
        raise NotImplementedError

    def forward(self, tensors: Tensors, embeddings: Array, dropout: Dropout | None = None) -> Pass:
        """Compute all layers for float32 embeddings (N, D); a part's outputs are `values[part.last]` (logits)."""
        raise NotImplementedError

    def backward(self, tensors: Tensors, done: Pass, gradients: Sequence[Array]) -> dict[str, Array]:
        """Gradients of a loss in all tensors.

        Args:
            tensors: those of the forward pass.
            done: what it left.
            gradients: by part, float32 (N, units): of the loss in the part's `values`.

        Returns:
            By tensor name; added up where several layers share a tensor.
        """
        raise NotImplementedError
