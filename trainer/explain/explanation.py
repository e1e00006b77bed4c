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


def add_up(shares: Sequence[Floats]) -> Floats:
    """Grad-CAM of a network whose embedding is pooled from one or more maps.

    They are added up before they are rectified, as one map may speak against what another speaks for. The number of a
    cell is shared out by area among the cells of the largest map, because over a map, numbers add up to its share of
    the logit (exactly, where a mean pools it and the head is linear), however finely it is divided.

    Args:
        shares: of each map Σ_k α_k A_k (paper 004, eq. 6, before it is rectified), float32 (h, w).

    Returns:
        Heat as `Part` has it, float32, of the largest map's size.
    """
    height, width = np.max([share.shape for share in shares], axis=0).tolist()
    spread = [_overlaps(share.shape[0], height).T @ share @ _overlaps(share.shape[1], width) for share in shares]
    heat: Floats = np.maximum(np.sum(spread, axis=0), 0)
    return heat


def _overlaps(cells: int, others: int) -> Floats:
    """How much of each cell of a row lies in each of the others, into which the same row is divided, 0 to 1.

    Returns:
        float32 (cells, others).
    """
    edges = np.linspace(0, cells, others + 1, dtype=np.float32)
    return np.diff(np.clip(edges - np.arange(cells, dtype=np.float32)[:, None], 0, 1))


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
