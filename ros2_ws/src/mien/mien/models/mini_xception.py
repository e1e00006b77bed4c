"""mini-XCEPTION: Keras weights (.hdf5) to an ONNX backbone and a dense head, with h5py and onnx alone.

The network ends in a 3×3 convolution to one map per class, zero-padded, and a global average over the map. Both are
linear: the average over all positions of the map of class k is

    Σ over channels c and shifts s of  kernel[k, c, s] · mean over positions of (feature map c, shifted by s)

so the last layers are a dense layer on nine shifted means per channel. These means are the embedding (128 · 9 = 1152),
the kernel is the head's weight, and on-robot learning has a head to train. Zero padding makes a shifted mean the sum
over the part of the map that stays inside, over the number of all positions.

Architecture: O. Arriaga, P. Plöger, M. Valdenegro, "Real-time Convolutional Neural Networks for Emotion and Gender
Classification", 2017 (arXiv 1710.07557).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError, require

Array = NDArray[np.float32]
OPSET = 18
IR_VERSION = 9
"""Of June 2023: every ONNX Runtime and TensorRT that mien supports reads it."""


@dataclass(frozen=True)
class SplitNetwork:
    """A network split before its dense layer.

    Attributes:
        backbone: ONNX file; input `image` (n, 1, 64, 64), outputs `embedding` (n, 1152) and `feature_map`
            (n, 128, 4, 4).
        embedding_size: length of the embedding.
        weight: float32 (classes, embedding_size).
        bias: float32 (classes,).
    """

    backbone: bytes
    embedding_size: int
    weight: Array
    bias: Array


def convert_mini_xception(path: Path) -> SplitNetwork:
    """Convert the Keras file.

    Raises:
        MienError: it is not such a network, or h5py or onnx is missing.
    """
    h5py = require("h5py", "robot")
    try:
        with h5py.File(path, "r") as file:
            layers = json.loads(file.attrs["model_config"])["config"]["layers"]
            weights = {name: _tensors(group) for name, group in file["model_weights"].items()}
        graph = _Graph()
        for layer in layers:
            graph.add(layer, weights.get(layer["name"], {}))
        return graph.split()
    except (KeyError, OSError, ValueError, TypeError) as error:
        raise MienError(
            f"{path} is not a mini-XCEPTION in Keras' format ({error})", "Fetch it again: mien models fetch"
        ) from error


def _tensors(group: Any) -> dict[str, Array]:
    """A layer's tensors by their last name: such as kernel, bias or gamma."""
    names = [name.decode() if isinstance(name, bytes) else name for name in group.attrs["weight_names"]]
    return {name.rsplit("/", 1)[-1].split(":")[0]: np.asarray(group[name], np.float32) for name in names}


