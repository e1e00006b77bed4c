"""Dense heads: what turns an embedding into class probabilities, valence and arousal.

A network is split before its dense layers (paper 002): the backbone stays frozen and may be a TensorRT engine, the
head is small, lives in `head.safetensors` and can be exchanged at any time. One head file holds an output for the
classes and optionally one for valence and one for arousal; each output has one part, or several whose probabilities
are averaged (the five face parts of paper 004, eq. 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError

Array = NDArray[np.float32]
Activation = Literal["linear", "relu", "tanh"]
Combine = Literal["softmax", "linear", "mean_of_softmax"]


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
    parts' softmax (paper 004, eq. 4).
    """

    combine: Combine
    parts: tuple[HeadPartSpec, ...]


class HeadSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The outputs of a head; valence and arousal may be absent."""

    classes: HeadOutputSpec
    valence: HeadOutputSpec | None = None
    arousal: HeadOutputSpec | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a head says about N faces.

    Attributes:
        probabilities: float32 (N, classes), rows sum to 1, in the order of the bundle's labels.
        valence: float32 (N,) in the head's own range, or None.
        arousal: float32 (N,), or None.
        part_confidences: float32 (N, parts): each part's own highest probability; empty (N, 0) for one part.
    """

    probabilities: Array
    valence: Array | None
    arousal: Array | None
    part_confidences: Array


@dataclass(frozen=True, slots=True)
class _Layer:
    weight: Array  # (inputs, outputs), ready for embeddings @ weight
    bias: Array
    activation: Activation


def softmax(logits: Array) -> Array:
    """Softmax along the last axis, safe for large logits."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Array = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


class Head:
    """A head ready to predict.

    Args:
        spec: its outputs, from the manifest.
        tensors: the head file's float tensors by name.
        classes: number of class labels.
        embedding_size: length of the backbone's embedding.

    Raises:
        MienError: a tensor is missing, has the wrong shape, is not finite, or the sizes do not fit labels or embedding.
    """

    def __init__(
        self, spec: HeadSpec, tensors: Mapping[str, NDArray[np.floating]], classes: int, embedding_size: int
    ) -> None:
        self.spec = spec
        self._outputs: dict[str, tuple[Combine, list[tuple[slice, list[_Layer]]]]] = {}
        for name, output, size in (
            ("classes", spec.classes, classes),
            ("valence", spec.valence, 1),
            ("arousal", spec.arousal, 1),
        ):
            if output is not None:
                self._outputs[name] = (output.combine, _parts(name, output, tensors, size, embedding_size))
        if spec.classes.combine == "linear":
            raise _head_error("output classes: combine rule linear gives no probabilities")
        for name in ("valence", "arousal"):
            if name in self._outputs and self._outputs[name][0] != "linear":
                raise _head_error(f"output {name}: combine rule must be linear")

    @property
    def part_names(self) -> tuple[str, ...]:
        """Names of the parts behind the classes; empty when there is only one."""
        parts = self.spec.classes.parts
        return tuple(part.name for part in parts) if len(parts) > 1 else ()

    def predict(self, embeddings: Array) -> Prediction:
        """Predict from float32 embeddings (N, embedding_size)."""
        per_part = [softmax(_forward(embeddings[:, cut], layers)) for cut, layers in self._outputs["classes"][1]]
        probabilities = np.asarray(np.mean(per_part, axis=0), np.float32)
        parts = len(per_part) if len(per_part) > 1 else 0
        confidences = np.empty((len(embeddings), parts), np.float32)
        for i in range(parts):
            confidences[:, i] = per_part[i].max(axis=1)
        return Prediction(
            probabilities, self._scalar("valence", embeddings), self._scalar("arousal", embeddings), confidences
        )

    def _scalar(self, name: str, embeddings: Array) -> Array | None:
        if name not in self._outputs:
            return None
        cut, layers = self._outputs[name][1][0]
        return _forward(embeddings[:, cut], layers)[:, 0]


def _forward(values: Array, layers: list[_Layer]) -> Array:
    for layer in layers:
        values = values @ layer.weight + layer.bias
        if layer.activation == "relu":
            np.maximum(values, 0, out=values)
        elif layer.activation == "tanh":
            np.tanh(values, out=values)
    return values


def _parts(
    name: str, output: HeadOutputSpec, tensors: Mapping[str, NDArray[np.floating]], size: int, embedding_size: int
) -> list[tuple[slice, list[_Layer]]]:
    if not output.parts or (output.combine != "mean_of_softmax" and len(output.parts) != 1):
        raise _head_error(f"output {name}: combine rule {output.combine} cannot take {len(output.parts)} parts")
    result = []
    for part in output.parts:
        where = f"output {name}, part {part.name}"
        if not 0 <= part.start < part.stop <= embedding_size:
            raise _head_error(f"{where}: slice {part.start}:{part.stop} does not fit an embedding of {embedding_size}")
        if not part.layers:
            raise _head_error(f"{where}: has no layers")
        width = part.stop - part.start
        layers = []
        for layer in part.layers:
            weight, bias = _tensor(where, layer.weight, tensors), _tensor(where, layer.bias, tensors)
            if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
                raise _head_error(
                    f"{where}: {layer.weight} {weight.shape} and {layer.bias} {bias.shape} do not take {width} inputs"
                )
            layers.append(_Layer(np.ascontiguousarray(weight.T), bias, layer.activation))
            width = weight.shape[0]
        if width != size:
            raise _head_error(
                f"{where}: has {width} outputs, but {size} are needed"
                + (" (one per label)" if name == "classes" else "")
            )
        result.append((slice(part.start, part.stop), layers))
    return result


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
    return MienError(f"The head cannot be used: {problem}", "Export the bundle again, or take another one")
