"""dlib's ensemble of regression trees (ERT), the annotator of landmarks that paper 004 used (section III-B).

Method: V. Kazemi and J. Sullivan, "One millisecond face alignment with an ensemble of regression trees", CVPR 2014.
The trees learned from iBUG 300-W, which is for research only: they annotate people's own pictures on the host, are in
no bundle, and what mien ships learns nothing from them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.bundle import CropSpec
from mien.errors import require
from mien.faces.crop import crop_square, cut
from mien.faces.detector import Box, Image
from mien.models.catalogue import find_model
from mien.models.fetch import fetch

_MODEL = "landmarks_ert"


def version() -> str:
    """What the points depend on, beside picture and box: checksum of the trees."""
    return find_model(_MODEL).sha256


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
    dlib = require("dlib", "ert")
    square = crop_square(CropSpec("box", 0.5), box, None, 0, 0)
    crop = cut(image, square, 256, 256)
    grey = crop if crop.ndim == 2 else np.ascontiguousarray(crop[:, :, ::-1])
    shape = _trees()(grey, dlib.rectangle(43, 43, 213, 213))
    points = np.array([(point.x, point.y) for point in shape.parts()], np.float32)
    corner, scale = np.array([square.x, square.y], np.float32), np.float32(square.width / 256)
    return np.asarray((points + 0.5) * scale - 0.5 + corner, np.float32)


@cache
def _trees() -> Any:
    """100 MB that take two seconds to load."""
    return require("dlib", "ert").shape_predictor(str(fetch(_MODEL)))
