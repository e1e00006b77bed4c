"""Where a network's last maps are pooled into the embedding: what explanations and exported graphs both look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from trainer.models.expression_pair import SideBySide
from trainer.models.mini_xception import ShiftedMeans
from trainer.models.network import Network

_POOLING = (nn.AdaptiveAvgPool2d, ShiftedMeans)


class Backbone(nn.Module):
    """Groups of layers up to an embedding, cut where the last map is pooled; the layers stay the network's own.

    A max-pooling just before the mean belongs to the pooling: the last convolution's map shows places more finely.

    Attributes:
        maps: from pictures (N, C, H, W) to the last map (N, K, h, w).
        pooling: from the last map to the embedding (N, E).
    """

    def __init__(self, groups: Sequence[nn.Module]) -> None:
        super().__init__()
        *before, end = groups
        last = cast(nn.Sequential, end)
        first = next(i for i, layer in enumerate(last) if isinstance(layer, _POOLING))
        first -= isinstance(last[first - 1], nn.MaxPool2d)
        self.maps = nn.Sequential(*before, *last[:first])
        self.pooling = last[first:]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) → embedding (N, E) and the last map (N, K, h, w)."""
        feature_map = self.maps(image)
        return self.pooling(feature_map), feature_map


def backbones(network: Network) -> list[Backbone]:
    """A network's backbone; where it has several side by side, all of them, in the order of the embedding."""
    groups = list(network.parts.values())[: network.architecture.groups]
    end = groups[-1]
    if isinstance(end, SideBySide):
        return [Backbone(list(cast(nn.Sequential, one))) for one in end.networks]
    return [Backbone(groups)]
