"""Landmarks over time, by a one-euro filter: still when the face is still, without lag when it moves.

Casiez, Roussel, Vogel: "1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems",
CHI 2012. A low-pass filter whose cutoff rises with the speed of what it follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MINIMUM_CUTOFF_HZ = 1.0
"""Of points that stand still; the paper's first choice. At 30 Hz it leaves a third of the noise."""
CUTOFF_PER_SPEED = 20.0
"""Hz for each size per second. A face of 200 pixels at 30 Hz that moves on by 10 at once is followed by 56 % in that
image, 83 % in the next, 93 % in the third; noise of 0.5 % of its size looks like a speed of 0.05 and raises the cutoff
to 2 Hz only."""
SPEED_CUTOFF_HZ = 1.0
"""Of the speed itself; the paper's constant."""
LONGEST_GAP_S = 0.5
"""After a longer one the past says nothing."""
LONGEST_JUMP = 0.5
"""Sizes from one image to the next: farther, the landmarks are those of another face, or the face is back."""
MAXIMUM_FACES = 256


@dataclass(frozen=True, slots=True)
class _Past:
    """Smoothed points (points, 2), pixels, and their speeds, pixels per second."""

    stamp_s: float
    points: NDArray[np.float32]
    speed: NDArray[np.float32]


class LandmarkFilter:
    """Smooths the landmarks of every face over time; used by one thread at a time.

    A face's first points pass through, and so do the first ones after a gap, a clock that did not move on, or a jump.
    Faces are independent, so cameras may have different clocks. The `MAXIMUM_FACES` latest are remembered.
    """

    def __init__(self) -> None:
        self._past: dict[str, _Past] = {}  # the face seen longest ago comes first

    def update(self, face_id: str, stamp_s: float, points: NDArray[np.float32], size_px: float) -> NDArray[np.float32]:
        """Add the landmarks of a face and return the smoothed ones.

        Args:
            face_id: whose they are.
            stamp_s: when the image was taken, seconds.
            points: float32 (points, 2), pixels, finite.
            size_px: the longer side of the face's box, above 0: speeds are in sizes per second.

        Returns:
            float32 (points, 2), pixels, of the same image.
        """
        past = self._past.pop(face_id, None)
        if past is not None and _continues(past, stamp_s, points, size_px):
            now = _follow(past, stamp_s, points, size_px)
        else:
            now = _Past(stamp_s, points, np.zeros_like(points))
        self._past[face_id] = now
        if len(self._past) > MAXIMUM_FACES:
            del self._past[next(iter(self._past))]
        return now.points


def _continues(past: _Past, stamp_s: float, points: NDArray[np.float32], size_px: float) -> bool:
    if not 0 < stamp_s - past.stamp_s <= LONGEST_GAP_S or past.points.shape != points.shape:
        return False
    x, y = (points.mean(axis=0) - past.points.mean(axis=0)).tolist()
    return math.hypot(x, y) <= LONGEST_JUMP * size_px


def _follow(past: _Past, stamp_s: float, points: NDArray[np.float32], size_px: float) -> _Past:
    """Algorithm 1 of the paper; a point's speed is one for x and y, so that directions are alike."""
    elapsed_s = stamp_s - past.stamp_s
    speed = past.speed + _share(SPEED_CUTOFF_HZ, elapsed_s) * ((points - past.points) / elapsed_s - past.speed)
    cutoff_hz = MINIMUM_CUTOFF_HZ + CUTOFF_PER_SPEED * np.hypot(speed[:, 0], speed[:, 1]) / size_px
    share = _share(cutoff_hz, elapsed_s)[:, None]
    return _Past(stamp_s, past.points + share * (points - past.points), speed)


def _share(cutoff_hz: Any, elapsed_s: float) -> Any:
    """How far a low-pass filter follows a new sample, 0 to 1 (the paper's alpha)."""
    turns = 2 * math.pi * cutoff_hz * elapsed_s
    return turns / (1 + turns)
