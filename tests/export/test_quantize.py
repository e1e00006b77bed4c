"""int8 between Q/DQ pairs: what TensorRT takes, and nothing where it would change the embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.parity import cosines, expected_agreement
from export.qdq import is_quantised, multiply_accumulates, quantised_share, read_model
from export.quantize import COSINE, quantize
from mien.errors import MienError
from mien.expression.head import DenseLayerSpec, Head, HeadOutputSpec, HeadPartSpec, HeadSpec
from mien.runtime.backend import BackendOptions, Model, load_network
from mien.runtime.onnx_graph import graph_problems
from mien.runtime.tensorrt import build_engine, profile_of

Floats = NDArray[np.float32]
pytestmark = pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
LARGE = 1e4
"""Beside values of about 1, which one scale for all then rounds to 0."""


def pictures(count: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((count, 2, 8, 8)).astype(np.float32)


def network(*, has_plain: bool = True, has_uneven: bool = False) -> bytes:
    """image (n, 2, 8, 8) → convolutions → mean → embedding (n, 4).

    `plain` has nothing that 8 bits could not hold. `uneven` reads a large channel, which it has no weights for, and a
    small one, on which all depends.
    """
    random = np.random.default_rng(1)
    stored = {
        "plain_weight": random.normal(size=(4, 2, 3, 3)),
        "scale": np.array([LARGE, 1, 1, 1]).reshape(1, 4, 1, 1),
        "uneven_weight": random.normal(size=(4, 4, 1, 1)) * np.array([0, 1, 1, 1]).reshape(1, 4, 1, 1),
        "bias": random.normal(size=4) * 0.1,
    }
    nodes, last = [], "image"
    if has_plain:
        nodes.append(helper.make_node("Conv", ["image", "plain_weight", "bias"], ["plain"], pads=[1, 1, 1, 1]))
        last = "plain"
    if has_uneven:
        if not has_plain:
            nodes.append(helper.make_node("Concat", ["image", "image"], ["doubled"], axis=1))
            last = "doubled"
        nodes.append(helper.make_node("Mul", [last, "scale"], ["scaled"]))
        nodes.append(helper.make_node("Conv", ["scaled", "uneven_weight", "bias"], ["uneven"]))
        last = "uneven"
    nodes += [
        helper.make_node("Relu", [last], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
    ]
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 2, 8, 8])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(np.asarray(v, np.float32), name) for name, v in stored.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def head(size: int = 4, bias: float = 0.0) -> Head:
    """Two classes that hang on the difference of the first two numbers of an embedding, minus a bias."""
    part = HeadPartSpec("all", 0, size, (DenseLayerSpec("weight", "bias"),))
    weight = np.zeros((2, size), np.float32)
    weight[0, :2] = 1, -1
    tensors = {"weight": weight, "bias": np.array([-bias, 0], np.float32)}
    return Head(HeadSpec(classes=HeadOutputSpec("softmax", (part,))), tensors, 2, size)


def embeddings(model: bytes, batch: Floats) -> Floats:
    return np.array(load_network(Model.of("backbone", "test", model), BackendOptions()).run(batch)["embedding"])


def test_a_quantised_network_gives_the_same_embeddings() -> None:
    fp32 = network()
    int8 = quantize(fp32, pictures(64), head())
    assert is_quantised(read_model(int8)) == {"plain": True}
    others = pictures(100, seed=7)
    cosine = cosines(embeddings(fp32, others), embeddings(int8, others))
    assert COSINE <= cosine.mean() < 1  # not the same file
    assert quantize(fp32, pictures(64), head()) == int8


def test_weights_are_stored_in_8_bits_a_scale_for_each_output_and_biases_in_float() -> None:
    proto = read_model(quantize(network(), pictures(64), head()))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    (conv,) = (node for node in proto.graph.node if node.op_type == "Conv")
    (weights,) = (node for node in proto.graph.node if node.output[0] == conv.input[1])
    values, scale, zero = (stored[name] for name in weights.input)
    assert (values.dtype, scale.shape, zero.dtype) == (np.int8, (4,), np.int8)
    assert np.abs(values.reshape(4, -1)).max(axis=1).tolist() == [127] * 4
    assert stored[conv.input[2]].dtype == np.float32
    assert "plain_weight" not in stored


def after_relu(*, is_padded: bool) -> bytes:
    """image (n, 2, 8, 8) → a convolution that nothing is lost in → ReLU → convolution → embedding (n, 4)."""
    random = np.random.default_rng(2)
    stored = {"one": np.eye(2).reshape(2, 2, 1, 1), "weight": random.normal(size=(4, 2, 3, 3))}
    nodes = [
        helper.make_node("Conv", ["image", "one"], ["same"]),
        helper.make_node("Relu", ["same"], ["relu"]),
        helper.make_node("Conv", ["relu", "weight"], ["conv"], pads=[int(is_padded)] * 4),
        helper.make_node("GlobalAveragePool", ["conv"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "after_relu",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 2, 8, 8])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(np.asarray(v, np.float32), name) for name, v in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("is_padded", [False, True])
def test_values_of_a_relu_use_all_8_bits_where_nothing_is_padded(is_padded: bool) -> None:
    fp32 = after_relu(is_padded=is_padded)
    known, others = pictures(64), pictures(100, seed=7)
    proto = read_model(quantize(fp32, known, head()))
    assert is_quantised(proto)["conv"]
    (steps,) = (node for node in proto.graph.node if node.op_type == "QuantizeLinear" and "relu" in node.input[0])
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    largest = 254 * float(stored[steps.input[1]])
    assert largest == pytest.approx(known.max() * (2 if is_padded else 1), rel=0.35)
    wanted, found = embeddings(fp32, others), embeddings(proto.SerializeToString(), others)
    assert np.abs((found - wanted).mean(axis=0)).max() < 0.02 * np.abs(wanted).max()


def test_the_work_of_convolutions_is_counted() -> None:
    fp32 = read_model(network(has_uneven=True))
    plain, uneven = 4 * 2 * 3 * 3 * 8 * 8, 4 * 4 * 8 * 8
    assert multiply_accumulates(fp32) == {"plain": plain, "uneven": uneven}
    assert quantised_share(fp32) == 0
    int8 = read_model(quantize(network(has_uneven=True), pictures(64), head()))
    assert quantised_share(int8) == plain / (plain + uneven)


def test_the_other_layers_are_half_where_their_numbers_allow_it() -> None:
    int8 = read_model(quantize(network(has_uneven=True), pictures(64), head()))
    stored = {tensor.name: tensor.data_type for tensor in int8.graph.initializer}
    (uneven,) = (node for node in int8.graph.node if node.op_type == "Conv" and node.input[1] in stored)
    assert stored[uneven.input[1]] == TensorProto.FLOAT16


def test_labels_that_hang_by_a_thread_keep_a_layer_float() -> None:
    fp32 = network()
    one = np.repeat(pictures(1), 64, axis=0)
    assert is_quantised(read_model(quantize(fp32, one, head()))) == {"plain": True}
    first, second, *_ = embeddings(fp32, one)[0]
    with pytest.raises(MienError, match="labels"):
        quantize(fp32, one, head(bias=float(first - second)))


def test_expected_agreement_follows_change_and_distance() -> None:
    def two(margins: list[float]) -> Floats:
        first = 1 / (1 + np.exp(-np.array(margins)))
        return np.stack([first, 1 - first], axis=1).astype(np.float32)

    wanted = two([1.0, -1.0, 2.0, 3.0])
    assert expected_agreement(wanted, wanted, wanted) == 1
    # The change's spread is 1: half of those on the border change sides, one in six a spread away.
    changed = two([2.0, -2.0, 1.0, 4.0])
    assert expected_agreement(changed, wanted, two([0.0])) == pytest.approx(0.5)
    assert expected_agreement(changed, wanted, two([1.0, 0.0])) == pytest.approx((0.8413 + 0.5) / 2, abs=1e-3)


def test_tensorrt_takes_it() -> None:
    int8 = quantize(network(has_uneven=True), pictures(64), head())
    assert graph_problems(int8, "int8") == []
    rtx = pytest.importorskip("tensorrt_rtx", reason="has wheels for x86_64 only")
    built = build_engine(rtx, int8, "int8", profile_of(int8, "int8", 16), b"", lambda _what, _share: None)
    assert built.engine
    assert [(tensor.name, tensor.dtype) for tensor in built.tensors] == [("image", "FLOAT"), ("embedding", "FLOAT")]


def test_a_layer_that_8_bits_cannot_hold_stays_float() -> None:
    fp32 = network(has_uneven=True)
    int8 = quantize(fp32, pictures(64), head())
    assert is_quantised(read_model(int8)) == {"plain": True, "uneven": False}
    others = pictures(100, seed=7)
    assert cosines(embeddings(fp32, others), embeddings(int8, others)).mean() >= COSINE


def test_where_no_layer_can_be_quantised_it_is_said() -> None:
    with pytest.raises(MienError, match="Not one layer"):
        quantize(network(has_plain=False, has_uneven=True), pictures(64), head())


def test_every_step_is_told() -> None:
    done: list[tuple[int, int]] = []
    quantize(network(has_uneven=True), pictures(64), head(), lambda *counts: done.append(counts))
    numbers, totals = zip(*done, strict=True)
    assert len(set(totals)) == 1
    assert list(numbers[:-1]) == list(range(1, len(numbers)))
    assert numbers[-2] <= numbers[-1] == totals[0]
    assert len(done) > 3  # each of two layers alone, then together


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(MienError, match="calibrated on 15 pictures"):
        quantize(network(), pictures(15), head())


def test_what_is_no_onnx_file_is_refused() -> None:
    with pytest.raises(MienError, match="not an ONNX file"):
        quantize(b"no such thing", pictures(64), head())


def test_cosines_of_what_is_nothing() -> None:
    zero, one = np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)
    assert [float(cosines(a, b)[0]) for a, b in ((zero, zero), (zero, one), (one, one))] == [1, 0, pytest.approx(1)]
