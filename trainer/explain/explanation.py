"""What an explanation holds: the answer, and of each network a map of what spoke for one class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Part:
    """One network of several, or the only one.

    Attributes:
        name: of the stage, or of the bundle's part.
        probabilities: float32 (classes,), its own answer.
        heat: float32 (h, w), its Grad-CAM (paper 004, eq. 6), 0 or more in units of the logit: how much what is there
            speaks for the class.
    """

    name: str
    probabilities: Floats
    heat: Floats


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why one face was taken for what it was, or what in it speaks for another class.

    Attributes:
        labels: the classes.
        target: number of the class that the maps explain.
        probabilities: float32 (classes,), of all parts together.
        parts: one for each network that answers.
    """

    labels: tuple[str, ...]
    target: int
    probabilities: Floats
    parts: tuple[Part, ...]

    @property
    def heat(self) -> Floats:
        """The parts' maps together, float32 (h, w), 0 to 1: the union, which is the pixelwise maximum.

        Each map is divided by its own maximum before, so that each network shows what matters to itself. Paper 004
        (Fig. 11) says "union of 5 heatmaps" and no more. Smaller maps are enlarged to the largest.
        """
        height, width = np.max([part.heat.shape for part in self.parts], axis=0).tolist()
        together: Floats = np.stack([enlarge(scaled(part.heat), width, height) for part in self.parts]).max(axis=0)
        return together


def scaled(heat: Floats) -> Floats:
    """A map divided by its maximum, 0 to 1; zeros where nothing speaks for the class."""
    highest = float(heat.max())
    return np.divide(heat, highest, dtype=np.float32) if highest > 0 else np.zeros_like(heat)


def enlarge(heat: Floats, width: int, height: int) -> Floats:
    """A map at another size, within its own range: float32 (height, width).

    Bicubic, because the cells of small maps show through where it is bilinear.
    """
    large = cv2.resize(heat, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(large, heat.min(), heat.max()), np.float32)


def find_class(name: str | None, labels: Sequence[str], probabilities: Floats) -> int:
    """Number of a class by its name; without one, of the class that is answered.

    Raises:
        MienError: there is no such class.
    """
    if name is None:
        return int(probabilities.argmax())
    if name not in labels:
        raise MienError(f"The model does not know the class {name!r}", f"Name one of: {', '.join(labels)}")
    return list(labels).index(name)
