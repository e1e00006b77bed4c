"""What is behind the head: plain walls, gradients, blurred rooms and textures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Random = np.random.Generator


def plain(random: Random, side: int) -> Floats:
    """A wall, slightly brighter on one side, float32 (side, side, 3), BGR, 0 to 1."""
    level = random.uniform(0.25, 0.85)
    slope = random.uniform(-0.12, 0.12, 2)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
    shade = level + slope[0] * x + slope[1] * y
    return np.asarray(np.clip(shade[:, :, None] * random.uniform(0.94, 1.06, 3), 0, 1), np.float32)


def wild(random: Random, side: int) -> Floats:
    """Anything, float32 (side, side, 3), BGR, 0 to 1."""
    kind = random.random()
    if kind < 0.2:
        return np.asarray(plain(random, side) * random.uniform(0.4, 1.1, 3).astype(np.float32), np.float32)
    picture = np.empty((48, 48, 3), np.float32)
    picture[:] = random.uniform(0.05, 0.9) * random.uniform(0.75, 1.25, 3)
    if kind < 0.75:
        _add_shapes(random, picture)
    else:
        for cells in (3, 6, 12):
            grey = random.normal(0, 0.4 / cells**0.7, (cells, cells, 1))
            grain = (grey + random.normal(0, 0.12 / cells**0.7, (cells, cells, 3))).astype(np.float32)
            picture += cv2.resize(grain, (48, 48), interpolation=cv2.INTER_CUBIC)
    blurred = cv2.GaussianBlur(picture, (0, 0), float(random.uniform(0.4, 2.5)))
    return np.asarray(np.clip(cv2.resize(blurred, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1), np.float32)


def _add_shapes(random: Random, picture: Floats) -> None:
    """Furniture, windows and lamps, roughly."""
    for _ in range(int(random.integers(3, 10))):
        colour = tuple(float(value) for value in random.uniform(0, 1) * random.uniform(0.75, 1.25, 3))
        x, y = (int(value) for value in random.integers(-8, 48, 2))
        width, height = (int(value) for value in random.integers(4, 36, 2))
        if random.random() < 0.7:
            cv2.rectangle(picture, (x, y), (x + width, y + height), colour, -1)
        else:
            cv2.circle(picture, (x, y), width // 2, colour, -1)
