"""Pictures to calibrate int8 on: those that a network was trained on, never those that it is tested on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.bundle import Bundle


def calibration_pictures(checkpoint: Path, count: int = 256) -> NDArray[np.float32]:
    """Pictures of the training part of the stage that left a checkpoint, evenly from its classes.

    Args:
        checkpoint: folder of a checkpoint, in the folder of its run.
        count: at most so many.

    Returns:
        float32 (N, C, H, W), the network's input.

    Raises:
        MienError: the checkpoint lies in no run, its data cannot be had, or they are of one class only.
    """
    raise NotImplementedError


def rendered_pictures(bundle: Bundle, count: int = 256) -> NDArray[np.float32]:
    """Rendered faces as a bundle's backbone sees them, for models whose training pictures nobody has.

    Args:
        bundle: whose crop and input.
        count: at most so many.

    Returns:
        float32 (N, C, H, W), the network's input.

    Raises:
        MienError: nothing can be rendered here.
    """
    raise NotImplementedError
