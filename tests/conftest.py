"""Fixtures for all tests."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from onnx import TensorProto, helper

from mien.bundle import open_bundle
from mien.models.default_bundle import default_bundle

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell in the background ignores Ctrl+C, and so would all processes that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

LABELS = ["anger", "happiness", "neutral"]
SIZE_PX = 8
EMBEDDING = 4


def small_backbone() -> bytes:
    """A network (n, 1, 8, 8) → embedding (n, 4): the means of the four quadrants."""
    pool = helper.make_node("AveragePool", ["image"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4])
    flat = helper.make_node("Flatten", ["pooled"], ["embedding"])
    graph = helper.make_graph(
        [pool, flat],
        "quadrants",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, SIZE_PX, SIZE_PX])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", EMBEDDING])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def write_bundle(folder: Path, change: dict[str, Any] | None = None) -> Path:
    """Write a small valid bundle; `change` replaces manifest fields by dotted path, e.g. {"head.file.sha256": "…"}."""
    folder.mkdir(parents=True, exist_ok=True)
    weight = np.eye(len(LABELS), EMBEDDING, dtype=np.float32)
    files = {
        "detector.onnx": b"not loaded here",
        "backbone.fp32.onnx": small_backbone(),
        "head.safetensors": safetensors.numpy.save(
            {"classes.0.weight": weight, "classes.0.bias": np.zeros(len(LABELS), np.float32)}
        ),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)

    def file(name: str) -> dict[str, str]:
        sha256 = hashlib.sha256(files[name]).hexdigest()
        return {"path": name, "sha256": sha256, "source": "test", "licence": "Apache-2.0"}

    layer = {"weight": "classes.0.weight", "bias": "classes.0.bias", "activation": "linear"}
    part = {"name": "face", "start": 0, "stop": EMBEDDING, "layers": [layer]}
    manifest: dict[str, Any] = {
        "format": "mien-bundle",
        "version": 1,
        "name": "small",
        "description": "for tests",
        "licence": "Apache-2.0",
        "lineage": "none",
        "data_sets": [],
        "labels": LABELS,
        "detector": {
            "kind": "yunet",
            "file": file("detector.onnx"),
            "width": 320,
            "score_threshold": 0.6,
            "nms_threshold": 0.3,
        },
        "backbone": {
            "files": {"fp32": file("backbone.fp32.onnx")},
            "input": {"width": SIZE_PX, "height": SIZE_PX, "channels": "grey", "mean": [0.0], "scale": [1 / 255]},
            "crop": {"kind": "box", "margin": 0.0},
            "embedding_output": "embedding",
            "embedding_size": EMBEDDING,
        },
        "head": {
            "file": file("head.safetensors"),
            "spec": {"classes": {"combine": "softmax", "parts": [part]}},
        },
        "valence_arousal": {
            "source": "circumplex",
            "coordinates": {"anger": [-0.5, 0.6], "happiness": [0.8, 0.5], "neutral": [0.0, 0.0]},
            "citation": "test",
        },
    }
    for path, value in (change or {}).items():
        *parents, last = path.split(".")
        place = manifest
        for name in parents:
            place = place[name]
        place[last] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def write_affect_bundle(folder: Path) -> Path:
    """Write the default bundle with a head of twins instead of classes (paper 002).

    Valence stands on the first half of the embedding, arousal on the second; both are the tanh of one dense layer.
    """
    shutil.copytree(default_bundle(), folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    size = manifest["backbone"]["embedding_size"]
    happiness = open_bundle(folder).manifest.labels.index("happiness")
    weight = safetensors.numpy.load((folder / "head.safetensors").read_bytes())["classes.weight"][happiness] / 8
    tensors, spec = {}, {}
    for name, start in (("valence", 0), ("arousal", size // 2)):
        tensors |= {f"{name}.weight": weight[None, start : start + size // 2].copy(), f"{name}.bias": np.zeros(1, "f4")}
        layer = {"weight": f"{name}.weight", "bias": f"{name}.bias", "activation": "tanh"}
        part = {"name": name, "start": start, "stop": start + size // 2, "layers": [layer]}
        spec[name] = {"combine": "linear", "parts": [part]}
    head = safetensors.numpy.save(tensors)
    (folder / "head.safetensors").write_bytes(head)
    manifest["head"]["file"]["sha256"] = hashlib.sha256(head).hexdigest()
    manifest["head"]["spec"] = spec
    manifest["labels"] = []
    manifest["valence_arousal"] = {"source": "head"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="session")
def affect_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that tells valence and arousal of real faces, and no classes; not to be changed."""
    return write_affect_bundle(tmp_path_factory.mktemp("affect") / "bundle")


@pytest.fixture
def small_bundle(tmp_path: Path) -> Path:
    """A small valid bundle with a real backbone and head."""
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def make_bundle(tmp_path: Path) -> Any:
    """A function that writes the small bundle with changed manifest fields."""
    return lambda change=None, name="bundle": write_bundle(tmp_path / name, change)
