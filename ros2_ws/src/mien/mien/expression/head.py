"""Dense heads: what turns an embedding into class probabilities, valence and arousal.

A network is split before its dense layers (paper 002): the backbone stays frozen and may be a TensorRT engine, the
head is small, lives in `head.safetensors` and can be exchanged at any time. One head file holds an output for the
classes, one for valence and one for arousal, or some of these; each output has one part, or several whose
probabilities are combined (the five face parts of paper 004, eq. 4, or by `mien.expression.combining`). Paper 002's
twins are a head without classes, whose valence and arousal stand on a slice of the embedding each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.expression.combining import Rule, combine

Array = NDArray[np.float32]
_Floats = TypeVar("_Floats", bound="np.floating[Any]")
Activation = Literal["linear", "relu", "tanh"]
Combine = Literal["softmax", "linear", "mean_of_softmax", "reliability_of_softmax"]


class DenseLayerSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One dense layer: tensors `weight` (outputs, inputs) and `bias` (outputs,) in the head file."""

    weight: str
    bias: str
    activation: Activation = "linear"


class HeadPartSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stack of dense layers on one slice [start, stop) of the embedding."""

    name: str
    start: int
    stop: int
    layers: tuple[DenseLayerSpec, ...]


class HeadOutputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One output and how its parts are combined.

    `softmax`: one part, softmax over its outputs. `linear`: one part as it is. `mean_of_softmax`: the mean of the
    parts' softmax (paper 004, eq. 4). `reliability_of_softmax`: the same, each part weighted by how far the others
    bear it out on that face (`mien.expression.combining`); manifests have it since version 2.
    """

    combine: Combine
    parts: tuple[HeadPartSpec, ...]

    @property
    def rule(self) -> Rule:
        """How its parts' probabilities become one answer; of one part they are that answer by any rule."""
        return "reliability" if self.combine == "reliability_of_softmax" else "mean"


class HeadSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The outputs of a head; those that it has not are None, but it has at least one."""

    classes: HeadOutputSpec | None = None
    valence: HeadOutputSpec | None = None
    arousal: HeadOutputSpec | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a head says about N faces.

    Attributes:
        probabilities: float32 (N, classes), rows sum to 1, in the order of the bundle's labels; (N, 0) without classes.
        valence: float32 (N,) in the head's own range, or None.
        arousal: float32 (N,), or None.
        part_confidences: float32 (N, parts): each part's own highest probability; (N, 0) without several parts.
    """

    probabilities: Array
    valence: Array | None
    arousal: Array | None
    part_confidences: Array


@dataclass(frozen=True, slots=True)
class _Layer:
    source: slice | int  # of the embedding, or the number of the layer whose values come in
    weight: Array  # (inputs, outputs), ready for values @ weight
    bias: Array
    activation: Activation

    def forward(self, values: Array) -> Array:
        result: Array = values @ self.weight + self.bias
        if self.activation == "relu":
            np.maximum(result, 0, out=result)
        elif self.activation == "tanh":
            np.tanh(result, out=result)
        return result


