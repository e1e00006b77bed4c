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
from trainer.data.face_parts import MIRRORED
from trainer.data.looks import DRAWS, Look, spoil

_PLACE, _BOX, _WARP, _LOOK = 1, 2, 3, 4  # streams of random numbers
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
        shear: at most, to either side: how far rows slide by, in their distance.
        translation: at most, to every side, in sides of the input.
        scale: smallest and largest part that is shown, in sides of the input; evenly in its logarithm.
        look: what happens to the pixels where they are; None = nothing.
    """

    room: float = 1.0
    flip: bool = False
    shift: bool = False
    rotation_degrees: float = 0.0
    grey: float = 0.0
    smallest_area: float = 1.0
    boxes: int = 1
    shear: float = 0.0
    translation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    look: Look | None = None

    @property
    def warps(self) -> bool:
        """Whether pictures are sheared, moved by parts of pixels, or scaled."""
        return self.shear > 0 or self.translation > 0 or self.scale != (1.0, 1.0)

    @property
    def resamples(self) -> bool:
        """Whether pixels are computed anew, not only mirrored."""
        return self.shift or self.rotation_degrees > 0 or self.smallest_area < 1 or self.warps


PRESETS: dict[str, Preset] = {
    "none": Preset(),
    "flip": Preset(flip=True),
    # Paper 001, IV.D: shorter side 240, random 224 crop, flip, ±1°, 10 % grey.
    "paper_001": Preset(room=240 / 224, flip=True, shift=True, rotation_degrees=1.0, grey=0.1),
    # Paper 003, 3.1.2: TensorFlow's distorted bounding boxes of area [0.85, 1], 100 a picture, then the flip: × 200.
    "paper_003": Preset(flip=True, smallest_area=0.85, boxes=100),
    # Paper 004, III.D: flip, rotation, shear and translation; it prints no ranges, so these are ours.
    "paper_004": Preset(room=1.4, flip=True, rotation_degrees=10.0, shear=0.1, translation=0.1),
    # Ours, for landmarks on any camera: as far off as a detector's boxes are, and as bad as pictures get.
    "landmarks": Preset(
        room=1.6,
        flip=True,
        rotation_degrees=20.0,
        grey=0.2,
        shear=0.1,
        translation=0.1,
        scale=(0.8, 1.25),
        look=Look(
            brightness=40, contrast=0.4, gamma=1.6, blur_px=1.5, noise=12, coarse=0.3, erased=0.25, largest_erased=0.4
        ),
    ),
    # Ours, for expressions on a robot, whose detector's boxes differ from frame to frame, its light and focus too.
    "robot": Preset(
        room=1.4,
        flip=True,
        rotation_degrees=10.0,
        grey=0.2,
        translation=0.06,
        scale=(0.88, 1.14),
        look=Look(brightness=25, contrast=0.25, gamma=1.3, blur_px=0.8, noise=6, coarse=0.15, coarsest=0.4),
    ),
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
    draws = _Draws(seed, epoch, numbers, repetitions)
    is_flipped = draws.is_flipped(preset)
    if preset.resamples:
        size = stored.shape[1], stored.shape[2]
        affine = torch.from_numpy(_affine(size, spec, preset, draws).astype(np.float32)).to(stored.device)
        grid = _grid(affine, spec)
        images = functional.grid_sample(_planes(stored), grid, padding_mode="border", align_corners=False)
        images = _without_colour(images, spec, draws.place[:, 5] < preset.grey)
        if preset.look is not None:
            images = spoil(images, preset.look, draws.of(_LOOK, DRAWS))
        return _normalised(images, spec)
    images = middle(stored, spec)
    if is_flipped.any():
        places = torch.from_numpy(np.flatnonzero(is_flipped)).to(stored.device)
        images[places] = images[places].flip(3)
    return images


def move_points(
    points: NDArray[np.float32],
    size: tuple[int, int],
    spec: InputSpec,
    preset: Preset,
    seed: int,
    epoch: int,
    numbers: NDArray[np.intp],
    repetitions: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Landmarks of pictures where `augment`, with the same arguments, shows them; in the mirror, left becomes right.

    Args:
        points: float32 (B, 68, 2), x and y across the robot's own crop, 0 to 1, NaN where unknown; or (B, 0, 2).
        size: height and width of the stored crops, pixels.
        spec: as for `augment`, and so on.
        preset: likewise.
        seed: likewise.
        epoch: likewise.
        numbers: likewise.
        repetitions: likewise.

    Returns:
        float32, of the same shape, across the augmented pictures.
    """
    if points.shape[1] == 0:
        return points
    draws = _Draws(seed, epoch, numbers, repetitions)
    affine = _affine(size, spec, preset, draws)
    shown = np.array([spec.width / size[1], spec.height / size[0]])
    stored = (2.0 * points - 1) * shown - affine[:, None, :, 2]  # −1 to 1, as `affine` counts
    moved = stored @ np.linalg.inv(affine[..., :2]).transpose(0, 2, 1)
    is_flipped = draws.is_flipped(preset)
    moved[is_flipped] = moved[is_flipped][:, MIRRORED]
    return np.asarray((moved + 1) / 2, np.float32)


