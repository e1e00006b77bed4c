"""Pictures to calibrate int8 on: those that networks were trained on, never those that they are tested on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.faces import rendered_faces
from export.training_faces import training_faces
from mien.bundle import Bundle, InputSpec
from trainer.data.augmentation import middle
from trainer.data.sample import Tell

PICTURES = 192
_SEED = 70_001
"""Of rendered people whom no recipe and no other measurement has."""


def calibration_pictures(
    checkpoints: Sequence[Path],
    spec: InputSpec,
    count: int = PICTURES,
    tell: Tell = lambda _done, _total: None,
) -> NDArray[np.float32]:
    """Pictures of the training parts of the stages that left checkpoints, as the robot cuts them.

    Args:
        checkpoints: folders of checkpoints, in the folders of their runs.
        spec: the input that they share.
        count: at most so many of each, evenly from its classes; the same ones count once.
        tell: told how many pictures of the data are cut, where they are not yet.

    Returns:
        float32 (N, C, H, W), the network's input.

    Raises:
        MienError: a checkpoint lies in no run, its data cannot be had, or they are of one class only.
    """
    found: list[NDArray[np.uint8]] = []
    for checkpoint in checkpoints:
        pixels = training_faces(checkpoint, count, tell).pixels
        if not any(np.array_equal(pixels, other) for other in found):
            found.append(pixels)
    return middle(torch.from_numpy(np.concatenate(found)), spec).numpy()


def rendered_pictures(
    bundle: Bundle, count: int = PICTURES, tell: Tell = lambda _done, _total: None
) -> NDArray[np.float32]:
    """Rendered faces as a bundle's backbone sees them, for models whose training pictures nobody has.

    Args:
        bundle: whose crop and input.
        count: that are rendered; those without a face are left out.
        tell: told how many are rendered and cut.

    Returns:
        float32 (N, C, H, W), the network's input.

    Raises:
        MienError: nothing can be rendered here.
    """
    return rendered_faces(bundle, count, _SEED, tell).pictures