def softmax(logits: NDArray[_Floats]) -> NDArray[_Floats]:
    """Softmax along the last axis, safe for large logits."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[_Floats] = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


class Head:
    """A head ready to predict. Hidden layers that several outputs share are held and computed once.

    Args:
        spec: its outputs, from the manifest.
        tensors: the head file's float tensors by name.
        classes: number of class labels; 0 for a head without classes.
        embedding_size: length of the backbone's embedding.

    Raises:
        MienError: a tensor is missing, has the wrong shape, is not finite, or the sizes do not fit labels or embedding.
    """

    def __init__(
        self, spec: HeadSpec, tensors: Mapping[str, NDArray[np.floating]], classes: int, embedding_size: int
    ) -> None:
        _check_outputs(spec, classes)
        plan = _Plan(tensors, embedding_size)
        self.spec = spec
        self._classes = [] if spec.classes is None else plan.add("classes", spec.classes, classes)
        self._valence = None if spec.valence is None else plan.add("valence", spec.valence, 1)[0]
        self._arousal = None if spec.arousal is None else plan.add("arousal", spec.arousal, 1)[0]
        self._layers = plan.layers

    @property
    def part_names(self) -> tuple[str, ...]:
        """Names of the parts behind the classes; empty when there are not several."""
        parts = () if self.spec.classes is None else self.spec.classes.parts
        return tuple(part.name for part in parts) if len(parts) > 1 else ()

    def predict(self, embeddings: Array) -> Prediction:
        """Predict from float32 embeddings (N, embedding_size)."""
        values: list[Array] = []
        for layer in self._layers:
            inputs = values[layer.source] if isinstance(layer.source, int) else embeddings[:, layer.source]
            values.append(layer.forward(inputs))
        per_part = [softmax(values[last]) for last in self._classes]
        several = per_part if len(per_part) > 1 else []
        nothing = np.empty((len(embeddings), 0), np.float32)
        return Prediction(
            probabilities=nothing if self.spec.classes is None else combine(self.spec.classes.rule, np.stack(per_part)),
            valence=None if self._valence is None else values[self._valence][:, 0],
            arousal=None if self._arousal is None else values[self._arousal][:, 0],
            part_confidences=np.stack([one.max(axis=1) for one in several], axis=1) if several else nothing,
        )


class _Plan:
    """The layers of all outputs in the order of computing; what several outputs share stands there once."""

    def __init__(self, tensors: Mapping[str, NDArray[np.floating]], embedding_size: int) -> None:
        self.layers: list[_Layer] = []
        self._tensors, self._embedding_size = tensors, embedding_size
        # Number of a layer by the slice it stands on and all layers up to it.
        self._numbers: dict[tuple[int, int, tuple[DenseLayerSpec, ...]], int] = {}

    def add(self, name: str, output: HeadOutputSpec, size: int) -> list[int]:
        """Add an output of that many units; returns the number of each part's last layer."""
        numbers = []
        for part in output.parts:
            where = f"output {name}, part {part.name}"
            if not 0 <= part.start < part.stop <= self._embedding_size:
                raise _head_error(
                    f"{where}: slice {part.start}:{part.stop} does not fit an embedding of {self._embedding_size}"
                )
            if not part.layers:
                raise _head_error(f"{where}: has no layers")
            number = self._add_part(where, part)
            width = len(self.layers[number].bias)
            if width != size:
                raise _head_error(
                    f"{where}: has {width} outputs, but {size} are needed"
                    + (" (one per label)" if name == "classes" else "")
                )
            numbers.append(number)
        return numbers

    def _add_part(self, where: str, part: HeadPartSpec) -> int:
        source: slice | int = slice(part.start, part.stop)
        width = part.stop - part.start
        for depth, layer in enumerate(part.layers, 1):
            key = (part.start, part.stop, part.layers[:depth])
            if key not in self._numbers:
                weight, bias = (_tensor(where, one, self._tensors) for one in (layer.weight, layer.bias))
                if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
                    raise _head_error(
                        f"{where}: {layer.weight} {weight.shape} and {layer.bias} {bias.shape} do not take {width} "
                        "inputs"
                    )
                self._numbers[key] = len(self.layers)
                self.layers.append(_Layer(source, np.ascontiguousarray(weight.T), bias, layer.activation))
            source = number = self._numbers[key]
            width = len(self.layers[number].bias)
        return number


def _check_outputs(spec: HeadSpec, classes: int) -> None:
    """What can be said of the outputs without their tensors."""
    if (spec.classes is None) != (classes == 0):
        outputs = "an output for classes" if spec.classes is not None else "no output for classes"
        raise _head_error(f"it has {outputs}, the bundle has {classes} labels")
    if spec.classes is None and spec.valence is None and spec.arousal is None:
        raise _head_error("it has no outputs")
    for name, output in (("classes", spec.classes), ("valence", spec.valence), ("arousal", spec.arousal)):
        if output is None:
            continue
        if not output.parts or (output.combine in ("softmax", "linear") and len(output.parts) != 1):
            raise _head_error(f"output {name}: combine rule {output.combine} cannot take {len(output.parts)} parts")
        if name == "classes" and output.combine == "linear":
            raise _head_error("output classes: combine rule linear gives no probabilities")
        if name != "classes" and output.combine != "linear":
            raise _head_error(f"output {name}: combine rule must be linear")


def _tensor(where: str, name: str, tensors: Mapping[str, NDArray[np.floating]]) -> Array:
    if name not in tensors:
        raise _head_error(f"{where}: tensor {name} is not in the head file")
    if tensors[name].dtype.kind != "f":
        raise _head_error(f"{where}: tensor {name} holds {tensors[name].dtype}, not floating-point numbers")
    tensor = np.asarray(tensors[name], np.float32)
    if not np.isfinite(tensor).all():
        raise _head_error(f"{where}: tensor {name} holds values that are not finite")
    return tensor


def _head_error(problem: str) -> MienError:
    return MienError(f"The head cannot be used: {problem}", "Export it again, or take another one")
