"""The recogniser on small networks: what it computes, and networks that do not fit their manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mien.bundle import open_bundle
from mien.errors import MienError
from mien.expression.recogniser import FaceInImage, Recogniser
from mien.faces.detector import Box
from mien.runtime.backend import BackendOptions


def network(batch: Any = "n", inputs: int = 1, kind: int = TensorProto.FLOAT, scale: float = 1.0) -> onnx.ModelProto:
    """(batch, 1, 8, 8) → embedding (batch, 4): the quadrants' means times a scale."""
    names = ["image", "second"][:inputs]
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["pixels"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Mul", ["flat", "scale"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "quadrants",
        [helper.make_tensor_value_info(name, kind, [batch, 1, 8, 8]) for name in names],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, 4])],
        [numpy_helper.from_array(np.array([scale], np.float32), "scale")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture
def recogniser_of(make_bundle: Any) -> Any:
    """Make the small bundle's recogniser with another backbone: `recogniser_of(model)`."""

    def make(model: onnx.ModelProto) -> Recogniser:
        data = model.SerializeToString()
        folder: Path = make_bundle({"backbone.files.fp32.sha256": hashlib.sha256(data).hexdigest()})
        (folder / "backbone.fp32.onnx").write_bytes(data)
        return Recogniser(open_bundle(folder), BackendOptions())

    return make


def test_faces_of_several_images_share_a_batch(recogniser_of: Any) -> None:
    bright_left = np.zeros((80, 80), np.uint8)
    bright_left[:40, :40] = 255  # the first quadrant, which the head calls anger
    bright_right = bright_left[:, ::-1].copy()  # the second: happiness
    recogniser = recogniser_of(network(scale=8.0))
    box = Box(0, 0, 80, 80)
    batch = recogniser.prepare([FaceInImage(bright_left, box), FaceInImage(bright_right, box)])
    recognition = recogniser.classify(batch)
    assert recognition.probabilities.argmax(axis=1).tolist() == [0, 1]
    assert recognition.valence[0] < 0 < recognition.valence[1]
    assert recognition.embeddings.shape == (2, 4)


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (network(batch=1), "batches of 1"),
        (network(inputs=2), "second"),
        (network(kind=TensorProto.FLOAT16), "float16"),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused(recogniser_of: Any, model: onnx.ModelProto, word: str) -> None:
    with pytest.raises(MienError, match=word):
        recogniser_of(model)


def test_numbers_that_are_not_finite_are_never_published(recogniser_of: Any) -> None:
    recogniser = recogniser_of(network(scale=float("inf")))
    with pytest.raises(MienError, match="not finite"):
        recogniser.classify(recogniser.prepare([FaceInImage(np.zeros((9, 9), np.uint8), Box(0, 0, 9, 9))]))


def test_weights_outside_the_checked_file_are_refused(
    recogniser_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network()
    monkeypatch.chdir(tmp_path)
    onnx.save(model, "model.onnx", save_as_external_data=True, location="secret.bin", size_threshold=0)
    stored = onnx.load("model.onnx", load_external_data=False)
    assert (tmp_path / "secret.bin").exists()
    with pytest.raises(MienError, match="no checksum covers"):
        recogniser_of(stored)
