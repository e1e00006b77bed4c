"""A network: an architecture's layers, and a head for classes, valence and arousal, or for landmarks.

The parts stand in one list from the pictures to the output: groups of convolutions, whose last one gives the
embedding; hidden dense layers, which all outputs share; and the output part, one linear layer for each of classes,
valence, arousal, landmarks. So a bundle's head is the dense parts as they are, and its graph is the groups (paper 002).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, NamedTuple

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.bundle import Contrast, InputSpec
from mien.errors import MienError
from trainer.data.face_parts import Points, count_points
from trainer.models.architectures import Architecture, find_architecture


class Outputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a network tells: classes in order, valence or arousal (paper 002's twins have one of them), or both.

    Or, alone, where the landmarks of a part of the face are: `points` is its name in `trainer.data.face_parts.PARTS`.
    With `scales` it also tells how far off each of them may be.
    """

    labels: tuple[str, ...] = ()
    affect: tuple[Literal["valence", "arousal"], ...] = ()
    points: Literal[Points, ""] = ""
    scales: bool = False

    @property
    def sizes(self) -> dict[str, int]:
        """Units of each output that there is, by its name: classes, valence, arousal, landmarks, scales."""
        count = count_points(self.points) if self.points else 0
        units: dict[str, int] = {"classes": len(self.labels), **dict.fromkeys(self.affect, 1)}
        units |= {"landmarks": 2 * count, "scales": count if self.scales else 0}
        return {name: size for name, size in units.items() if size}


class NetworkOutput(NamedTuple):
    """What a network says of N pictures; what it does not tell is None.

    Attributes:
        embedding: (N, embedding_size), where the frozen part of a bundle ends.
        features: (N, F), input of the last layer before dropout: what center loss pulls together (paper 003).
        classes: logits (N, classes).
        valence: (N,), as the labels' range was, usually [-1, 1].
        arousal: (N,).
        landmarks: (N, 2 K), x, y of each point in turn, 0 to 1 across the picture.
        scales: (N, K), natural logarithm of the mean distance, along x or y, that each point is expected to be off.
    """

    embedding: Tensor
    features: Tensor
    classes: Tensor | None
    valence: Tensor | None
    arousal: Tensor | None
    landmarks: Tensor | None = None
    scales: Tensor | None = None


class _Output(nn.ModuleDict):
    """One linear layer for each output, by name."""

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """(N, F) → (N, units) of each output."""
        return {name: layer(features) for name, layer in self.items()}


class Network(nn.Module):
    """An architecture with a head. Made by `build_network`.

    Attributes:
        architecture: whose layers it has.
        outputs: what it tells.
        input: what pictures become before they enter it.
        parts: from the pictures to the output, by name.
        dropout: share of the values that are dropped before the last layer and after each hidden one, while training.
    """

    def __init__(self, architecture: Architecture, outputs: Outputs, spec: InputSpec, dropout: float) -> None:
        super().__init__()
        self.architecture, self.outputs, self.input, self.dropout = architecture, outputs, spec, dropout
        groups, dense = architecture.layers(outputs.points)
        output = _Output({name: nn.Linear(self.feature_size, size) for name, size in outputs.sizes.items()})
        if architecture.start_dense is not None:
            for layer in (*dense, output):
                architecture.start_dense(layer)
        names = architecture.parts(outputs.points)
        self.parts = nn.ModuleDict(OrderedDict(zip(names, [*groups, *dense, output], strict=True)))

    @property
    def feature_size(self) -> int:
        """Length of the last layer's input."""
        return (self.architecture.embedding_size, *self.architecture.hidden_for(self.outputs.points))[-1]

    def forward(self, images: Tensor) -> NetworkOutput:
        """Look at float32 pictures (N, C, H, W), normalised as `input` says."""
        groups = self.architecture.groups
        *names, output = self.parts
        embedding = images
        for name in names[:groups]:
            embedding = self.parts[name](embedding)
        features = embedding
        dropped = features if len(names) > groups else self._drop(features)
        for name in names[groups:]:
            features = functional.relu(self.parts[name](dropped))
            dropped = self._drop(features)
        told: dict[str, Tensor] = self.parts[output](dropped)
        valence, arousal = (told[name][:, 0] if name in told else None for name in ("valence", "arousal"))
        rest = told.get("landmarks"), told.get("scales")
        return NetworkOutput(embedding, features, told.get("classes"), valence, arousal, *rest)

    def train(self, mode: bool = True) -> Network:
        """As usual, but parts that are frozen stay as in evaluation: their batch normalisation does not move."""
        super().train(mode)
        for part in self.parts.values():
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self

    def _drop(self, values: Tensor) -> Tensor:
        return functional.dropout(values, self.dropout, self.training)


def build_network(
    architecture: str,
    outputs: Outputs,
    seed: int,
    dropout: float | None = None,
    image_side: int | None = None,
    contrast: Contrast = "none",
) -> Network:
    """Make a network with new weights, all of them to be trained.

    Args:
        architecture: name of one.
        outputs: what it shall tell.
        seed: the same seed gives the same weights; torch's own random numbers are left as they are.
        dropout: 0 to 1; None = as the architecture has it.
        image_side: of the pictures, pixels; None = as in the architecture's paper.
        contrast: whether the crop's is enhanced.

    Raises:
        MienError: there is no such architecture, the outputs are none or twice the same, or the pictures are too small,
            or coloured where contrast needs grey ones.
    """
    found = find_architecture(architecture)
    _check(outputs)
    spec = found.input_for(image_side, contrast)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(found, outputs, spec, found.dropout if dropout is None else dropout)


def _check(outputs: Outputs) -> None:
    for names in (outputs.labels, outputs.affect):
        if len(set(names)) != len(names):
            raise MienError(f"An output occurs twice in {list(names)}", "Name each class and quantity once")
    if outputs.points and (outputs.labels or outputs.affect):
        raise MienError(
            f"A network cannot tell landmarks of {outputs.points} and other things", "Let it tell landmarks alone"
        )
    if not outputs.sizes or len(outputs.labels) == 1:
        raise MienError(
            f"A network cannot tell {list(outputs.labels) or 'nothing'}",
            "Give it two or more classes, valence or arousal, or landmarks",
        )
