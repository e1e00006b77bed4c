"""torchvision's networks, taken apart: groups of layers from the pictures to the embedding, and the dense layers.

Groups end where the resolution changes. The last layer of each, for ImageNet's classes, is left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torchvision.models
from torch import nn


class Pieces(NamedTuple):
    """Groups of the backbone in order, the last one giving the embedding, and the dense layers after it."""

    groups: list[nn.Module]
    dense: list[nn.Module]


def alexnet() -> Pieces:
    """AlexNet's five convolutions and its first two dense layers."""
    return _classic(torchvision.models.alexnet(), (0, 3, 6, 8, 10), (1, 4))


def vgg19() -> Pieces:
    """VGG19's five blocks of convolutions and its first two dense layers."""
    return _classic(torchvision.models.vgg19(), (0, 5, 10, 19, 28), (0, 3))


def resnet50() -> Pieces:
    """ResNet-50's five groups, conv1 to conv5_x of its paper."""
    return _resnet(torchvision.models.resnet50())


def resnet152() -> Pieces:
    """ResNet-152's five groups."""
    return _resnet(torchvision.models.resnet152())


def mobilenet_v2() -> Pieces:
    """MobileNetV2's six resolutions."""
    features = torchvision.models.mobilenet_v2().features
    groups = _cut(features, (0, 1, 2, 4, 7, 14))
    return Pieces([*groups[:-1], nn.Sequential(groups[-1], nn.AdaptiveAvgPool2d(1), nn.Flatten())], [])


def _classic(network: Any, firsts: tuple[int, ...], dense: tuple[int, ...]) -> Pieces:
    groups = _cut(network.features, firsts)
    groups[-1] = nn.Sequential(groups[-1], network.avgpool, nn.Flatten())
    return Pieces(groups, [network.classifier[i] for i in dense])


def _resnet(network: Any) -> Pieces:
    first = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    last = nn.Sequential(network.layer4, network.avgpool, nn.Flatten())
    return Pieces([first, network.layer1, network.layer2, network.layer3, last], [])


def _cut(features: nn.Sequential, firsts: tuple[int, ...]) -> list[nn.Module]:
    return [features[first:after] for first, after in zip(firsts, (*firsts[1:], None), strict=True)]
