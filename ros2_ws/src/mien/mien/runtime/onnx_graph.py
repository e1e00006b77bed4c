"""What TensorRT needs of an ONNX file, checked before it sees it: its own messages name neither cause nor remedy.

Needs the `onnx` package, which running an engine does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mien.errors import MienError, require

NEWEST_OPSET = 20
"""The newest that TensorRT 10.3, the one of JetPack 6, reads."""


@dataclass(frozen=True, slots=True)
class Input:
    """The one input of a network: its name, and its shape with None where the size is free."""

    name: str
    shape: tuple[int | None, ...]


def read_input(model: bytes, name: str) -> Input:
    """The input of an ONNX file.

    Args:
        model: the file.
        name: what to call it in errors.

    Raises:
        MienError: it cannot be read, or has not one input.
    """
    inputs = _inputs(_read(model, name).graph)
    if len(inputs) != 1:
        raise MienError(f"{name} has {len(inputs)} inputs", "Export it with one float32 input")
    return Input(inputs[0].name, _shape(inputs[0]))


def graph_problems(model: bytes, name: str) -> list[str]:
    """Why TensorRT cannot build an engine of an ONNX file, one sentence for each reason; empty where it may.

    Args:
        model: the file.
        name: what to call it in errors.

    Raises:
        MienError: it cannot be read.
    """
    proto = _read(model, name)
    return [*_file_problems(proto), *_type_problems(proto), *_quantization_problems(proto)]


def _read(model: bytes, name: str) -> Any:
    onnx = require("onnx", "robot")
    try:
        return onnx.load_model_from_string(model)
    except Exception as error:  # protobuf's implementations raise their own types
        raise MienError(f"{name} is not an ONNX file ({error})", "Fetch or export the bundle again") from error


def _inputs(graph: Any) -> list[Any]:
    constants = {tensor.name for tensor in graph.initializer}
    return [one for one in graph.input if one.name not in constants]


def _shape(value: Any) -> tuple[int | None, ...]:
    dimensions = value.type.tensor_type.shape.dim
    return tuple(size.dim_value if size.HasField("dim_value") else None for size in dimensions)


def _file_problems(proto: Any) -> Iterator[str]:
    if any(tensor.external_data for tensor in proto.graph.initializer):
        yield "its weights are in another file: export it with its weights inside"
    for used in proto.opset_import:
        if used.domain in ("", "ai.onnx") and used.version > NEWEST_OPSET:
            yield f"it needs opset {used.version}: export it with opset {NEWEST_OPSET} or older"
    for domain in sorted({node.domain for node in proto.graph.node} - {"", "ai.onnx"}):
        yield f"it has operators of {domain}: export it with ONNX's own operators only"


def _type_problems(proto: Any) -> Iterator[str]:
    types = require("onnx", "robot").TensorProto
    for value in (*_inputs(proto.graph), *proto.graph.output):
        if value.type.tensor_type.elem_type != types.FLOAT:
            kind = types.DataType.Name(value.type.tensor_type.elem_type).lower()
            yield f"{value.name} is {kind}: export it with float32 inputs and outputs"


def _quantization_problems(proto: Any) -> Iterator[str]:
    """Of QuantizeLinear and DequantizeLinear: TensorRT takes symmetric int8 only, and biases in float."""
    constants = _constants(proto.graph)
    types = require("onnx", "robot").TensorProto
    for node in proto.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        values = constants.get(node.input[0])
        zero_point = constants.get(node.input[2]) if len(node.input) > 2 else None
        # The zero point says the quantized side's type, else the stored weights do; ONNX's default is uint8.
        typed = zero_point or (values if node.op_type == "DequantizeLinear" else None)
        where = node.name or node.output[0]
        if values is not None and values.data_type == types.INT32:
            yield f"{where} dequantizes an int32 bias: quantize without biases"
        elif typed is None or typed.data_type != types.INT8:
            yield f"{where} has activations or weights that are not int8 (uint8?): quantize both to int8"
        elif zero_point is not None and np.any(require("onnx.numpy_helper", "robot").to_array(zero_point)):
            yield f"{where} has a zero point other than 0: quantize symmetrically"


def _constants(graph: Any) -> dict[str, Any]:
    """Stored tensors by name, as initializers and as Constant nodes."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                stored[node.output[0]] = attribute.t
    return stored
