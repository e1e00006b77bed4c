"""Layers that the networks of TensorFlow and Keras share."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-3
"""Of the batch normalisation in TensorFlow's networks."""


class SamePad(nn.Module):
    """Pads as TensorFlow's "same" does: where the missing rows are odd, the last one goes to the end.

    Args:
        window: of the convolution or pooling that follows, pixels.
        stride: of the same.
        value: that is put around.
    """

    def __init__(self, window: int, stride: int, value: float = 0.0) -> None:
        super().__init__()
        self.window, self.stride, self.value = window, stride, value

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H', W'), so that a window with that stride gives ⌈H / stride⌉ × ⌈W / stride⌉."""
        top, bottom = self._ends(images.shape[-2])
        left, right = self._ends(images.shape[-1])
        return functional.pad(images, (left, right, top, bottom), value=self.value)

    def _ends(self, side: int) -> tuple[int, int]:
        missing = max((-(-side // self.stride) - 1) * self.stride + self.window - side, 0)
        return missing // 2, missing - missing // 2


def convolution(
    inputs: int,
    outputs: int,
    window: int,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU6,
) -> nn.Sequential:
    """Convolution with "same" padding and no bias, batch normalisation, activation."""
    padding = window // 2 if stride == 1 else 0
    layers: Sequence[nn.Module] = [
        *([SamePad(window, stride)] if stride > 1 else []),
        nn.Conv2d(inputs, outputs, window, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=EPSILON),
        *([activation()] if activation is not None else []),
    ]
    return nn.Sequential(*layers)


def start_from_gaussian(module: nn.Module, deviation: float | None = None) -> None:
    """Draw the weights of all convolutions anew.

    Args:
        module: with the convolutions.
        deviation: of a Gaussian that is cut off at twice of it; None = He's for rectified units, √(2 / fan-out), which
            torchvision's networks take.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            if deviation is None:
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
