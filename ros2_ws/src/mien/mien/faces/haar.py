"""The Haar cascade of OpenCV: the face detector of papers 001 and 003 and of many older systems, for comparison."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mien.errors import MienError
from mien.faces.detector import Box, Detection, Image, search_size

_SCALE_STEP = 1.1
_NEIGHBOURS = 5
_SMALLEST_PIXELS = 24  # the cascade's own window


class HaarDetector:
    """Finds frontal faces with OpenCV's cascade; see `mien.faces.detector.Detector`.

    A cascade says yes or no: every face has score 1, the largest comes first.

    Args:
        width: images are shrunk to this width in pixels (never enlarged); faces below 24 pixels there are missed.

    Raises:
        MienError: this OpenCV has no cascades.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        try:
            # Some builds of OpenCV have no cv2.data, and 5.x no cascades.
            file = Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"  # type: ignore[attr-defined]
            self._cascade = cv2.CascadeClassifier(str(file))
        except AttributeError as error:
            raise _unavailable() from error
        if self._cascade.empty():
            raise _unavailable()

    def detect(self, image: Image) -> list[Detection]:
        """Return the faces of an image, largest first; an image without pixels has none."""
        if image.size == 0:
            return []
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        height, width = grey.shape
        size = search_size(width, height, self._width)
        if size != (width, height):
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        scale_x, scale_y = width / size[0], height / size[1]
        found = self._cascade.detectMultiScale(
            grey, scaleFactor=_SCALE_STEP, minNeighbors=_NEIGHBOURS, minSize=(_SMALLEST_PIXELS, _SMALLEST_PIXELS)
        )
        boxes = [
            Box(x * scale_x, y * scale_y, w * scale_x, h * scale_y)
            for x, y, w, h in np.reshape(found, (-1, 4)).tolist()
        ]
        return [Detection(box, 1.0) for box in sorted(boxes, key=lambda box: -box.width)]

    @property
    def runtime(self) -> str:
        """OpenCV and its version."""
        return f"OpenCV {cv2.__version__}"

    @property
    def problem(self) -> None:
        """None: OpenCV always runs it."""

    def close(self) -> None:
        """Do nothing: OpenCV frees its network with the object."""


def _unavailable() -> MienError:
    return MienError(
        f"OpenCV {cv2.__version__} has no Haar cascades",
        "Install an opencv-python-headless 4.x wheel, or choose the detector yunet",
    )
