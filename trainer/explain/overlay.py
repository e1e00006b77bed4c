"""Heat over a face: the same colours in pictures and reports."""

from __future__ import annotations

import cv2
import numpy as np

from mien.faces.detector import Image
from trainer.explain.explanation import Floats, enlarge

_COLOURS = cv2.COLORMAP_TURBO
_HOTTEST = 225
"""Last of the 256 colours that is used; those after it are too dark to see a face through."""
_OPACITY = 0.55
_RISE = 0.5
"""Heat from which the opacity is full; below, the face shows through, and where the heat is 0 it is as it was."""


def overlay(face: Image, heat: Floats) -> Image:
    """A face with a map over it; the face is grey, so that all colour is heat.

    Args:
        face: uint8 (H, W, 3) BGR.
        heat: float32 (h, w), 0 to 1; enlarged to the face, which it covers from edge to edge.

    Returns:
        uint8 (H, W, 3) BGR.
    """
    height, width = face.shape[:2]
    large = enlarge(heat, width, height)
    grey = cv2.cvtColor(np.ascontiguousarray(face), cv2.COLOR_BGR2GRAY)[..., None]
    colours = cv2.applyColorMap(np.asarray(np.rint(_HOTTEST * large), np.uint8), _COLOURS)
    opacity = _OPACITY * np.minimum(large / _RISE, 1)[..., None]
    return np.asarray(np.rint(grey * (1 - opacity) + colours * opacity), np.uint8)