class _Draws:
    """Random numbers of the pictures of a batch."""

    def __init__(self, seed: int, epoch: int, numbers: NDArray[np.intp], repetitions: NDArray[np.intp]) -> None:
        self.seed, self.numbers = seed, numbers
        self._keys = epoch, numbers, repetitions
        self.place = self.of(_PLACE, 6)

    def of(self, stream: int, count: int) -> NDArray[np.float64]:
        """Numbers of a stream, float64 (B, count)."""
        return uniform((self.seed, stream, *self._keys), count)

    def is_flipped(self, preset: Preset) -> NDArray[np.bool_]:
        """Whether each picture is mirrored, bool (B,)."""
        return (self.place[:, 0] < 0.5) & preset.flip


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


def _affine(size: tuple[int, int], spec: InputSpec, preset: Preset, draws: _Draws) -> NDArray[np.float64]:
    """float64 (B, 2, 3): from the input's pixels to the stored ones, both −1 to 1 from edge to edge."""
    rows, columns = size
    chance = draws.place
    room_x, room_y = columns - spec.width, rows - spec.height
    # Left upper corner of what is shown, stored pixels.
    x = np.floor(chance[:, 1] * (room_x + 1)) if preset.shift else np.full(len(chance), room_x / 2)
    y = np.floor(chance[:, 2] * (room_y + 1)) if preset.shift else np.full(len(chance), room_y / 2)
    width, height = np.full(len(x), float(spec.width)), np.full(len(x), float(spec.height))
    if preset.smallest_area < 1:
        which = np.floor(chance[:, 3] * preset.boxes).astype(np.intp)
        box = distorted_boxes(preset.smallest_area, uniform((draws.seed, _BOX, draws.numbers, which), 4))
        x, y = x + box[:, 0] * spec.width, y + box[:, 1] * spec.height
        width, height = box[:, 2] * spec.width, box[:, 3] * spec.height
    shear = np.zeros(len(x))
    if preset.warps:
        warp = draws.of(_WARP, 4)
        shear = preset.shear * (2 * warp[:, 0] - 1)
        x, y = (
            begin + preset.translation * side * (2 * column - 1)
            for begin, side, column in ((x, spec.width, warp[:, 1]), (y, spec.height, warp[:, 2]))
        )
        smallest, largest = preset.scale
        scale = smallest * (largest / smallest) ** warp[:, 3]
        x, y = x + width * (1 - scale) / 2, y + height * (1 - scale) / 2
        width, height = width * scale, height * scale
    angle = np.radians(preset.rotation_degrees) * (2 * chance[:, 4] - 1)
    sine, cosine = np.sin(angle), np.cos(angle)
    mirror = np.where(draws.is_flipped(preset), -1.0, 1.0)
    of_y = shear * cosine - sine, shear * sine + cosine
    across = np.stack([mirror * cosine * width / columns, of_y[0] * height / columns, (2 * x + width) / columns - 1], 1)
    down = np.stack([mirror * sine * width / rows, of_y[1] * height / rows, (2 * y + height) / rows - 1], 1)
    return np.stack([across, down], 1)


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
