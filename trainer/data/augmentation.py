"""Augmentation: one resampling a picture, whose draws follow from seed, epoch and picture alone.

Crops are stored with some room around them (`Preset.room`), so that they can be moved and rotated without borders. The
middle of what is stored is the crop that the robot takes; pictures that are not augmented show exactly that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mien.bundle import InputSpec

_PLACE, _BOX = 1, 2  # streams of random numbers
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as of a grey picture from red, green and blue


@dataclass(frozen=True)
class Preset:
    """What happens to a picture of the training part.

    Attributes:
        room: side of the stored crop, in sides of the network's input.
        flip: whether every second picture is mirrored, left to right.
        shift: whether the part that is shown lies anywhere in the stored crop, by whole pixels.
        rotation_degrees: at most, to either side.
        grey: share of the pictures that lose their colour.
        smallest_area: of a box that is sampled from the shown part, as a share of its area; 1 = the whole.
        boxes: so many different ones for each picture.
    """

    room: float = 1.0
    flip: bool = False
    shift: bool = False
    rotation_degrees: float = 0.0
    grey: float = 0.0
    smallest_area: float = 1.0
    boxes: int = 1

    @property
    def resamples(self) -> bool:
        """Whether pixels are computed anew, not only mirrored."""
        return self.shift or self.rotation_degrees > 0 or self.smallest_area < 1


PRESETS: dict[str, Preset] = {
    "none": Preset(),
    "flip": Preset(flip=True),
    # Paper 001, IV.D: shorter side 240, random 224 crop, flip, ±1°, 10 % grey.
    "paper_001": Preset(room=240 / 224, flip=True, shift=True, rotation_degrees=1.0, grey=0.1),
    # Paper 003, 3.1.2: TensorFlow's distorted bounding boxes of area [0.85, 1], 100 a picture, then the flip: × 200.
    "paper_003": Preset(flip=True, smallest_area=0.85, boxes=100),
}


def middle(stored: Tensor, spec: InputSpec) -> Tensor:
    """The robot's own crop: the middle of stored crops, normalised.

    Args:
        stored: uint8 (B, H', W', C).
        spec: of the network's input.

    Returns:
        float32 (B, C, H, W), on the same device.
    """
    top, left = (stored.shape[1] - spec.height) // 2, (stored.shape[2] - spec.width) // 2
    return _normalised(_planes(stored[:, top : top + spec.height, left : left + spec.width]), spec)


def augment(
    stored: Tensor,
    spec: InputSpec,
    preset: Preset,
    seed: int,
    epoch: int,
    numbers: NDArray[np.intp],
    repetitions: NDArray[np.intp],
) -> Tensor:
    """Augmented pictures, normalised.

    Args:
        stored: uint8 (B, H', W', C), with the preset's room or more.
        spec: of the network's input.
        preset: what happens.
        seed: of the run.
        epoch: number of the pass.
        numbers: of the pictures, (B,).
        repetitions: which of its copies in this pass each one is, (B,).

    Returns:
        float32 (B, C, H, W), on the same device.
    """
    chance = uniform((seed, _PLACE, epoch, numbers, repetitions), 6)
    is_flipped = (chance[:, 0] < 0.5) & preset.flip
    if preset.resamples:
        affine = torch.from_numpy(_affine(stored, spec, preset, seed, numbers, chance, is_flipped)).to(stored.device)
        grid = _grid(affine, spec)
        images = functional.grid_sample(_planes(stored), grid, padding_mode="border", align_corners=False)
        images = _without_colour(images, spec, chance[:, 5] < preset.grey)
        return _normalised(images, spec)
    images = middle(stored, spec)
    if is_flipped.any():
        places = torch.from_numpy(np.flatnonzero(is_flipped)).to(stored.device)
        images[places] = images[places].flip(3)
    return images


def uniform(keys: tuple[int | NDArray[np.intp], ...], count: int) -> NDArray[np.float64]:
    """Random numbers that depend on nothing but their keys.

    Args:
        keys: whole numbers from 0, of which some are arrays (B,).
        count: how many for each.

    Returns:
        float64 (B, count), evenly in [0, 1): SplitMix64 (Steele, Lea, Flood 2014), one step for each key.
    """
    state = np.zeros(1, np.uint64)
    for key in (*keys, np.arange(count)[:, None]):
        value = state + (np.atleast_1d(np.asarray(key)).astype(np.uint64) + np.uint64(1)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = value ^ (value >> np.uint64(31))
    return np.asarray((state >> np.uint64(11)).T * 2.0**-53, np.float64)


def distorted_boxes(smallest_area: float, chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes within the unit square as `tf.image.sample_distorted_bounding_box` draws them from a whole picture.

    It draws width : height evenly from [0.75, 1.33], then the height evenly from what the area allows, and draws again
    if nothing is allowed. Of squares with area ≥ a the allowed ratios are [a, 1 / a], so they are drawn at once.

    Args:
        smallest_area: 0.75 to 1.
        chance: float64 (B, 4) in [0, 1).

    Returns:
        float64 (B, 4): x, y, width, height, of which the area is `smallest_area` to 1.
    """
    ratio = smallest_area + chance[:, 0] * (1 / smallest_area - smallest_area)
    lowest, highest = np.sqrt(smallest_area / ratio), np.minimum(1.0, 1 / ratio)
    height = lowest + chance[:, 1] * (highest - lowest)
    width = height * ratio
    return np.stack([chance[:, 2] * (1 - width), chance[:, 3] * (1 - height), width, height], axis=1)


