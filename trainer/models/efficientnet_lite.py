"""EfficientNet-lite0: EfficientNet-B0 (M. Tan, Q. Le, 2019, arXiv 1905.11946, Table 1) without squeeze-and-excitation
and with ReLU6 for Swish, as its authors published it in March 2020 for integer arithmetic.

Of the original, only stochastic depth while training is left out.
"""

from __future__ import annotations

from torch import Tensor, nn

from trainer.models.layers import convolution, start_from_gaussian

_STAGES = (
    ((1, 3, 1, 16, 1),),
    ((6, 3, 2, 24, 2),),
    ((6, 5, 2, 40, 2),),
    ((6, 3, 2, 80, 3), (6, 5, 1, 112, 3)),
    ((6, 5, 2, 192, 4), (6, 3, 1, 320, 1)),
)
"""Expansion, window, stride of the first block, outputs, number of blocks; those of one resolution together."""


class _Block(nn.Module):
    """Expand, filter each channel, project; added to its input where both have the same shape."""

    def __init__(self, inputs: int, expansion: int, window: int, stride: int, outputs: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.layers = nn.Sequential(
            *([convolution(inputs, inner, 1)] if expansion > 1 else []),
            convolution(inner, inner, window, stride=stride, groups=inner),
            convolution(inner, outputs, 1, activation=None),
        )
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.layers(images)
        return images + outputs if self.is_residual else outputs


def efficientnet_lite0() -> list[nn.Module]:
    """Six groups from pictures (N, 3, H, W) to the average-pooled features (N, 1280)."""
    channels = 32
    groups: list[nn.Module] = [convolution(3, channels, 3, stride=2)]
    for stage in _STAGES:
        blocks: list[nn.Module] = []
        for expansion, window, stride, outputs, count in stage:
            for i in range(count):
                blocks.append(_Block(channels, expansion, window, stride if i == 0 else 1, outputs))
                channels = outputs
        groups.append(nn.Sequential(*blocks))
    groups[-1] = nn.Sequential(groups[-1], convolution(channels, 1280, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for group in groups:
        start_from_gaussian(group)
    return groups
