"""The 68 landmarks in the five parts of the face that paper 004 tells apart (Fig. 4), and in the mirror."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

Points = Literal["all", "eyebrows", "eyes", "nose", "mouth", "jaw"]
"""Name of a part."""

PARTS: Mapping[Points, slice] = {
    "all": slice(0, 68),
    "eyebrows": slice(17, 27),
    "eyes": slice(36, 48),
    "nose": slice(27, 36),
    "mouth": slice(48, 68),
    "jaw": slice(0, 17),
}
"""Which of the 68 points, in the order of iBUG 300-W, belong to each part."""

FACE_PARTS: tuple[Points, ...] = ("eyebrows", "eyes", "nose", "mouth", "jaw")
"""All of them but the whole."""

INTEROCULAR = (36, 45)
"""The outer corners of the eyes, whose distance errors are divided by (300-W: Sagonas and others 2013)."""


def count_points(part: Points) -> int:
    """How many landmarks a part has."""
    return len(range(68)[PARTS[part]])


def _mirrored() -> list[int]:
    across = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    across += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    return [*across, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1)]


MIRRORED = np.array(_mirrored(), np.intp)
"""(68,): the mirror image of point i is point `MIRRORED[i]` of the mirrored face."""
