"""The process that builds engines, with TensorRT for RTX: its parser and builder are real and need no GPU."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from mien.bundle import open_bundle
from mien.errors import MienError
from mien.models.cache import CACHE_VARIABLE
from mien.models.default_bundle import default_bundle
from mien.networks import backbone_model, detector_model
from mien.runtime.backend import BackendOptions, Model, load_network
from mien.runtime.build_engine import EngineBuild
from mien.runtime.engines import EngineCache, EngineKey, MissingEngineError

KEY = EngineKey("backbone", "0" * 64, "fp32", (-1, 1, 8, 8), 16, ("embedding",), None, "", "", "", "", "", "")


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started find TensorRT for RTX under the name of TensorRT, and an empty cache."""
    pytest.importorskip("tensorrt_rtx", reason="has wheels for x86_64 only")
    (tmp_path / "tensorrt.py").write_text("import sys, tensorrt_rtx\nsys.modules['tensorrt'] = tensorrt_rtx\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


def key_of(model: Model) -> EngineKey:
    network = load_network(model, BackendOptions())
    batch, depth, *size = network.input_shape
    height, width = model.input_size or size
    outputs = network.output_names
    network.close()
    return EngineKey(
        network=model.name,
        onnx_sha256=hashlib.sha256(model.files["fp32"]()).hexdigest(),
        precision="fp32",
        input_shape=tuple(-1 if side is None else side for side in (batch, depth, height, width)),
        largest_batch=model.largest_batch,
        outputs=outputs,
        preprocessing=model.preprocessing,
        tensorrt="1.7.1.116",
        cuda_driver="",
        cuda_runtime="",
        gpu="none: RTX's engines are compiled for one when they are loaded",
        compute_capability="",
        l4t="",
    )


def test_networks_of_the_default_bundle_are_built_and_kept(builder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.environ[CACHE_VARIABLE]
    monkeypatch.delenv(CACHE_VARIABLE)
    bundle = open_bundle(default_bundle())
    monkeypatch.setenv(CACHE_VARIABLE, here)
    onnx = bundle.read(bundle.manifest.detector.file)
    for model in (backbone_model(bundle, None), detector_model(onnx, 320, 240)):
        key, told = key_of(model), []
        EngineBuild(key).wait(model.files["fp32"], lambda what, share, told=told: told.append(share))
        assert len(EngineCache().find(key)) > 10_000
        assert len(told) > 1
        assert told == sorted(told)


def test_a_file_that_tensorrt_cannot_take_is_named(builder: None) -> None:
    shape = ["n", 1, 8, 8]
    graph = helper.make_graph(
        [helper.make_node("Sparkle", ["image"], ["embedding"], name="glitter")],
        "broken",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, shape)],
    )
    onnx = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    with pytest.raises(MienError, match=r"cannot build an engine of the backbone: .*Sparkle glitter"):
        EngineBuild(KEY).wait(lambda: onnx, lambda what, share: None)
    with pytest.raises(MissingEngineError):
        EngineCache().find(KEY)


def test_a_build_that_is_cancelled_says_so(builder: None) -> None:
    build = EngineBuild(KEY)
    build.cancel()
    with pytest.raises(MienError, match="ended with signal SIGKILL"):
        build.wait(lambda: b"", lambda what, share: None)
