"""Q/DQ pairs in an ONNX graph, as TensorRT reads them: signed, symmetric, weights per channel, biases in float.

Only convolutions are quantised: up to the embedding a network has no other layers with weights. TensorRT knows no zero
point, so that values of a ReLU would use 7 of the 8 bits only: their middle is taken off first, and what a convolution
would have made of it is in its bias.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError, require

LEVELS = 127
"""−127 to 127: with −128 the range would not be symmetric."""
SMALLEST_SCALE = 1e-8
"""Of what is always 0."""


class Rounding(NamedTuple):
    """How a convolution is quantised.

    Attributes:
        middle: is taken off the values that it reads; 0 where it pads them, because it pads with 0.
        largest: magnitude of the rest, whatever is beyond is cut.
        missing: float32 (outputs,), what its outputs then lack in the mean; 0 = nothing.
    """

    middle: float
    largest: float
    missing: NDArray[np.float32] | float = 0.0


def read_model(model: bytes) -> Any:
    """The ONNX model of a file.

    Raises:
        MienError: it is none.
    """
    try:
        return require("onnx", "robot").load_model_from_string(model)
    except Exception as error:  # protobuf's implementations raise their own types
        raise MienError(f"This is not an ONNX file ({error})", "Export the checkpoint again") from error


def convolutions(model: Any) -> list[Any]:
    """Nodes that can be quantised: convolutions with stored weights and biases, in the order of the graph."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return [node for node in model.graph.node if node.op_type == "Conv" and stored.issuperset(node.input[1:])]


def is_padded(node: Any) -> bool:
    """Whether a convolution puts zeros around what it reads."""
    return any(any(one.ints) if one.name == "pads" else one.s.startswith(b"SAME") for one in node.attribute)


def multiply_accumulates(model: Any) -> dict[str, int]:
    """Of each convolution, by its output, for one picture."""
    graph = require("onnx", "robot").shape_inference.infer_shapes(model).graph
    values = (*graph.value_info, *graph.output)
    shapes = {one.name: [size.dim_value for size in one.type.tensor_type.shape.dim] for one in values}
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    return {
        node.output[0]: math.prod(shapes[node.input[1]]) * math.prod(shapes[node.output[0]][2:])
        for node in graph.node
        if node.op_type == "Conv"
    }


def is_quantised(model: Any) -> dict[str, bool]:
    """Whether input and weights come quantised, of each convolution by its output."""
    makers = {output: node.op_type for node in model.graph.node for output in node.output}
    return {
        node.output[0]: all(makers.get(name) == "DequantizeLinear" for name in node.input[:2])
        for node in model.graph.node
        if node.op_type == "Conv"
    }


def quantised_share(model: Any) -> float:
    """Of the multiply-accumulates of all convolutions."""
    work = multiply_accumulates(model)
    return sum(work[output] for output, is_int8 in is_quantised(model).items() if is_int8) / sum(work.values())


def insert_pairs(model: bytes, roundings: Mapping[str, Rounding], chosen: Collection[str]) -> bytes:
    """Quantise some convolutions; the file is not checked, because large ones are made by the dozen to be compared.

    Args:
        model: the fp32 file.
        roundings: how, by a convolution's output.
        chosen: outputs of the convolutions that are quantised.
    """
    proto = read_model(model)
    pairs = _Pairs(proto)
    for node in convolutions(proto):
        if node.output[0] in chosen:
            pairs.quantise(node, roundings[node.output[0]])
    _put_in_order(proto.graph, pairs.nodes)
    _drop_unused(proto.graph)
    return bytes(proto.SerializeToString(deterministic=True))


def with_losses(model: bytes, roundings: Mapping[str, Rounding]) -> tuple[bytes, dict[str, str]]:
    """A file that also gives what each convolution's outputs lack in the mean when it alone is quantised.

    Returns:
        The file, and names of its outputs (N, outputs, 1, 1) by the convolution's.
    """
    helper = require("onnx.helper", "robot")
    proto = read_model(model)
    pairs, losses = _Pairs(proto), {}
    for node in convolutions(proto):
        own = node.output[0]
        twin, other, losses[own] = type(node).FromString(node.SerializeToString()), f"{own}_twin", f"{own}_loss"
        twin.name, twin.output[0] = other, other
        pairs.quantise(twin, roundings[own])
        difference = helper.make_node("Sub", [own, other], [f"{own}_difference"])
        pairs.nodes += [twin, difference, helper.make_node("GlobalAveragePool", difference.output, [losses[own]])]
    _put_in_order(proto.graph, pairs.nodes)
    return with_outputs(proto, losses.values()), losses


