"""fp16 in the ONNX file itself, where each operator's type is written down for strongly typed builds.

The rule is that of torch's autocast: what multiplies matrices is done in fp16, what only changes or moves numbers in
the type that they have, and everything else, such as means over a map, in fp32. What multiplies int8 is left as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from export.graph import encode, noise, run_graph
from export.parity import cosines
from mien.errors import MienError, require

SMALLEST_COSINE = 0.99
"""Between outputs for noise in fp16 and in fp32: finds numbers that are lost. Faces are measured by `verify`."""

_MULTIPLYING = {"Conv", "Gemm", "MatMul"}
_FOLLOWING = {
    *("Add", "BatchNormalization", "Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "MaxPool", "Mul", "PRelu", "Relu"),
    *("Concat", "Flatten", "Identity", "Pad", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"),
}


def to_fp16(model: bytes) -> bytes:
    """An ONNX file's network with fp16 weights and activations; input, outputs and pooling stay float32.

    Args:
        model: fp32 ONNX file with one input (batch, C, H, W) no subgraphs.

    Raises:
        MienError: its numbers are too large for fp16, or so small that they vanish.
    """
    half = convert(model)
    sizes = require("onnx", "robot").load_model_from_string(model).graph.input[0].type.tensor_type.shape.dim
    shape = [size.dim_value or 4 for size in sizes]
    expected, found = (run_graph(data, noise(tuple(shape))) for data in (model, half))
    for name, values in expected.items():
        with np.errstate(invalid="ignore"):  # infinite values give NaN
            cosine = float(cosines(*(one.reshape(len(one), -1) for one in (values, found[name]))).min())
        if not cosine >= SMALLEST_COSINE:  # NaN is none
            raise _out_of_range(f"the cosine between its {name} and that in fp32 is {cosine:.4f}")
    return half


def convert(model: bytes) -> bytes:
    """`to_fp16` without a look at what becomes of the numbers; what multiplies int8 stays as it is.

    Raises:
        MienError: its weights are too large for fp16.
    """
    onnx = require("onnx", "robot")
    return encode(_Typing(onnx, onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model))).convert())


class _Typing:
    """Writes a graph's nodes again, each in its type, with a Cast wherever the type of a value changes."""

    def __init__(self, onnx: Any, model: Any) -> None:
        self._onnx, self._model, self._graph = onnx, model, model.graph
        self._nodes: list[Any] = []
        self._constants = {constant.name: constant for constant in self._graph.initializer}
        values = [*self._graph.input, *self._graph.value_info, *self._graph.output]
        self._types = {value.name: value.type.tensor_type.elem_type for value in values}
        self._types |= {name: constant.data_type for name, constant in self._constants.items()}
        self._renamed: dict[tuple[str, int], str] = {}
        self._dequantised = {node.output[0] for node in self._graph.node if node.op_type == "DequantizeLinear"}

    def convert(self) -> Any:
        float32, outputs = self._onnx.TensorProto.FLOAT, {output.name for output in self._graph.output}
        for node in self._graph.node:
            wanted = self._type_of(node)
            for i, name in enumerate(node.input):
                if self._is_float(name):
                    node.input[i] = self._as(name, wanted)
            self._nodes.append(node)
            for i, name in enumerate(node.output):
                if self._is_float(name):
                    self._types[name] = wanted
                    if name in outputs and wanted != float32:
                        node.output[i] = f"{name}_fp16"
                        self._renamed[name, wanted] = node.output[i]
                        self._nodes.append(self._cast(node.output[i], name, float32))
        used = {name for node in self._nodes for name in node.input}
        del self._graph.node[:], self._graph.initializer[:]
        self._graph.node.extend(self._nodes)
        self._graph.initializer.extend(one for name, one in self._constants.items() if name in used)
        return self._model

    def _type_of(self, node: Any) -> int:
        """fp16 or fp32: what a node is done in."""
        tensor = self._onnx.TensorProto
        values = [name for name in node.input if self._is_float(name) and name not in self._constants]
        is_half = all(self._types[name] == tensor.FLOAT16 for name in values)
        follows = node.op_type in _FOLLOWING and is_half and values
        multiplies = node.op_type in _MULTIPLYING and self._dequantised.isdisjoint(node.input)
        wanted: int = tensor.FLOAT16 if multiplies or follows else tensor.FLOAT
        return wanted

    def _is_float(self, name: str) -> bool:
        tensor = self._onnx.TensorProto
        return self._types.get(name) in (tensor.FLOAT, tensor.FLOAT16)

    def _as(self, name: str, wanted: int) -> str:
        """A value's name in a type, converted where that has not been done yet."""
        if self._types[name] == wanted:
            return self._renamed.get((name, wanted), name)
        if (name, wanted) not in self._renamed:
            new = f"{name}_fp{16 if wanted == self._onnx.TensorProto.FLOAT16 else 32}"
            if name in self._constants:
                self._constants[new] = self._half(self._constants[name], new)
            else:
                self._nodes.append(self._cast(name, new, wanted))
            self._renamed[name, wanted] = new
        return self._renamed[name, wanted]

    def _half(self, constant: Any, name: str) -> Any:
        values = self._onnx.numpy_helper.to_array(constant)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if (np.isfinite(half) != np.isfinite(values)).any():
            raise _out_of_range(f"{constant.name} holds {np.abs(values[~np.isfinite(half)]).max():g}")
        return self._onnx.numpy_helper.from_array(half, name)

    def _cast(self, source: str, target: str, wanted: int) -> Any:
        return self._onnx.helper.make_node("Cast", [source], [target], f"cast_{target}", to=wanted)


def _out_of_range(why: str) -> MienError:
    return MienError(f"This network cannot be had in fp16: {why}", "Export it without fp16")
