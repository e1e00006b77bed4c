"""A small residual network that locates landmarks on a robot: a few hundred microseconds for a face on one CPU thread.

Blocks are ResNet's (He and others 2015, arXiv 1512.03385): on CPUs dense convolutions with few channels are as fast
as separable ones with more of them. The last map goes into the dense layers with its positions, not averaged over
them: where something is must not be lost. That landmarks can be regressed so directly by so small a network is PFLD's
finding (Guo and others 2019, arXiv 1902.10859).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from trainer.models.layers import start_from_gaussian

SIDE = 80
"""Pixels; the last map is then as large as it is read."""
HIDDEN = (256,)

_CHANNELS = (16, 32, 64, 64)
_LAST_CHANNELS, _LAST_SIDE = 64, 5
EMBEDDING_SIZE = _LAST_CHANNELS * _LAST_SIDE**2
SMALLEST_SIDE = 65
"""Of which the four strides leave so large a map."""


class _Residual(nn.Module):
    """Two convolutions beside their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_convolution(channels, channels, 3), *_convolution(channels, channels, 3)[:-1])
        self.activation = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        values: Tensor = self.activation(images + self.layers(images))
        return values


def landmark_net() -> list[nn.Module]:
    """Four groups, each of half the resolution, from grey pictures (N, 1, H, W) to a map as numbers (N, 1600)."""
    groups = [_convolution(1, _CHANNELS[0], 3, 2)]
    for inputs, outputs in pairwise(_CHANNELS):
        groups.append(_convolution(inputs, outputs, 3, 2).append(_Residual(outputs)))
    groups[-1].extend(_convolution(_CHANNELS[-1], _LAST_CHANNELS, 1))
    groups[-1].extend([nn.AdaptiveAvgPool2d(_LAST_SIDE), nn.Flatten()])
    for group in groups:
        start_from_gaussian(group)
    return list(groups)


def _convolution(inputs: int, outputs: int, window: int, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, window, stride, window // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())
