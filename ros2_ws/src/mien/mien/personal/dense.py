"""Forward and backward through the dense layers of a head, with dropout, by numpy alone.

`mien.expression.head.Head` only predicts; here layers can be looked into, dropped out and trained. Layers that several
outputs share stand here once, as there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mien.errors import MienError
from mien.expression.head import Activation, DenseLayerSpec, HeadSpec
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

    def __init__(self, spec: HeadSpec) -> None:
        layers: list[Layer] = []
        parts: list[Part] = []
        # Number of a layer by the slice it stands on and all layers up to it, as in mien.expression.head.
        numbers: dict[tuple[int, int, tuple[DenseLayerSpec, ...]], int] = {}
        outputs = {"classes": spec.classes, "valence": spec.valence, "arousal": spec.arousal}
        for output, part in [(name, part) for name, one in outputs.items() if one for part in one.parts]:
            source: slice | int = slice(part.start, part.stop)
            for depth, layer in enumerate(part.layers, 1):
                key = (part.start, part.stop, part.layers[:depth])
                if key not in numbers:
                    numbers[key] = len(layers)
                    layers.append(Layer(source, layer.weight, layer.bias, layer.activation))
                source = numbers[key]
            parts.append(Part(output, part.name, numbers[key]))
        self.layers, self.parts = tuple(layers), tuple(parts)

    def forward(self, tensors: Tensors, embeddings: Array, dropout: Dropout | None = None) -> Pass:
        """Compute all layers for float32 embeddings (N, D); a part's outputs are `values[part.last]` (logits)."""
        done = Pass([], [], [])
        masks = _Masks(dropout, len(embeddings))
        ends = {part.last for part in self.parts}
        for number, layer in enumerate(self.layers):
            if isinstance(layer.source, int):
                inputs = done.values[layer.source]
                mask = masks.of(layer.source, inputs.shape[1])
            else:
                inputs = embeddings[:, layer.source]
                mask = masks.of(-1, embeddings.shape[1]) if number in ends else None
                mask = None if mask is None else mask[:, layer.source]
            inputs = inputs if mask is None else inputs * mask
            done.inputs.append(inputs)
            done.masks.append(mask)
            done.values.append(_activate(inputs @ tensors[layer.weight].T + tensors[layer.bias], layer.activation))
        return done

    def backward(self, tensors: Tensors, done: Pass, gradients: Sequence[Array]) -> dict[str, Array]:
        """Gradients of a loss in all tensors.

        Args:
            tensors: those of the forward pass.
            done: what it left.
            gradients: by part, float32 (N, units): of the loss in the part's `values`.

        Returns:
            By tensor name; added up where several layers share a tensor.
        """
        result: dict[str, Array] = {}
        for number, inner in self._before_activations(tensors, done, gradients):
            layer = self.layers[number]
            own: dict[str, Array] = {layer.weight: inner.T @ done.inputs[number], layer.bias: inner.sum(axis=0)}
            for name, gradient in own.items():
                result[name] = result[name] + gradient if name in result else gradient
        return result

    def backward_to_embeddings(
        self, tensors: Tensors, done: Pass, gradients: Sequence[Array], embedding_size: int
    ) -> Array:
        """Gradient of a loss in the embeddings, float32 (N, embedding_size); all else as for `backward`."""
        result = np.zeros((len(done.values[0]), embedding_size), np.float32)
        for number, inner in self._before_activations(tensors, done, gradients):
            layer, mask = self.layers[number], done.masks[number]
            if isinstance(layer.source, slice):
                below = inner @ tensors[layer.weight]
                result[:, layer.source] += below if mask is None else below * mask
        return result

    def tensors_of(self, tensors: Tensors) -> dict[str, Array]:
        """Those of the layers, float32, without what else the base head's file holds."""
        names = [name for layer in self.layers for name in (layer.weight, layer.bias)]
        return {name: np.asarray(tensors[name], np.float32) for name in names}

    def own_last_layer(self, part: Part, learner: str) -> Layer:
        """The last layer of a part, for learners that change it by itself.

        Raises:
            MienError: it is not linear, or something else stands on it or on its tensors, too.
        """
        layer = self.layers[part.last]
        users = sum(one.last == part.last for one in self.parts)
        users += sum(one.source == part.last for one in self.layers)
        users += sum(one.weight == layer.weight or one.bias == layer.bias for one in self.layers)
        if layer.activation != "linear" or users != 2:  # the part, and the layer itself
            raise MienError(
                f"{learner} cannot learn {part.output}: the last layer {layer.weight} is not linear or is shared",
                "Use the learner sgd, once there are enough labelled moments to judge a head by",
            )
        return layer

    def _before_activations(
        self, tensors: Tensors, done: Pass, gradients: Sequence[Array]
    ) -> Iterator[tuple[int, Array]]:
        """Each layer's number, the last one first, and the gradient in what its activation takes."""
        flow = [np.zeros_like(values) for values in done.values]
        for part, gradient in zip(self.parts, gradients, strict=True):
            flow[part.last] += gradient
        for number in reversed(range(len(self.layers))):
            layer, mask = self.layers[number], done.masks[number]
            inner = _before_activation(flow[number], done.values[number], layer.activation)
            if isinstance(layer.source, int):
                below = inner @ tensors[layer.weight]
                flow[layer.source] += below if mask is None else below * mask
            yield number, inner


class _Masks:
    """What is muted in one pass: a layer that several others stand on is muted once."""

    def __init__(self, dropout: Dropout | None, samples: int) -> None:
        self._dropout, self._samples = dropout, samples
        self._masks: dict[int, Array] = {}

    def of(self, source: int, size: int) -> Array | None:
        """float32 (N, size) for the layer of that number, -1 for the embedding; None without dropout."""
        if self._dropout is None or self._dropout.share == 0:
            return None
        if source not in self._masks:
            kept = self._dropout.random.random((self._samples, size), np.float32) >= self._dropout.share
            self._masks[source] = np.asarray(kept / (1 - self._dropout.share), np.float32)
        return self._masks[source]


def _activate(values: Array, activation: Activation) -> Array:
    if activation == "relu":
        return np.maximum(values, 0)
    return np.tanh(values) if activation == "tanh" else values


def _before_activation(gradient: Array, values: Array, activation: Activation) -> Array:
    """The gradient in what an activation took, from that in what it gave."""
    if activation == "relu":
        return gradient * (values > 0)
    return gradient * (1 - values * values) if activation == "tanh" else gradient