def _affine(
    stored: Tensor,
    spec: InputSpec,
    preset: Preset,
    seed: int,
    numbers: NDArray[np.intp],
    chance: NDArray[np.float64],
    is_flipped: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """float32 (B, 2, 3): from the input's pixels to the stored ones, both −1 to 1 from edge to edge."""
    rows, columns = stored.shape[1:3]
    room_x, room_y = columns - spec.width, rows - spec.height
    # Left upper corner of what is shown, stored pixels.
    x = np.floor(chance[:, 1] * (room_x + 1)) if preset.shift else np.full(len(chance), room_x / 2)
    y = np.floor(chance[:, 2] * (room_y + 1)) if preset.shift else np.full(len(chance), room_y / 2)
    width, height = np.full(len(x), float(spec.width)), np.full(len(x), float(spec.height))
    if preset.smallest_area < 1:
        which = np.floor(chance[:, 3] * preset.boxes).astype(np.intp)
        box = distorted_boxes(preset.smallest_area, uniform((seed, _BOX, numbers, which), 4))
        x, y = x + box[:, 0] * spec.width, y + box[:, 1] * spec.height
        width, height = box[:, 2] * spec.width, box[:, 3] * spec.height
    angle = np.radians(preset.rotation_degrees) * (2 * chance[:, 4] - 1)
    sine, cosine = np.sin(angle), np.cos(angle)
    mirror = np.where(is_flipped, -1.0, 1.0)
    across = np.stack([mirror * cosine * width / columns, -sine * height / columns, (2 * x + width) / columns - 1], 1)
    down = np.stack([mirror * sine * width / rows, cosine * height / rows, (2 * y + height) / rows - 1], 1)
    return np.stack([across, down], 1).astype(np.float32)


def _grid(affine: Tensor, spec: InputSpec) -> Tensor:
    """Where each pixel of the input is taken from, float32 (B, H, W, 2), as torch's affine_grid says."""
    u, v = (
        torch.arange(1 - side, side, 2, device=affine.device, dtype=torch.float32) / side
        for side in (spec.width, spec.height)
    )
    grid = affine.new_empty((len(affine), spec.height, spec.width, 2))
    for axis in (0, 1):
        of_u, of_v, shift = (affine[:, axis, k, None, None] for k in range(3))
        torch.add(of_u * u, of_v * v[:, None] + shift, out=grid[..., axis])
    return grid


def _planes(stored: Tensor) -> Tensor:
    """float32 (B, C, H, W), 0…255."""
    return stored.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)


def _without_colour(images: Tensor, spec: InputSpec, chosen: NDArray[np.bool_]) -> Tensor:
    if spec.channels == "grey" or not chosen.any():
        return images
    weights = images.new_tensor(_LUMINANCE if spec.channels == "rgb" else _LUMINANCE[::-1])
    places = torch.from_numpy(np.flatnonzero(chosen)).to(images.device)
    images[places] = (images[places] * weights[:, None, None]).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    return images


def _normalised(images: Tensor, spec: InputSpec) -> Tensor:
    """(value − mean) · scale, in the order of `mien.faces.crop.write_crop`, so that both give the same numbers."""
    return images.sub_(images.new_tensor(spec.mean)[:, None, None]).mul_(images.new_tensor(spec.scale)[:, None, None])