class _Graph:
    """The ONNX graph while it grows, with each value's channels and side (maps are square)."""

    def __init__(self) -> None:
        self._onnx = require("onnx", "robot")
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._shapes: dict[str, tuple[int, int]] = {}
        self._last_convolution: tuple[str, Array, Array] | None = None

    def add(self, layer: dict[str, Any], tensors: dict[str, Array]) -> None:
        """Translate one Keras layer."""
        kind, name, config = layer["class_name"], layer["name"], layer["config"]
        inputs = [inbound[0] for inbound in layer["inbound_nodes"][0]] if layer["inbound_nodes"] else []
        channels, side = self._shapes[inputs[0]] if inputs else (0, 0)
        if kind == "InputLayer":
            _, side, _, channels = config["batch_input_shape"]
            self._image_shape = (channels, side, side)
            self._node("Identity", ["image"], name)
        elif kind == "Conv2D":
            channels, side = self._convolve(name, inputs[0], tensors, config)
        elif kind == "SeparableConv2D":
            depthwise = np.transpose(tensors["depthwise_kernel"], (2, 3, 0, 1))
            self._slide("Conv", name + "_depthwise", inputs[0], depthwise, config, group=channels)
            side = _sliding(side, config)[0]
            pointwise = np.transpose(tensors["pointwise_kernel"], (3, 2, 0, 1))
            self._node("Conv", [name + "_depthwise", self._constant(name + "_pointwise", pointwise)], name)
            channels = len(pointwise)
        elif kind == "BatchNormalization":
            parts = [
                self._constant(f"{name}_{part}", tensors[part])
                for part in ("gamma", "beta", "moving_mean", "moving_variance")
            ]
            self._node("BatchNormalization", [*inputs, *parts], name, epsilon=config["epsilon"])
        elif kind == "MaxPooling2D":
            self._slide("MaxPool", name, inputs[0], None, config)
            side = _sliding(side, config)[0]
        elif kind == "Add":
            self._node("Add", inputs, name)
        elif kind == "Activation" and config["activation"] == "relu":
            self._node("Relu", inputs, name)
        elif kind != "GlobalAveragePooling2D" and (kind, config.get("activation")) != ("Activation", "softmax"):
            raise ValueError(f"unknown layer {kind} {name}")
        self._shapes[name] = (channels, side)

    def split(self) -> SplitNetwork:
        """Put the shifted means in place of the last convolution."""
        if self._last_convolution is None:
            raise ValueError("no last convolution")
        feature_map, kernel, bias = self._last_convolution
        channels, side = self._shapes[feature_map]
        size = channels * 9
        flat = self._constant("flat_shape", np.array([0, channels, side * side], np.int64))
        self._node("Reshape", [feature_map, flat], "positions")
        self._node("MatMul", ["positions", self._constant("shifts", _shifted_means(side))], "means")
        self._node("Reshape", ["means", self._constant("embedding_shape", np.array([0, size], np.int64))], "embedding")
        self._node("Identity", [feature_map], "feature_map")
        return SplitNetwork(self._encode(size, (channels, side, side)), size, kernel.reshape(len(kernel), size), bias)

    def _convolve(self, name: str, source: str, tensors: dict[str, Array], config: dict[str, Any]) -> tuple[int, int]:
        kernel = np.transpose(tensors["kernel"], (3, 2, 0, 1))
        if config["use_bias"]:  # only the last convolution has one
            self._last_convolution = (source, kernel, tensors["bias"])
        else:
            self._slide("Conv", name, source, kernel, config)
        return len(kernel), _sliding(self._shapes[source][1], config)[0]

    def _slide(
        self, operator: str, name: str, source: str, kernel: Array | None, config: dict[str, Any], **attributes: Any
    ) -> None:
        """A convolution or pooling with explicit padding, which every runtime understands alike."""
        window = config.get("kernel_size") or config["pool_size"]
        _, before, after = _sliding(self._shapes[source][1], config)
        self._node(
            operator,
            [source] if kernel is None else [source, self._constant(name + "_kernel", kernel)],
            name,
            kernel_shape=window,
            strides=config["strides"],
            pads=[before, before, after, after],
            **attributes,
        )

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, [output], output, **attributes))

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self._constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _encode(self, embedding_size: int, map_shape: tuple[int, ...]) -> bytes:
        onnx = self._onnx

        def value(name: str, *shape: int) -> Any:
            return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", *shape])

        graph = onnx.helper.make_graph(
            self._nodes,
            "mini_xception",
            [value("image", *self._image_shape)],
            [value("embedding", embedding_size), value("feature_map", *map_shape)],
            self._constants,
        )
        model = onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="mien"
        )
        onnx.checker.check_model(model, full_check=True)
        data: bytes = model.SerializeToString(deterministic=True)
        return data


def _sliding(side: int, config: dict[str, Any]) -> tuple[int, int, int]:
    """Output side and zero rows before and after, by Keras' rules for "same" and "valid"."""
    window = (config.get("kernel_size") or config["pool_size"])[0]
    stride = config["strides"][0]
    if config["padding"] == "valid":
        return (side - window) // stride + 1, 0, 0
    output = -(-side // stride)
    missing = max((output - 1) * stride + window - side, 0)
    return output, missing // 2, missing - missing // 2


def _shifted_means(side: int) -> Array:
    """float32 (side², 9): column dy · 3 + dx averages the positions that the shift (dy − 1, dx − 1) reads."""
    result = np.zeros((side, side, 9), np.float32)
    for shift in range(9):
        dy, dx = shift // 3 - 1, shift % 3 - 1
        rows, columns = slice(max(0, dy), side + min(0, dy)), slice(max(0, dx), side + min(0, dx))
        result[rows, columns, shift] = 1 / side**2
    return result.reshape(side * side, 9)
