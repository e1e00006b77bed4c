"""Real builds without a GPU, by tensorrt_rtx: what it takes and what we refuse before it does."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mien.errors import MienError
from mien.runtime.onnx_graph import graph_problems
from mien.runtime.tensorrt import Profile, build_engine, profile_of
from tests.conftest import small_backbone

pytestmark = pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")


@pytest.fixture(scope="module")
def rtx() -> ModuleType:
    return pytest.importorskip("tensorrt_rtx", reason="has wheels for x86_64 only")


def convolution(
    *,
    precision: str = "fp32",
    opset: int = 18,
    batch: int | str = "batch",
    activations: type[np.signedinteger[Any] | np.unsignedinteger[Any]] = np.int8,
    zero_point: int = 0,
    quantized_bias: bool = False,
    domain: str = "",
) -> bytes:
    """image (batch, 3, 8, 8) → Conv → ReLU → mean → embedding (batch, 4), in one of three precisions."""
    random = np.random.default_rng(0)
    weight, bias = random.normal(size=(4, 3, 3, 3)), random.normal(size=4)
    real = np.float16 if precision == "fp16" else np.float32
    stored = {"weight": weight.astype(real), "bias": bias.astype(real)}
    nodes = []
    image, kernel, offset = "image", "weight", "bias"
    if precision == "fp16":
        nodes.append(helper.make_node("Cast", ["image"], ["half"], to=TensorProto.FLOAT16))
        image = "half"
    if precision == "int8":
        stored |= {
            "image_scale": np.float32(0.02),
            "image_zero": activations(zero_point),
            "weight": np.clip(np.round(weight / 0.03), -127, 127).astype(np.int8),
            "weight_scale": np.full(4, 0.03, np.float32),
            "weight_zero": np.zeros(4, np.int8),
        }
        quantized = ["image_scale", "image_zero"]
        nodes += [
            helper.make_node("QuantizeLinear", ["image", *quantized], ["image_q"], "quantize image"),
            helper.make_node("DequantizeLinear", ["image_q", *quantized], ["image_dq"], "dequantize image"),
            helper.make_node(
                "DequantizeLinear",
                ["weight", "weight_scale", "weight_zero"],
                ["weight_dq"],
                "dequantize weight",
                axis=0,
            ),
        ]
        image, kernel = "image_dq", "weight_dq"
    if quantized_bias:
        stored |= {"bias": np.round(bias / 0.0006).astype(np.int32), "bias_scale": np.float32(0.0006)}
        nodes.append(helper.make_node("DequantizeLinear", ["bias", "bias_scale"], ["bias_dq"], "dequantize bias"))
        offset = "bias_dq"
    nodes += [
        helper.make_node("Conv", [image, kernel, offset], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"], "activate", domain=domain),
        helper.make_node("GlobalAveragePool", ["relu"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["embedding"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, 4])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return bytes(model.SerializeToString())


def external() -> bytes:
    model = onnx.load_model_from_string(convolution())
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "weights.bin")
    tensor.ClearField("raw_data")
    return bytes(model.SerializeToString())


def build(trt: ModuleType, model: bytes, largest_batch: int = 16) -> Any:
    profile = profile_of(model, "the backbone", largest_batch)
    return build_engine(trt, model, "the backbone", profile, b"", lambda *_: None)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("batch", ["batch", 1])
def test_small_networks_build_in_three_precisions(rtx: ModuleType, precision: str, batch: int | str) -> None:
    model = convolution(precision=precision, batch=batch)
    built = build(rtx, model)
    assert len(built.engine) > 1000
    size = -1 if batch == "batch" else 1
    assert [(one.name, one.dtype, one.shape, one.is_input) for one in built.tensors] == [
        ("image", "FLOAT", (size, 3, 8, 8), True),
        ("embedding", "FLOAT", (size, 4), False),
    ]


def test_builds_tell_how_far_they_are(rtx: ModuleType) -> None:
    told: list[float] = []
    model = small_backbone()
    profile = profile_of(model, "the backbone", 16)
    build_engine(rtx, model, "the backbone", profile, b"", lambda what, done: told.append(done))
    assert told == sorted(told)
    assert told[0] < 0.5
    assert told[-1] > 0.8


def test_a_closed_pipe_ends_a_real_build(rtx: ModuleType) -> None:
    def tell(what: str, done: float) -> None:
        raise BrokenPipeError

    model = small_backbone()
    with pytest.raises(MienError, match="the build gave no engine"):
        build_engine(rtx, model, "the backbone", profile_of(model, "the backbone", 16), b"", tell)


# ---- broken graphs: with our message, and before TensorRT


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (convolution(precision="int8", quantized_bias=True), "dequantize bias dequantizes an int32 bias"),
        (convolution(precision="int8", activations=np.uint8), "quantize image has activations or weights that are not"),
        (convolution(precision="int8", zero_point=3), "quantize image has a zero point other than 0"),
        (convolution(opset=21), "it needs opset 21: export it with opset 20 or older"),
        (convolution(domain="com.microsoft"), "it has operators of com.microsoft"),
        (external(), "its weights are in another file"),
    ],
)
def test_what_tensorrt_cannot_take_is_refused(rtx: ModuleType, model: bytes, said: str) -> None:
    with pytest.raises(MienError) as caught:
        build(rtx, model)
    assert str(caught.value).startswith("TensorRT cannot run the backbone: ")
    assert said in str(caught.value)


def test_a_free_batch_needs_a_profile(rtx: ModuleType) -> None:
    with pytest.raises(MienError, match=r"input of the backbone has a free size.*profile"):
        build_engine(rtx, convolution(), "the backbone", None, b"", lambda *_: None)


def test_what_only_tensorrt_finds_names_the_node(rtx: ModuleType) -> None:
    model = onnx.load_model_from_string(convolution())
    next(node for node in model.graph.node if node.name == "activate").op_type = "Sparkle"
    with pytest.raises(MienError, match=r"TensorRT 1\.7.* cannot build .*Sparkle activate: "):
        build(rtx, model.SerializeToString())


def test_shapes_that_do_not_fit_are_refused(rtx: ModuleType) -> None:
    wrong = Profile("image", (1, 3, 9, 9), (2, 3, 9, 9), (4, 3, 9, 9))
    with pytest.raises(MienError, match="cannot build an engine of the backbone"):
        build_engine(rtx, convolution(), "the backbone", wrong, b"", lambda *_: None)


def test_a_file_that_is_not_onnx_is_refused() -> None:
    with pytest.raises(MienError, match="the backbone is not an ONNX file"):
        graph_problems(b"not a model", "the backbone")


def test_types_other_than_float32_are_refused() -> None:
    model = onnx.load_model_from_string(convolution())
    model.graph.node[-1].attribute[0].i = TensorProto.FLOAT16
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    problems = graph_problems(model.SerializeToString(), "the backbone")
    assert problems == ["embedding is float16: export it with float32 inputs and outputs"]
