"""The sub-network of paper 004: four blocks of convolutions, from a grey face to 128 numbers (III.C.1, Fig. 6).

What the paper leaves open follows from its counts: 16, 32, 64 and 128 channels with biases, as Keras has them, are its
0.33 million parameters, and blocks whose first convolution is not padded and whose second one is are its 0.555 GFLOP
(0.557; padded throughout 0.671). Batch normalisation has Keras's epsilon; its averages follow ten times as fast as
Keras's, as is usual in torch.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from trainer.models.layers import EPSILON

EMBEDDING_SIZE = 128
HIDDEN = (128, 128)
"""Dense layers in front of the classes."""
LANDMARK_HIDDEN = (128,)
"""Dense layers in front of the landmarks."""
SMALLEST_SIDE = 46
"""Pixels; of smaller pictures the blocks leave nothing."""

_CHANNELS = (3, 16, 32, 64, EMBEDDING_SIZE)


class Repeat(nn.Module):
    """Shows a grey picture as all three colours."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, 3, H, W)."""
        return torch.cat([images] * 3, 1)


def parts_subnet() -> list[nn.Module]:
    """Four groups from grey pictures (N, 1, H, W) to the features (N, 128)."""
    groups = [_block(inputs, outputs) for inputs, outputs in pairwise(_CHANNELS)]
    groups[0].insert(0, Repeat())
    groups[-1].extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])
    return list(groups)


def start_dense(module: nn.Module) -> None:
    """Draw the weights of all dense layers in a module from Glorot's uniform distribution; biases are 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    convolutions = nn.Conv2d(inputs, outputs, 3), nn.Conv2d(outputs, outputs, 3, padding=1)
    block = nn.Sequential()
    for convolution in convolutions:
        nn.init.kaiming_uniform_(convolution.weight, nonlinearity="relu")
        nn.init.zeros_(convolution.get_parameter("bias"))
        block.extend([convolution, nn.BatchNorm2d(outputs, eps=EPSILON), nn.ReLU()])
    return block.append(nn.MaxPool2d(2))
