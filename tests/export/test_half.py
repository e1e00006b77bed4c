"""fp16 files: half precision where it pays, float32 where it matters and at both ends."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.half import to_fp16
from mien.bundle import open_bundle
from mien.errors import MienError
from mien.models.default_bundle import default_bundle
from mien.runtime.backend import BackendOptions, Model, load_network


def two_convolutions(first: float, second: float) -> bytes:
    """Image (batch, 1, 8, 8) → two convolutions of one weight each → mean over the map."""
    weights = [
        numpy_helper.from_array(np.full((1, 1, 1, 1), w, np.float32), f"w{i}") for i, w in enumerate((first, second))
    ]
    axes = numpy_helper.from_array(np.array([2, 3]), "axes")
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["a"]),
        helper.make_node("Conv", ["a", "w1"], ["b"]),
        helper.make_node("Relu", ["b"], ["map"]),
        helper.make_node("ReduceMean", ["map", "axes"], ["embedding"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 1]),
            helper.make_tensor_value_info("map", TensorProto.FLOAT, ["batch", 1, 8, 8]),
        ],
        [*weights, axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def types(data: bytes) -> dict[str, int]:
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(data), check_type=True, strict_mode=True)
    values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    return {value.name: value.type.tensor_type.elem_type for value in values}


def test_convolutions_are_half_and_means_and_ends_are_not() -> None:
    data = to_fp16(two_convolutions(0.5, 3.0))
    found = types(data)
    assert {name: found[name] for name in ("image", "embedding", "map")} == dict.fromkeys(
        ("image", "embedding", "map"), TensorProto.FLOAT
    )
    model = onnx.load_model_from_string(data)
    for node in model.graph.node:
        if node.op_type in ("Conv", "Relu"):
            assert found[node.output[0]] == TensorProto.FLOAT16, node.name
        if node.op_type == "ReduceMean":
            assert found[node.input[0]] == TensorProto.FLOAT
    assert {one.data_type for one in model.graph.initializer if one.name != "axes"} == {TensorProto.FLOAT16}
    names = [one.name for one in model.graph.initializer]
    assert len(names) == 3, names
    casts = [list(node.output) for node in model.graph.node if node.op_type == "Cast"]
    assert len(casts) == 3, casts  # the image, the map for the mean, the map for its output


def test_the_default_bundle_gives_the_same_in_half_the_bytes() -> None:
    bundle = open_bundle(default_bundle())
    whole = bundle.read(bundle.manifest.backbone.files["fp32"])
    half = to_fp16(whole)
    assert len(half) < 0.6 * len(whole)
    pictures = np.random.default_rng(1).uniform(-1, 1, (3, 1, 64, 64)).astype(np.float32)
    embeddings = []
    for data in (whole, half):
        network = load_network(Model.of("backbone", "default", data), BackendOptions())
        embeddings.append(np.array(network.run(pictures)["embedding"]))
        network.close()
    first, second = embeddings
    assert 0 < np.abs(first - second).max() < 0.01 * np.abs(first).max()


def test_weights_that_fp16_does_not_have_are_refused() -> None:
    with pytest.raises(MienError, match=r"w1 holds 100000.*without fp16"):
        to_fp16(two_convolutions(1.0, 1e5))


@pytest.mark.parametrize("weight", [6e4, 1e-6])
def test_values_that_grow_too_large_or_vanish_are_refused(weight: float) -> None:
    with pytest.raises(MienError, match=r"cosine .* is (nan|0\.\d+|-0\.\d+)\. Export it without fp16"):
        to_fp16(two_convolutions(weight, weight))
