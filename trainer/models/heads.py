"""The dense part of trained networks as a bundle's head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mien.expression.head import Activation, Combine, DenseLayerSpec, HeadOutputSpec, HeadPartSpec, HeadSpec
from trainer.models import Network

Tensors = dict[str, NDArray[np.float32]]


def make_head(networks: Sequence[Network], names: Sequence[str] = ()) -> tuple[HeadSpec, Tensors]:
    """Take the dense layers as they are; each network has its slice of the embedding, in the order of `export_graph`.

    Classes that several networks tell are the mean of their probabilities (paper 004, eq. 4).

    Args:
        networks: trained; valence is told by one of them at most, and so is arousal.
        names: what their parts of the head are called, where there are several; none = network1, network2 and so on.

    Returns:
        The outputs, and the tensors of `head.safetensors`, float32, by name: "dense1.weight", "classes.bias" and so
        on, after the name of the part, as "network1.", where there are several networks.
    """
    names = names or [f"network{number}" for number, _ in enumerate(networks, 1)]
    tensors: Tensors = {}
    parts: dict[str, list[HeadPartSpec]] = {"classes": [], "valence": [], "arousal": []}
    start = 0
    for network, own in zip(networks, names, strict=True):
        name, prefix = (own, f"{own}.") if len(networks) > 1 else ("face", "")
        stop = start + network.architecture.embedding_size
        *hidden, last = list(network.parts)[network.architecture.groups :]
        below = tuple(_add(tensors, prefix + part, network.parts[part], "relu") for part in hidden)
        for output, layer in cast(nn.ModuleDict, network.parts[last]).items():
            top = _add(tensors, prefix + output, layer, "linear")
            parts[output].append(HeadPartSpec(name, start, stop, (*below, top)))
        start = stop
    return HeadSpec(*(_combined(name, tuple(found)) for name, found in parts.items())), tensors


def _add(tensors: Tensors, name: str, layer: nn.Module, activation: Activation) -> DenseLayerSpec:
    for kind, values in layer.state_dict().items():
        tensors[f"{name}.{kind}"] = values.float().cpu().contiguous().numpy()
    return DenseLayerSpec(f"{name}.weight", f"{name}.bias", activation)


def _combined(output: str, parts: tuple[HeadPartSpec, ...]) -> HeadOutputSpec | None:
    rule: Combine = "linear" if output != "classes" else "softmax" if len(parts) == 1 else "mean_of_softmax"
    return HeadOutputSpec(rule, parts) if parts else None