def with_outputs(proto: Any, names: Iterable[str]) -> bytes:
    """A file of a model that gives some of its inner values, too."""
    helper = require("onnx.helper", "robot")
    known = {value.name for value in (*proto.graph.output, *proto.graph.input)}
    proto.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in known)
    return bytes(proto.SerializeToString())


class _Pairs:
    """Makes Q/DQ pairs, one for each tensor however often it is used; `nodes` are still to be put into the graph."""

    def __init__(self, proto: Any) -> None:
        self._onnx = require("onnx", "robot")
        self._graph = proto.graph
        self._stored = {tensor.name: tensor for tensor in proto.graph.initializer}
        self._made: dict[str, str] = {}
        self.nodes: list[Any] = []

    def quantise(self, node: Any, rounding: Rounding) -> None:
        """Let a convolution read quantised values and weights."""
        output = node.output[0]
        node.input[0] = self._of_values(node.input[0], rounding)
        node.input[1] = self._of_weights(node.input[1])
        if np.any(rounding.missing):
            bias = self._onnx.numpy_helper.to_array(self._stored[node.input[2]]) if len(node.input) > 2 else 0
            del node.input[2:]
            node.input.extend(self._store(output, mended_bias=np.asarray(bias + rounding.missing, np.float32)))

    def _of_values(self, name: str, rounding: Rounding) -> str:
        """Name of values that were int8 once, one scale for all, without their middle."""
        key = f"{name}_around_{rounding.middle:g}"
        if key not in self._made:
            source = name
            if rounding.middle:
                (middle,) = self._store(key, middle=np.float32(rounding.middle))
                source = self._add("Sub", [name, middle], f"{key}_rest")
            scale = np.float32(max(rounding.largest / LEVELS, SMALLEST_SCALE))
            stored = self._store(key, scale=scale, zero=np.int8(0))
            self._add("QuantizeLinear", [source, *stored], f"{key}_quantized")
            self._made[key] = self._add("DequantizeLinear", [f"{key}_quantized", *stored], f"{key}_dequantized")
        return self._made[key]

    def _of_weights(self, name: str) -> str:
        """Name of weights (outputs, …) that are stored as int8, a scale for each output."""
        if name not in self._made:
            weights = self._onnx.numpy_helper.to_array(self._stored[name])
            per_output = np.abs(weights).reshape(len(weights), -1).max(axis=1)
            scale = np.maximum(per_output / LEVELS, SMALLEST_SCALE).astype(np.float32)
            shape = (-1, *[1] * (weights.ndim - 1))
            values = np.clip(np.rint(weights / scale.reshape(shape)), -LEVELS, LEVELS).astype(np.int8)
            stored = self._store(name, quantized=values, scale=scale, zero=np.zeros(len(scale), np.int8))
            self._made[name] = self._add("DequantizeLinear", stored, f"{name}_dequantized", axis=0)
        return self._made[name]

    def _store(self, name: str, **arrays: NDArray[Any] | np.generic) -> list[str]:
        names = [f"{name}_{what}" for what in arrays]
        to_tensor = self._onnx.numpy_helper.from_array
        values = zip(arrays.values(), names, strict=True)
        self._graph.initializer.extend(to_tensor(np.asarray(array), own) for array, own in values)
        return names

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: int) -> str:
        self.nodes.append(self._onnx.helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output


def _put_in_order(graph: Any, added: list[Any]) -> None:
    """Put nodes into a graph so that each comes after what it reads."""
    waiting = [*graph.node, *added]
    known = {"", *(value.name for value in (*graph.input, *graph.initializer))}
    ordered: list[Any] = []
    while waiting:
        ready = [node for node in waiting if known.issuperset(node.input)]
        waiting = [node for node in waiting if not known.issuperset(node.input)]
        ordered += ready
        known.update(output for node in ready for output in node.output)
    copies = [type(node).FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)


def _drop_unused(graph: Any) -> None:
    used = {name for node in graph.node for name in node.input}
    for number in reversed(range(len(graph.initializer))):
        if graph.initializer[number].name not in used:
            del graph.initializer[number]
