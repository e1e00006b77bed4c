"""The ResNet-10 SSD of OpenCV's samples at 300×300: paper 004's face detector."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mien.errors import MienError
from mien.faces.detector import Box, Detection, Image

_SIDE = 300
_MEAN = (104.0, 177.0, 123.0)  # of its training pictures, blue green red


class SsdDetector:
    """Finds faces with the SSD, through OpenCV; see `mien.faces.detector.Detector`.

    The image is stretched to 300×300 (bilinear), whatever its shape, as the network was trained.

    Args:
        prototxt: its layers, Caffe's format.
        weights: its .caffemodel.
        score_threshold: lowest score of a face, 0 to 1.

    Raises:
        MienError: this OpenCV cannot read Caffe's format, or a file is damaged.
    """

    def __init__(self, prototxt: Path, weights: Path, score_threshold: float) -> None:
        self._score_threshold = score_threshold
        try:
            self._network = cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))
        except (AttributeError, cv2.error) as error:
            raise MienError(
                f"OpenCV {cv2.__version__} cannot load the SSD face detector from {prototxt} and {weights}",
                "Install an opencv-python-headless 4.x wheel, and run: mien models fetch",
            ) from error

    def detect(self, image: Image) -> list[Detection]:
        """Return the faces of an image, best first; an image without pixels has none."""
        if image.size == 0:
            return []
        height, width = image.shape[:2]
        colour = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        self._network.setInput(cv2.dnn.blobFromImage(colour, 1.0, (_SIDE, _SIDE), _MEAN))
        found = self._network.forward()[0, 0]  # rows: image, class, score, x0, y0, x1, y1 as parts of the image
        found = found[(found[:, 2] >= self._score_threshold) & np.isfinite(found).all(axis=1)]
        faces = []
        for _, _, score, x0, y0, x1, y1 in found[np.argsort(-found[:, 2])].tolist():
            # The network also invents boxes beyond the border; a face's middle lies in the image.
            if x0 < x1 and y0 < y1 and 0 <= x0 + x1 <= 2 and 0 <= y0 + y1 <= 2:
                box = Box(x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height)
                faces.append(Detection(box, min(1.0, score)))
        return faces

    @property
    def runtime(self) -> str:
        """OpenCV and its version."""
        return f"OpenCV {cv2.__version__}"

    @property
    def problem(self) -> None:
        """None: OpenCV always runs it."""

    def close(self) -> None:
        """Do nothing: OpenCV frees its network with the object."""
