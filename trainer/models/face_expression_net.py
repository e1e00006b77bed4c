"""The expression network of face-api.js (V. Mühler, MIT): four blocks of depthwise separable convolutions, each of
which adds up what its layers say.

Its weights lie in one file as bytes, each tensor with a scale and an offset; a second file tells where.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mien.errors import MienError
from trainer.models.layers import SamePad, start_from_gaussian

SIDE, EMBEDDING_SIZE = 112, 256
MEAN = (122.782, 117.001, 104.298)
"""Of its input's red, green and blue, which are then divided by 255."""
LABELS = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
"""The network's outputs in order (its own words: happy, sad, angry, fearful, disgusted, surprised)."""
_SIDES = (32, 64, 128, EMBEDDING_SIZE)


class _Block(nn.Module):
    """Four convolutions; each but the first sees the sum of those before it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        first = [nn.Conv2d(3, outputs, 3, 2)] if inputs == 3 else [*_separable(inputs, outputs, 2)]
        self.first = nn.Sequential(SamePad(3, 2), *first, nn.ReLU())
        self.others = nn.ModuleList(nn.Sequential(*_separable(outputs, outputs, 1)) for _ in range(3))

    def forward(self, images: Tensor) -> Tensor:
        rectified: Tensor = self.first(images)
        total = rectified
        for layer in self.others:
            total = total + layer(rectified)
            rectified = functional.relu(total)
        return rectified


def face_expression_net() -> list[nn.Module]:
    """Four groups from colour pictures (N, 3, H, W) to the mean of the last map (N, 256)."""
    groups: list[nn.Module] = [_Block(inputs, outputs) for inputs, outputs in zip((3, *_SIDES), _SIDES, strict=False)]
    groups[-1] = nn.Sequential(groups[-1], nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for group in groups:
        start_from_gaussian(group)
    return groups


class _Quantisation(msgspec.Struct):
    """A byte b stands for b · scale + min."""

    scale: float
    min: float


class _Entry(msgspec.Struct):
    """A tensor of the file; as bytes where it has a quantisation, else as float32."""

    name: str
    shape: tuple[int, ...]
    quantization: _Quantisation | None = None


class _Group(msgspec.Struct):
    weights: tuple[_Entry, ...]


def read_face_expression_net(index: Path, weights: Path) -> list[Tensor]:
    """Its tensors in torch's order, from the pictures to the output; the last two are the output's.

    Args:
        index: json file that says where they lie.
        weights: their bytes.

    Raises:
        MienError: the files are not these.
    """
    try:
        (group,) = msgspec.json.decode(index.read_bytes(), type=tuple[_Group])
        return [_as_torch(name, array) for name, array in _arrays(group, weights.read_bytes())]
    except (OSError, ValueError) as error:  # msgspec's are ValueErrors
        raise MienError(
            f"{weights} is no expression network of face-api.js ({error})", "Fetch it again: mien models fetch"
        ) from error


def _arrays(group: _Group, data: bytes) -> Iterator[tuple[str, NDArray[np.float32]]]:
    offset = 0
    for entry in group.weights:
        kind, count = np.dtype("<f4" if entry.quantization is None else "u1"), int(np.prod(entry.shape))
        array = np.frombuffer(data, kind, count, offset).astype(np.float32)
        offset += count * kind.itemsize
        if entry.quantization is not None:
            array = array * np.float32(entry.quantization.scale) + np.float32(entry.quantization.min)
        yield entry.name, array.reshape(entry.shape)
    if offset != len(data):
        raise ValueError(f"{len(data)} bytes, of which the index names {offset}")


def _as_torch(name: str, array: NDArray[np.float32]) -> Tensor:
    """TensorFlow's kernels are (height, width, inputs, outputs), of depthwise layers (height, width, inputs, 1)."""
    if array.ndim == 4:
        array = array.transpose((2, 3, 0, 1) if name.endswith("depthwise_filter") else (3, 2, 0, 1))
    return torch.tensor(array.T.copy() if array.ndim == 2 else array)


def _separable(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, nn.Module]:
    depthwise = nn.Conv2d(inputs, inputs, 3, stride, padding=int(stride == 1), groups=inputs, bias=False)
    return depthwise, nn.Conv2d(inputs, outputs, 1)
