"""A tile of noise: what makes skin, hair and cloth uneven. Looked up, because computing it for each pixel is slow."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 256


def make_grain() -> NDArray[np.uint8]:
    """uint8 (256, 256, 4), seamless; each channel uses its full range.

    Channels: blotches (coarse and fine together), fine grains, streaks along the second axis, waves.
    """
    random = np.random.default_rng(20_240)
    channels = [
        sum(_smooth(random, width, width) * weight for width, weight in ((28, 0.5), (9, 0.3), (3, 0.2))),
        _smooth(random, 1.2, 1.2),
        _smooth(random, 1.1, 7.0),
        _smooth(random, 12, 12),
    ]
    stretched = [(channel - np.min(channel)) / np.ptp(channel) for channel in channels]
    return np.asarray(np.dstack(stretched) * 255, np.uint8)


def _smooth(random: np.random.Generator, width_x: float, width_y: float) -> NDArray[np.float64]:
    """Seamless noise of unit variance, smoothed by that many texels."""
    tiled = np.tile(random.standard_normal((SIDE, SIDE)), (3, 3))
    blurred = np.asarray(cv2.GaussianBlur(tiled, (0, 0), sigmaX=width_x, sigmaY=width_y))[
        SIDE : 2 * SIDE, SIDE : 2 * SIDE
    ]
    return np.asarray(blurred / blurred.std(), np.float64)
