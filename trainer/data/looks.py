"""How a camera may spoil a picture: light, focus, noise, resolution, things in the way. Nothing is moved.

All draws follow from the keys of a picture, whatever pictures are beside it in its batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

_REACH = 3
"""Of the blur's window, pixels to either side."""


@dataclass(frozen=True)
class Look:
    """What happens to the pixels of each picture; of every strength a share, evenly from none to all, is drawn.

    Attributes:
        brightness: grey levels (of 255) at most, up or down.
        contrast: at most, as a share, more or less.
        gamma: at most this power, or one divided by it; 1 = none.
        blur_px: standard deviation of the Gaussian, at most 1.5.
        noise: standard deviation, grey levels, at most; the same in all channels.
        coarse: share of the pictures that are shrunk, at most to `coarsest`, and enlarged again.
        coarsest: side of the shrunk picture, as a share.
        erased: share of the pictures of which a rectangle becomes even grey (Zhong and others 2017, Random Erasing).
        largest_erased: its sides at most, as a share of the picture's.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 1.0
    blur_px: float = 0.0
    noise: float = 0.0
    coarse: float = 0.0
    coarsest: float = 0.25
    erased: float = 0.0
    largest_erased: float = 0.5


DRAWS = 13
"""Random numbers that `spoil` needs for a picture."""


def spoil(images: Tensor, look: Look, chance: NDArray[np.float64]) -> Tensor:
    """Spoil pictures.

    Args:
        images: float32 (B, C, H, W), 0…255.
        look: how much.
        chance: float64 (B, `DRAWS`) in [0, 1), of each picture.

    Returns:
        float32 (B, C, H, W), 0…255.
    """
    images = _lit(images, look, chance[:, :3])
    for place in np.flatnonzero(chance[:, 3] < look.erased).tolist():
        _erase(images[place], look, chance[place, 4:9].tolist())
    for place in np.flatnonzero(chance[:, 9] < look.coarse).tolist():
        images[place] = _coarse(images[place], 1 - float(chance[place, 10]) * (1 - look.coarsest))
    if look.blur_px:
        images = _blurred(images, chance[:, 11] * look.blur_px)
    if look.noise:
        images += _noise(images, chance[:, 12], look.noise)
    return images.clamp_(0, 255)


def _lit(images: Tensor, look: Look, chance: NDArray[np.float64]) -> Tensor:
    brightness, contrast, gamma = (
        torch.from_numpy((2 * column - 1).astype(np.float32)).to(images.device)[:, None, None, None]
        for column in chance.T
    )
    lit = (images - 127.5) * (1 + contrast * look.contrast) + 127.5 + brightness * look.brightness
    return (lit.clamp_(0, 255) / 255).pow_(look.gamma**gamma).mul_(255)


def _erase(image: Tensor, look: Look, chance: list[float]) -> None:
    """Make a rectangle of a picture (C, H, W) grey, in place."""
    rows, columns = image.shape[1:]
    height, width = (
        1 + int(chance[0] * look.largest_erased * rows),
        1 + int(chance[1] * look.largest_erased * columns),
    )
    top, left = int(chance[2] * (rows - height + 1)), int(chance[3] * (columns - width + 1))
    image[:, top : top + height, left : left + width] = 255 * chance[4]


def _coarse(image: Tensor, share: float) -> Tensor:
    size = image.shape[1], image.shape[2]
    small = max(1, round(size[0] * share)), max(1, round(size[1] * share))
    shrunk = functional.interpolate(image[None], small, mode="bilinear", antialias=True, align_corners=False)
    return functional.interpolate(shrunk, size, mode="bilinear", align_corners=False)[0]


def _blurred(images: Tensor, deviations: NDArray[np.float64]) -> Tensor:
    """Each picture by a Gaussian of its own, pixels; borders are repeated."""
    offsets = np.arange(-_REACH, _REACH + 1)
    weights = np.exp(-0.5 * (offsets / np.maximum(deviations, 0.05)[:, None]) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    columns = torch.from_numpy(weights.astype(np.float32)).to(images.device).T[..., None, None, None].unbind()
    for axis in (2, 3):  # shifted and added: a convolution with a kernel for each picture takes ten times as long
        margins = (0, 0, _REACH, _REACH) if axis == 2 else (_REACH, _REACH, 0, 0)
        padded, size = functional.pad(images, margins, mode="replicate"), images.shape[axis]
        images = torch.zeros_like(images)
        for place, column in enumerate(columns):
            images.addcmul_(padded.narrow(axis, place, size), column)
    return images


def _noise(images: Tensor, chance: NDArray[np.float64], strongest: float) -> Tensor:
    """Noise (B, 1, H, W), whose pattern and strength follow from each picture's number in [0, 1)."""
    generator = torch.Generator()
    patterns = []
    for number in chance.tolist():
        seed = int(number * 2**53)
        generator.manual_seed(seed)
        strength = strongest * (seed % 1024) / 1023
        patterns.append(strength * torch.randn((1, *images.shape[2:]), generator=generator))
    return torch.stack(patterns).to(images.device)
