"""dlib's ensemble of regression trees (ERT), the annotator of landmarks that paper 004 used (section III-B).

Method: V. Kazemi and J. Sullivan, "One millisecond face alignment with an ensemble of regression trees", CVPR 2014.
The trees learned from iBUG 300-W, which is for research only: they annotate people's own pictures on the host, are in
no bundle, and what mien ships learns none of their points. Their mean places in renders had a say in which places of
rendered heads are called landmarks (`trainer.data.synthetic.annotated`).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.bundle import CropSpec
from mien.errors import require
from mien.faces.crop import crop_square, cut
from mien.faces.detector import Box, Image
from mien.models.catalogue import find_model
from mien.models.fetch import fetch

_MODEL = "landmarks_ert"
_SIDE = 256
"""Of the crop that is searched: dlib gives whole pixels, so small faces are enlarged first."""
_ROOM = CropSpec("box", 0.5)
_BOX_SIDE, _BOX_BELOW = 0.775, 0.096
"""Side of the box that dlib's own detector gives, in heights of YuNet's, and how far below its middle is: medians over
220 frontal renders. The trees start from such a box."""


def version() -> str:
    """What the points depend on, beside picture and box: the trees and where they start."""
    return f"{find_model(_MODEL).sha256} {_BOX_SIDE} {_BOX_BELOW}"


def locate(image: Image, box: Box) -> NDArray[np.float32]:
    """Locate the landmarks of a face; several threads may ask at once.

    Args:
        image: uint8 (H, W, 3) BGR or (H, W) grey.
        box: of the face, as the robot's detector gives it, pixels.

    Returns:
        float32 (68, 2), x and y in pixels of the image, in the order of iBUG 300-W; possibly outside.

    Raises:
        MienError: dlib is not installed, or its trees cannot be fetched.
    """
    square = crop_square(_ROOM, box, None, 0, 0)
    crop = cut(image, square, _SIDE, _SIDE)
    grey = crop if crop.ndim == 2 else np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), np.uint8)
    shape = _trees()(grey, _start())
    points = np.array([(point.x, point.y) for point in shape.parts()], np.float32)
    corner, scale = np.array([square.x, square.y], np.float32), np.float32(square.width / _SIDE)
    return np.asarray((points + 0.5) * scale - 0.5 + corner, np.float32)


def _start() -> Any:
    """The box in the crop from which the trees start."""
    height = _SIDE / (1 + _ROOM.margin)
    middle, half = _SIDE / 2, _BOX_SIDE * height / 2
    top = middle + _BOX_BELOW * height - half
    left, right = round(middle - half), round(middle + half)
    return require("dlib", "ert").rectangle(left, round(top), right, round(top + 2 * half))


@cache
def _trees() -> Any:
    """100 MB that take two seconds to load."""
    return require("dlib", "ert").shape_predictor(str(fetch(_MODEL)))
