"""mini-XCEPTION: O. Arriaga, P. Plöger, M. Valdenegro, "Real-time Convolutional Neural Networks for Emotion and Gender
Classification", 2017 (arXiv 1710.07557), with its last convolution as a dense layer (`mien.models.mini_xception`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.models.layers import EPSILON, convolution, start_from_gaussian


class _SamePool(nn.Module):
    """The largest of 3 × 3 at every second pixel, padded as TensorFlow's "same": the first pixel of an odd side too."""

    def forward(self, images: Tensor) -> Tensor:
        before = [side % 2 for side in images.shape[-2:]]
        return functional.max_pool2d(images, 3, 2, padding=before, ceil_mode=True)


class _Block(nn.Module):
    """Two separable convolutions and a pooling, beside a shortcut of the same stride."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _separable(inputs, outputs),
            nn.ReLU(),
            _separable(outputs, outputs),
            _SamePool(),
        )
        # Every second pixel, then a convolution: torch 2.14's convolution with window 1 and stride 2 writes outside its
        # memory where 8 channels stand last.
        self.shortcut = nn.Sequential(nn.MaxPool2d(1, 2), *convolution(inputs, outputs, 1, activation=None))

    def forward(self, images: Tensor) -> Tensor:
        return torch.add(self.layers(images), self.shortcut(images))


class ShiftedMeans(nn.Module):
    """Each channel's mean as each of the nine taps of a 3×3 convolution sees it."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → (N, 9 · C)."""
        height, width = images.shape[-2:]
        # Whether each tap sees each pixel: one product is faster than nine means, most of all on a robot.
        seen = torch.ones(1, height, width, dtype=images.dtype, device=images.device)
        padded = functional.pad(seen, (1, 1, 1, 1))
        taps = [padded[:, y : y + height, x : x + width].flatten() for y in (2, 1, 0) for x in (2, 1, 0)]
        means = images.flatten(2) @ (torch.stack(taps, -1) / (height * width))
        return means.flatten(1)


def mini_xception() -> list[nn.Module]:
    """Five groups from grey pictures (N, 1, H, W) to the shifted means (N, 1152)."""
    groups: list[nn.Module] = [nn.Sequential(*_plain(1, 8), *_plain(8, 8))]
    groups += [_Block(inputs, 2 * inputs) for inputs in (8, 16, 32, 64)]
    groups[-1] = nn.Sequential(groups[-1], ShiftedMeans())
    for group in groups:
        start_from_gaussian(group)
    return groups


def _plain(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, bias=False), nn.BatchNorm2d(outputs, eps=EPSILON), nn.ReLU()]


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
    return nn.Sequential(depthwise, *convolution(inputs, outputs, 1, activation=None))
