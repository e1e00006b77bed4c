"""The most confident errors of a stage: likely mislabelled or ambiguous pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

PictureOf = Callable[[str, str], NDArray[np.uint8] | None]
"""Given a source of the recipe and the name of a picture, its crop, uint8 (H, W, 3) BGR; None where it is not to be
had."""
