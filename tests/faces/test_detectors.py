"""The other detectors, and the one place that chooses."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.bundle import Bundle
from mien.errors import MienError
from mien.faces.detector import intersection_over_union, search_size
from mien.faces.detectors import DETECTORS, make_detector
from mien.faces.haar import HaarDetector
from mien.faces.ssd import SsdDetector
from mien.models.fetch import fetch
from mien.runtime.backend import BackendOptions


@pytest.mark.parametrize("kind", DETECTORS)
def test_every_detector_finds_the_same_face(kind: str, bundle: Bundle, clip) -> None:
    detector = make_detector(bundle, kind, 0, 0.0, BackendOptions())
    (reference,) = make_detector(bundle, "yunet", 640, 0.0, BackendOptions()).detect(clip[10])
    for image in (clip[10], cv2.cvtColor(clip[10], cv2.COLOR_BGR2GRAY)):
        (face,) = detector.detect(image)
        assert intersection_over_union(face.box, reference.box) > 0.5
        assert 0.5 < face.score <= 1


@pytest.mark.parametrize("kind", DETECTORS)
@pytest.mark.parametrize("shape", [(1, 1, 3), (0, 5, 3), (0, 0), (3, 3000, 3), (3000, 2), (480, 640)])
def test_no_detector_stumbles_over_empty_or_odd_images(kind: str, shape: tuple[int, ...], bundle: Bundle) -> None:
    detector = make_detector(bundle, kind, 0, 0.0, BackendOptions())
    assert detector.detect(np.zeros(shape, np.uint8)) == []


def test_the_threshold_is_obeyed(bundle: Bundle, clip) -> None:
    for kind in ("yunet", "ssd"):
        (face,) = make_detector(bundle, kind, 0, 0.5, BackendOptions()).detect(clip[10])
        strict = make_detector(bundle, kind, 0, (1 + face.score) / 2, BackendOptions())
        assert strict.detect(clip[10]) == []


def test_an_unknown_detector_is_named_with_the_known_ones(bundle: Bundle) -> None:
    with pytest.raises(MienError, match=r"mtcnn.*yunet, haar, ssd"):
        make_detector(bundle, "mtcnn", 0, 0.0, BackendOptions())


def test_an_opencv_without_cascades_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(MienError, match="has no Haar cascades"):
        HaarDetector(320)


def test_a_damaged_ssd_is_named(tmp_path: Path) -> None:
    weights = tmp_path / "broken.caffemodel"
    weights.write_bytes(b"not a network")
    with pytest.raises(MienError, match=r"broken\.caffemodel"):
        SsdDetector(fetch("ssd_prototxt"), weights, 0.5)


@pytest.mark.parametrize(
    ("image", "expected"),
    [((640, 480), (320, 240)), ((100, 50), (100, 50)), ((720, 1280), (320, 569)), ((100, 10_000), (6, 640))],
)
def test_images_are_searched_at_the_wanted_width_but_never_tall(image, expected) -> None:
    assert search_size(*image, 320) == expected
    assert min(search_size(10**6, 1, 320)) == 1
