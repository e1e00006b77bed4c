"""The expression networks of two packages side by side: mini-XCEPTION and face-api.js's.

They have learned from different photographs and make different mistakes. Their embeddings stand one behind the other,
so the last layer adds up what both say of a class: with their own last layers, the product of their probabilities
(Hinton 1999, "Products of experts").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.models import face_expression_net
from trainer.models.mini_xception import mini_xception

SIDE = 64
EMBEDDING_SIZE = 1152 + face_expression_net.EMBEDDING_SIZE


class SideBySide(nn.Module):
    """Networks that look at the same pictures."""

    def __init__(self, *networks: nn.Sequential) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → embeddings (N, E), one behind the other."""
        return torch.cat([network(images) for network in self.networks], 1)


class _FromGrey(nn.Module):
    """Makes of mini-XCEPTION's input, -1 to 1, what face-api.js's network sees of a grey picture."""

    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean = torch.tensor(face_expression_net.MEAN)[:, None, None]
        self.register_buffer("offset", (127.5 - mean) / 255, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 1, 64, 64) → (N, 3, 112, 112); of other sizes in proportion."""
        larger = functional.interpolate(
            images, scale_factor=face_expression_net.SIDE / SIDE, mode="bilinear", align_corners=False
        )
        return larger * (127.5 / 255) + self.offset


def expression_pair() -> list[nn.Module]:
    """One group from grey pictures (N, 1, 64, 64) to both embeddings (N, 1408)."""
    own = nn.Sequential(*mini_xception())
    other = nn.Sequential(_FromGrey(), *face_expression_net.face_expression_net())
    return [SideBySide(own, other)]
