"""Where a network's last map is pooled into the embedding: what explanations and exported graphs both look at."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from trainer.models.mini_xception import ShiftedMeans
from trainer.models.network import Network

_POOLING = (nn.AdaptiveAvgPool2d, ShiftedMeans)


class Backbone(nn.Module):
    """A network up to its embedding, cut where the last map is pooled; its layers are the network's own.

    A max-pooling just before the mean belongs to the pooling: the last convolution's map shows places more finely.

    Attributes:
        maps: from pictures (N, C, H, W) to the last map (N, K, h, w).
        pooling: from the last map to the embedding (N, E).
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        *groups, end = list(network.parts.values())[: network.architecture.groups]
        last = cast(nn.Sequential, end)
        first = next(i for i, layer in enumerate(last) if isinstance(layer, _POOLING))
        first -= isinstance(last[first - 1], nn.MaxPool2d)
        self.maps = nn.Sequential(*groups, *last[:first])
        self.pooling = last[first:]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) → embedding (N, E) and the last map (N, K, h, w)."""
        feature_map = self.maps(image)
        return self.pooling(feature_map), feature_map
