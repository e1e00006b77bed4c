"""What every face detector gives: boxes, scores and, where it finds them, five landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""A picture as OpenCV holds it: uint8, (height, width, 3) in BGR order or (height, width) grey."""


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle in pixels of the image; may reach beyond it. `x`, `y` is its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def center(self) -> tuple[float, float]:
        """Middle of the box, pixels."""
        return self.x + self.width / 2, self.y + self.height / 2

    def clipped(self, image_width: int, image_height: int) -> Box:
        """The part of the box inside an image of that size; width and height are 0 where nothing is left."""
        x0, y0 = min(max(self.x, 0.0), image_width), min(max(self.y, 0.0), image_height)
        x1 = min(max(self.x + self.width, 0.0), image_width)
        y1 = min(max(self.y + self.height, 0.0), image_height)
        return Box(x0, y0, x1 - x0, y1 - y0)


def intersection_over_union(a: Box, b: Box) -> float:
    """Overlap of two boxes, 0 (apart) to 1 (equal)."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a.width * a.height + b.width * b.height - shared)


def search_size(image_width: int, image_height: int, width: int) -> tuple[int, int]:
    """Size to which an image is shrunk before faces are searched in it, pixels, at least 1 × 1.

    As wide as asked, never enlarged, and at most twice as high as wide is asked: no shape makes a frame slow.
    """
    scale = min(1.0, width / image_width, 2 * width / image_height)
    return max(1, round(image_width * scale)), max(1, round(image_height * scale))


@dataclass(frozen=True, slots=True)
class Detection:
    """One face in one image.

    Attributes:
        box: tight box around the face.
        score: detector confidence, 0 to 1.
        landmarks: None, or float32 (5, 2) in pixels: right eye, left eye, nose tip, right and left mouth corner,
            right and left being the person's own.
    """

    box: Box
    score: float
    landmarks: NDArray[np.float32] | None = None


class Detector(Protocol):
    """Finds faces; an instance is used by one thread at a time."""

    def detect(self, image: Image) -> list[Detection]:
        """Return the faces of an image, best first; empty when there are none."""
        ...

    @property
    def runtime(self) -> str:
        """What runs it, for people; "" before the first image."""
        ...

    @property
    def problem(self) -> str | None:
        """Why it does not run where it should, with the remedy; None when all is well."""
        ...

    def close(self) -> None:
        """Free what the detector holds; it cannot be used afterwards."""
        ...
