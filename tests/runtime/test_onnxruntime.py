"""ONNX Runtime: which provider runs a network, what it is told, and that none is taken for another."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mien.bundle import Precision
from mien.errors import MienError
from mien.models.cache import CACHE_VARIABLE
from mien.runtime.backend import BACKENDS, BackendOptions, Model, Network, load_network
from mien.runtime.onnxruntime import session_options
from tests.conftest import SIZE_PX, small_backbone

LARGEST_BATCH = 16
OTHERS = {
    "onnxruntime-cuda": "CUDAExecutionProvider",
    "onnxruntime-tensorrt": "TensorrtExecutionProvider",
    "onnxruntime-openvino": "OpenVINOExecutionProvider",
}


def load(backend: str, onnx: bytes | None = None, threads: int = 1, size: tuple[int, int] | None = None) -> Network:
    model = Model("backbone", "a test", {"fp32": lambda: onnx or small_backbone()}, LARGEST_BATCH, size)
    return load_network(model, BackendOptions(backend, threads))


@pytest.fixture
def faces() -> np.ndarray:
    return np.random.default_rng(0).random((40, 1, SIZE_PX, SIZE_PX), np.float32)


class Sessions:
    """Stands in for sessions with providers that are not installed: runs on the CPU and notes what was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.providers: list[list[Any]] = []
        self.batches: list[int] = []
        real, stand_in = onnxruntime.InferenceSession, self

        class Session:
            def __init__(self, model: bytes, options: Any, *, providers: list[Any], enable_fallback: int) -> None:
                stand_in.providers.append(providers)
                self._session = real(model, options, providers=["CPUExecutionProvider"])
                self.get_inputs, self.get_outputs = self._session.get_inputs, self._session.get_outputs
                self.get_providers = lambda: [name for name, _ in providers]

            def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
                stand_in.batches.append(len(next(iter(inputs.values()))))
                return self._session.run(names, inputs)

        monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [*OTHERS.values(), "CPUExecutionProvider"])

    def asked(self) -> tuple[list[str], dict[str, str]]:
        """Names of the providers of the last session, and the options of its first."""
        return [name for name, _ in self.providers[-1]], self.providers[-1][0][1]


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sessions:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    return Sessions(monkeypatch)


def test_every_provider_can_be_chosen() -> None:
    assert {"onnxruntime", *OTHERS} <= set(BACKENDS)
    assert "CPU" in load("onnxruntime").runtime


@pytest.mark.parametrize("backend", OTHERS)
def test_a_provider_that_is_not_installed_is_named_with_its_package(backend: str) -> None:
    if OTHERS[backend] in onnxruntime.get_available_providers():
        pytest.skip("it is installed here")
    package = "onnxruntime-openvino" if "openvino" in backend else "onnxruntime-gpu"
    with pytest.raises(MienError, match=rf"here has no .*Install {package} in place of onnxruntime"):
        load(backend)


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize("backend", OTHERS)
def test_the_cpu_never_serves_for_a_provider_that_does_not_start(
    backend: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # As where the package is installed and the GPU's libraries are not: ONNX Runtime leaves the provider out.
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [OTHERS[backend], "CPUExecutionProvider"])
    with pytest.raises(MienError, match=r"cannot start .* It needs .* Or choose the backend onnxruntime"):
        load(backend)


@pytest.mark.parametrize("backend", OTHERS)
def test_what_a_provider_cannot_run_goes_to_the_cpu(backend: str, sessions: Sessions, faces: np.ndarray) -> None:
    network = load(backend, threads=3)
    names, options = sessions.asked()
    assert (names[0], names[-1]) == (OTHERS[backend], "CPUExecutionProvider")
    assert ("CUDAExecutionProvider" in names) == (backend != "onnxruntime-openvino")
    assert (options.get("num_of_threads") == "3") == (backend == "onnxruntime-openvino")
    assert network.run(faces[:2])["embedding"].shape == (2, 4)


def test_tensorrt_keeps_its_engines_and_builds_for_every_batch_at_once(
    sessions: Sessions, faces: np.ndarray, tmp_path: Path
) -> None:
    expected = faces.reshape(-1, 2, 4, 2, 4).mean(axis=(2, 4)).reshape(-1, 4)
    network = load("onnxruntime-tensorrt")
    _, options = sessions.asked()
    kept = {options["trt_engine_cache_path"], options["trt_timing_cache_path"]}
    assert all(Path(folder).is_dir() and tmp_path in Path(folder).parents for folder in kept)
    assert options["trt_profile_min_shapes"] == "image:1x1x8x8"
    assert options["trt_profile_max_shapes"] == "image:16x1x8x8"
    outputs = network.run(faces)
    assert sessions.batches == [16, 16, 8]
    assert np.allclose(outputs["embedding"], expected, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_tensorrt_is_allowed_the_precision_of_the_file(precision: Precision, sessions: Sessions) -> None:
    files: dict[Precision, Any] = dict.fromkeys(("fp32", "fp16", "int8"), small_backbone)
    load_network(Model("backbone", "a test", files), BackendOptions("onnxruntime-tensorrt", precision=precision))
    allowed = {name for name in sessions.asked()[1] if name in ("trt_fp16_enable", "trt_int8_enable")}
    assert allowed == ({f"trt_{precision}_enable"} if precision != "fp32" else set())


@pytest.mark.parametrize("precision", [None, "fp16"])
def test_the_file_of_the_precision_asked_for_is_read(precision: Precision | None) -> None:
    read: list[str] = []

    def file(name: str) -> bytes:
        read.append(name)
        return small_backbone()

    names: tuple[Precision, ...] = ("int8", "fp16", "fp32")
    files = {name: partial(file, name) for name in names}
    load_network(Model("backbone", "a test", files), BackendOptions(precision=precision))
    assert read == [precision or "fp32"]


def test_tensorrt_needs_no_range_where_the_batch_is_fixed(sessions: Sessions) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, "height", "width"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 1, "height", "width"])
    load("onnxruntime-tensorrt", graph([helper.make_node("Relu", ["image"], ["out"])], image, out), size=(32, 64))
    assert not any("profile" in name for name in sessions.asked()[1])


def test_int8_products_are_exact() -> None:
    # Every product at its largest: pairs of them overflow 16 bits on CPUs without VNNI.
    channels = 8
    weight = np.full((1, channels, 1, 1), 127, np.int8)
    constants = {"scale": np.float32(1.0), "zero": np.int8(0), "weight": weight}
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["small"]),
        helper.make_node("DequantizeLinear", ["small", "scale", "zero"], ["again"]),
        helper.make_node("DequantizeLinear", ["weight", "scale", "zero"], ["kernel"]),
        helper.make_node("Conv", ["again", "kernel"], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", "coarse", "zero"], ["quantised"]),
        helper.make_node("DequantizeLinear", ["quantised", "coarse", "zero"], ["out"]),
    ]
    constants["coarse"] = np.float32(127 * channels)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", channels, 4, 4])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 1, 4, 4])
    network = load("onnxruntime", graph(nodes, image, out, constants))
    sums = network.run(np.full((2, channels, 4, 4), 127, np.float32))["out"]
    assert np.array_equal(sums, np.full((2, 1, 4, 4), 127 * 127 * channels, np.float32))
    # What CPUs with VNNI do not show.
    assert session_options(1, None).get_session_config_entry("session.x64quantprecision") == "1"


def graph(nodes: list[Any], source: Any, target: Any, constants: dict[str, Any] | None = None) -> bytes:
    initialisers = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    whole = helper.make_graph(nodes, "test", [source], [target], initialisers)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())
