"""Landmarks as what is learned: of few data sets, so they are read only where a stage asks for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.data.crops import Crops


@dataclass(frozen=True)
class Located:
    """Landmarks of N pictures.

    Attributes:
        points: float32 (N, 68, 2), x and y across the robot's own crop, 0 to 1, NaN where unknown.
        visible: bool (N, 68), whether each can be seen.
        yaw: float32 (N,), of the head, degrees, positive to the person's left; NaN where unknown.
    """

    points: NDArray[np.float32]
    visible: NDArray[np.bool_]
    yaw: NDArray[np.float32]

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Of each picture (N,), whether any landmark is known."""
        return np.asarray(np.isfinite(self.points).any(axis=(1, 2)))

    def take(self, places: NDArray[np.intp]) -> Located:
        """Those at some places of the arrays, in that order."""
        return Located(self.points[places], self.visible[places], self.yaw[places])


def find_located(crops: Crops, numbers: NDArray[np.intp]) -> Located:
    """Landmarks of samples, from crops that were cut for learning them.

    Args:
        crops: of a stage with the target landmarks.
        numbers: of the samples, (N,).
    """
    points = crops.located(numbers)
    visible: NDArray[np.bool_] = np.asarray(np.isfinite(points).all(axis=2))
    yaw = np.full(len(numbers), np.nan, np.float32)
    for place, number in enumerate(numbers.tolist()):
        sample = crops.dataset[number]
        if sample.visible is not None:
            visible[place] &= sample.visible
        if sample.yaw is not None:
            yaw[place] = sample.yaw
    return Located(points, visible, yaw)
