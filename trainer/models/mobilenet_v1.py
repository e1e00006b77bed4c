"""MobileNetV1: A. Howard and others, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications", 2017 (arXiv 1704.04861), Table 1.

Details that the paper leaves open are those of its authors' code (TensorFlow-Slim): ReLU6, and for the first layer a
Gaussian of standard deviation 0.09, cut off at twice of it. Paper 003 trains with that code's settings (learning rate
0.045, ×0.94, weight decay 0.00004), so its "Gaussian distribution", from which it starts that layer anew, is this one.
All other weights start as torch's do: with that Gaussian everywhere the network learned more slowly from scratch.
"""

from __future__ import annotations

from functools import partial

from torch import nn
from torchvision.ops.misc import Conv2dNormActivation

from trainer.models.layers import start_from_gaussian

GAUSSIAN = 0.09
_STAGES = (((64, 1),), ((128, 2), (128, 1)), ((256, 2), (256, 1)), ((512, 2), *((512, 1),) * 5), ((1024, 2), (1024, 1)))
"""Outputs and stride of the separable convolutions, those of one resolution together."""


def mobilenet_v1(width: float) -> list[nn.Module]:
    """Six groups from pictures (N, 3, H, W) to the average-pooled features (N, 1024 · width).

    Args:
        width: multiplier of all channel counts: 1, 0.75, 0.5 or 0.25.
    """
    convolution = partial(Conv2dNormActivation, activation_layer=nn.ReLU6)
    channels = int(32 * width)
    groups: list[nn.Module] = [convolution(3, channels, 3, stride=2)]
    for stage in _STAGES:
        layers: list[nn.Module] = []
        for outputs, stride in stage:
            layers += [
                convolution(channels, channels, 3, stride=stride, groups=channels),
                convolution(channels, channels := int(outputs * width), kernel_size=1),
            ]
        groups.append(nn.Sequential(*layers))
    groups[-1] = nn.Sequential(groups[-1], nn.AdaptiveAvgPool2d(1), nn.Flatten())
    start_from_gaussian(groups[0], GAUSSIAN)
    return groups
