"""Pictures as paper 004 prepares them before it looks for faces (III.A, B)."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from mien.faces.crop import enhance_contrast
from mien.faces.detector import Box, Image
from trainer.data.sample import Sample

SIDE = 300
"""Pixels, whatever the picture's shape."""


def enhance_picture(sample: Sample, image: Image) -> tuple[Sample, Image]:
    """Make a picture grey, resize it bilinearly, and enhance the contrast of the whole.

    Args:
        sample: the picture's labels.
        image: uint8 (H, W, 3), BGR.

    Returns:
        The labels with box and landmarks where they are then; and uint8 (300, 300, 3), all channels the same.
    """
    height, width = image.shape[:2]
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    shown = cv2.cvtColor(enhance_contrast(np.asarray(small, np.uint8)), cv2.COLOR_GRAY2BGR)
    scale = np.array([SIDE / width, SIDE / height])
    box, points = sample.box, sample.landmarks
    if box is not None:
        box = Box(box.x * scale[0], box.y * scale[1], box.width * scale[0], box.height * scale[1])
    if points is not None:
        points = np.asarray((points + 0.5) * scale - 0.5, np.float32)
    return replace(sample, box=box, landmarks=points), np.asarray(shown, np.uint8)
