"""Landmarks by dlib's regression trees: on pictures of any size, for crops and as what is learned."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mien.bundle import CropSpec, open_bundle
from mien.errors import MienError
from mien.faces.detectors import make_detector
from mien.models.default_bundle import default_bundle
from mien.runtime.backend import BackendOptions
from trainer.data import ert
from trainer.data.face_squares import NO_FACE, FaceSquares
from trainer.data.pictures import PictureBytes
from trainer.data.sample import Sample
from trainer.evaluate.orl import orl_faces
from trainer.stages.recipe import Stage

pytestmark = pytest.mark.skipif(importlib.util.find_spec("dlib") is None, reason="dlib is optional")
EYES, MOUTH = slice(36, 48), slice(48, 68)


def stage(crop: CropSpec = CropSpec("inner", 0.0), landmarks: str = "ert", **keys: object) -> Stage:  # noqa: B008
    return Stage(data="x", crop=crop, landmarks=landmarks, **keys)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def face() -> tuple[np.ndarray, Sample]:
    """A real face, found by the robot's detector."""
    _, image = next(iter(orl_faces(1, 1)))
    detector = make_detector(open_bundle(default_bundle()), "yunet", 0, 0.0, BackendOptions())
    data = cv2.imencode(".png", image)[1].tobytes()
    return image, Sample(PictureBytes("face", ".png", data), "all", box=detector.detect(image)[0].box)


def test_the_points_are_on_the_face(face: tuple[np.ndarray, Sample]) -> None:
    image, sample = face
    points = ert.locate(image, sample.box)
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    eyes, mouth, box = points[EYES].mean(axis=0), points[MOUTH].mean(axis=0), sample.box
    assert box.x < eyes[0] < box.x + box.width
    assert box.y < eyes[1] < mouth[1] < box.y + box.height
    grey = image.mean(axis=2)
    pupils = [points[36:42].mean(axis=0), points[42:48].mean(axis=0)]
    around = grey[int(box.y) : int(box.y + box.height), int(box.x) : int(box.x + box.width)].mean()
    assert all(grey[round(float(y)), round(float(x))] < around for x, y in pupils), "eyes are dark"


def test_enlarged_and_grey_pictures_give_the_same_points(face: tuple[np.ndarray, Sample]) -> None:
    image, sample = face
    points, box = ert.locate(image, sample.box), sample.box
    grey = ert.locate(np.ascontiguousarray(image[:, :, 0]), box)
    np.testing.assert_allclose(grey, points, atol=0.6)
    large = cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
    enlarged = ert.locate(large, replace(box, x=3 * box.x, y=3 * box.y, width=3 * box.width, height=3 * box.height))
    apart = np.linalg.norm((enlarged + 0.5) / 3 - 0.5 - points, axis=1)
    assert apart.mean() < 0.03 * box.width


def test_crops_are_cut_by_them_and_they_are_what_is_learned(face: tuple[np.ndarray, Sample]) -> None:
    image, sample = face
    points = ert.locate(image, sample.box)
    finder = FaceSquares(stage())
    assert finder.needs_picture(sample)
    square = finder.find(sample, image)
    assert not isinstance(square, type(NO_FACE))
    inner = points[17:]
    assert square.width == pytest.approx((inner.max(axis=0) - inner.min(axis=0)).max(), rel=1e-4)
    learning = FaceSquares(stage(crop=CropSpec("box", 0.2), target="landmarks", loss="l1"))
    assert learning.needs_picture(sample)
    np.testing.assert_array_equal(learning.landmarks(sample, image), points)


def test_a_picture_without_a_face_has_none() -> None:
    blank = Sample(PictureBytes("blank", ".png", b""), "all")
    image = np.full((96, 96, 3), 90, np.uint8)
    assert FaceSquares(stage()).find(blank, image) == NO_FACE
    assert FaceSquares(stage(target="landmarks", loss="l1")).landmarks(blank, image) is None


def test_what_was_cut_by_other_landmarks_is_another_crop() -> None:
    settings = {
        FaceSquares(stage(crop=crop, landmarks=source, target=target)).settings
        for crop in (CropSpec("box", 0.2), CropSpec("inner", 0.2))
        for source in ("data", "model", "ert")
        for target in ("expression", "landmarks")
    }
    assert len(settings) == 10, "boxes of expressions depend on no landmarks"


def test_without_dlib_the_remedy_is_named(face: tuple[np.ndarray, Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MienError, match=r"mien\[ert\]"):
        ert.locate(face[0], face[1].box)
