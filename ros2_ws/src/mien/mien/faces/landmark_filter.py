"""Landmarks over time, by a one-euro filter: still when the face is still, without lag when it moves.

Casiez, Roussel, Vogel: "1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems",
CHI 2012.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class LandmarkFilter:
    """Smooths the landmarks of every face over time; used by one thread at a time.

    A face's first points pass through, and so do the first ones after a gap, a clock that did not move on, or a jump.
    Faces are independent, so cameras may have different clocks.
    """

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
        raise NotImplementedError
