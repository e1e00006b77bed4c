"""68 landmarks land where the network puts them, for each face its own."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mien.bundle import CropSpec, File, InputSpec, LandmarksSpec
from mien.errors import MienError
from mien.faces.crop import crop_square
from mien.faces.detector import Box
from mien.faces.landmarks import TRUSTED_FROM, LandmarkLocator, Landmarks
from mien.models.fetch import fetch
from mien.runtime.backend import BackendOptions
from tests.faces import template
from tests.faces.template import TEMPLATE, constant_network

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
            corner = np.array(
                [square.x, square.y] if box is black else [square.x + square.width, square.y + square.height]
            )
            # The middle of the first pixel is 0, so the edges of pixels lie between.
            assert face == pytest.approx(np.tile(corner - 0.5, (68, 1)), abs=1e-3)


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
        ({"confidence_output": "sure"}, brightness_network("n"), "no output 'sure'"),
        ({"confidence_output": "points"}, brightness_network("n"), "136 numbers for a face instead of 68"),
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
        assert locator.locate(image, [face.box]).trusted()[0] is not None


# --- how sure it is ---

IMAGE = np.zeros((480, 640, 3), np.uint8)
FACE = Box(200, 100, 90, 120)


def locate(points: np.ndarray, boxes: list[Box], confidences: np.ndarray | None = None) -> Landmarks:
    output = None if confidences is None else "confidences"
    locator = LandmarkLocator(constant_network(points, confidences), template.spec(output), BackendOptions())
    return locator.locate(IMAGE, boxes)


def test_a_plausible_face_is_trusted_as_far_as_its_network_is_sure() -> None:
    assert (locate(TEMPLATE, [FACE]).confidences == 1).all()
    rising = np.linspace(0.2, 1, 68, dtype=np.float32)
    located = locate(TEMPLATE, [FACE, FACE], rising)
    np.testing.assert_allclose(located.confidences, [rising, rising], rtol=1e-6)
    np.testing.assert_allclose(located.trusted()[1], TEMPLATE * 120 + np.float32([184.5, 99.5]), atol=1e-3)
    assert locate(TEMPLATE, [FACE], np.full(68, TRUSTED_FROM - 0.01)).trusted() == [None]


def test_confidences_that_are_no_numbers_or_out_of_range_do_not_get_out() -> None:
    strange = np.full(68, 0.75, np.float32)
    strange[:4] = np.nan, np.inf, -np.inf, 7
    located = locate(TEMPLATE, [FACE], strange)
    assert located.confidences[0, :5].tolist() == [0, 1, 0, 1, 0.75]


def seen_from_the_side(points: np.ndarray) -> np.ndarray:
    return (points - [0.5, 0]) * [0.2, 1] + [0.5, 0]


@pytest.mark.parametrize(
    ("points", "box"),
    [
        (TEMPLATE, Box(300, 200, 9, 12)),
        (seen_from_the_side(TEMPLATE), FACE),
        (TEMPLATE * [1, -1] + [0, 1], FACE),  # the mouth above the eyes
        (TEMPLATE + np.array([0.6, 0]), FACE),  # of the face beside it
        (TEMPLATE * 3 - 1, FACE),
        (np.full((68, 2), 0.5), FACE),
        (np.where(np.arange(68)[:, None] == 40, np.nan, TEMPLATE), FACE),
        (np.full((68, 2), np.inf), FACE),
    ],
    ids=["12 px", "profile", "upside down", "overlapping", "far too large", "one place", "NaN", "infinite"],
)
def test_what_is_not_arranged_as_a_face_is_not_trusted(points: np.ndarray, box: Box) -> None:
    located = locate(points.astype(np.float32), [box], np.ones(68, np.float32))
    assert not located.confidences.any()
    assert located.trusted() == [None]


def test_points_beyond_the_image_count_as_unsure() -> None:
    """Of a face that is cut by the image's edge, what is seen is trusted while it is the greater part."""
    a_third, two_thirds = Box(-30, 100, 90, 120), Box(610, 100, 90, 120)
    cut_little, cut_much = locate(TEMPLATE, [a_third, two_thirds]).confidences
    assert (cut_little == (TEMPLATE[:, 0] * 120 - 45 >= 0)).all()
    assert 0.5 < cut_little.mean() < 1
    assert 0 < cut_much.mean() < 0.5


coordinates = st.one_of(st.floats(-1e4, 1e4), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1e30]))
boxes = st.builds(Box, coordinates, coordinates, coordinates, coordinates)
LOCATORS = [
    LandmarkLocator(constant_network(points.astype(np.float32)), template.spec(), BackendOptions())
    for points in (TEMPLATE, np.where(np.arange(68)[:, None] == 9, np.nan, TEMPLATE))
]


@settings(max_examples=60, deadline=None)
@given(st.lists(boxes, max_size=4), st.sampled_from(LOCATORS), st.sampled_from([(1, 1), (7, 300), (480, 640, 3)]))
@pytest.mark.filterwarnings("error")
def test_whatever_the_boxes_are_what_is_trusted_is_finite_and_mostly_in_the_image(
    some: list[Box], locator: LandmarkLocator, shape: tuple[int, ...]
) -> None:
    located = locator.locate(np.zeros(shape, np.uint8), some)
    assert located.points.shape == (len(some), 68, 2)
    assert ((located.confidences >= 0) & (located.confidences <= 1)).all()
    for points in located.trusted():
        if points is not None:
            assert np.isfinite(points).all()
            assert ((points >= 0) & (points <= (shape[1], shape[0]))).all(axis=1).mean() >= TRUSTED_FROM
