"""A detector and a real clip, from their packages."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.bundle import Bundle, open_bundle
from mien.faces.yunet import YuNetDetector
from mien.models.default_bundle import default_bundle
from mien.models.fetch import fetch
from mien.runtime.backend import BackendOptions

FRAMES_PER_S = 24
NMS_THRESHOLD = 0.3


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return open_bundle(default_bundle())


@pytest.fixture(scope="session")
def clip() -> list[np.ndarray]:
    """The first 144 frames (6 s) of a clip of one woman, 640×360."""
    capture = cv2.VideoCapture(str(fetch("demo_video")))
    frames = [capture.read()[1] for _ in range(144)]
    capture.release()
    return frames


@pytest.fixture(scope="session")
def yunet_of_width(bundle: Bundle):
    """A function that makes the default bundle's detector for a width."""
    model = bundle.read(bundle.manifest.detector.file)
    return lambda width: YuNetDetector(model, BackendOptions(), width, 0.6, NMS_THRESHOLD)


@pytest.fixture
def yunet(yunet_of_width) -> YuNetDetector:
    return yunet_of_width(320)
