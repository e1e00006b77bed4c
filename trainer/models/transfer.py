"""What is carried over into a network, what starts anew in it, and what is frozen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Literal, cast

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from mien.errors import MienError
from trainer.models.network import Network, Outputs, build_network

Policy = Literal["all", "head", "output"] | int

_REPLACE = 1  # stream of random numbers


def drop_affect(network: Network) -> None:
    """Leave a network its classes only: it forgets its outputs for valence and arousal.

    Raises:
        MienError: it tells no classes.
    """
    if not network.outputs.labels:
        raise MienError("Without valence and arousal the network would tell nothing", "Name one that tells expressions")
    output = cast(nn.ModuleDict, list(network.parts.values())[-1])
    for name in network.outputs.affect:
        del output[name]
    network.outputs = msgspec.structs.replace(network.outputs, affect=())


def unfreeze(network: Network, policy: Policy) -> float:
    """Choose what is trained; the rest is frozen, with its batch normalisation.

    Args:
        network: changed in place; call its `train` afterwards.
        policy: `all`; `head`: the dense parts; `output`: the last one; a number: the output and so many parts before
            it.

    Returns:
        Share of the parameters that are trained, 0 to 1.

    Raises:
        MienError: the network has fewer parts.
    """
    names = list(network.parts)
    trained = set(names[-_trained_parts(network, policy) :])
    for name, part in network.parts.items():
        part.requires_grad_(name in trained)
    network.train(network.training)
    parameters = list(network.parameters())
    return sum(p.numel() for p in parameters if p.requires_grad) / sum(p.numel() for p in parameters)


def freeze_classes(network: Network, labels: Collection[str]) -> None:
    """Let what the last layer says of some classes stay as it is, while other outputs of it learn.

    Of an optimiser that takes the same from all weights, such as weight decay, it does not keep them.

    Args:
        network: changed in place.
        labels: of the classes; those that the network does not tell do not matter.
    """
    output = cast(nn.ModuleDict, list(network.parts.values())[-1])
    learned = torch.tensor([float(label not in labels) for label in network.outputs.labels])
    layer = cast(nn.Linear, output["classes"])
    for values, mask in ((layer.weight, learned[:, None]), (layer.bias, learned)):
        values.register_hook(partial(_masked, mask))  # type: ignore[no-untyped-call]


def _masked(mask: Tensor, gradient: Tensor) -> Tensor:
    return mask.to(gradient) * gradient


def replace_parts(network: Network, names: Sequence[str], seed: int) -> None:
    """Let parts start anew, as the architecture starts them: MobileNetV1's first one from a Gaussian (paper 003).

    Args:
        network: changed in place.
        names: of the parts.
        seed: the same seed gives the same weights, but others than `build_network` gives: the parts of a network that
            was built and trained with this seed must not start again where they did.

    Raises:
        MienError: the network has no such part.
    """
    unknown = sorted(set(names) - set(network.parts))
    if unknown:
        raise MienError(
            f"{network.architecture.name} has no part {unknown[0]!r}", f"Choose from: {', '.join(network.parts)}"
        )
    stream = int(np.random.SeedSequence([seed, _REPLACE]).generate_state(1)[0])
    new = build_network(network.architecture.name, network.outputs, stream, image_side=network.input.width)
    for name in names:
        network.parts[name].load_state_dict(new.parts[name].state_dict())


def transfer(
    network: Network, tensors: Mapping[str, Tensor], outputs_of_tensors: Outputs, keep_classes: bool = False
) -> None:
    """Copy what another network of the same architecture has learned.

    Each output is copied where both tell the same - classes in the same order, valence, arousal, landmarks of the same
    part - and left as it is where they do not. So are the hidden dense layers where the two have different ones, as the
    heads for landmarks and for classes do in paper 004.

    Args:
        network: changed in place.
        tensors: state of the other network, by name.
        outputs_of_tensors: what that one tells.
        keep_classes: of classes that are not the same, those are copied that both know, by name.

    Raises:
        MienError: the tensors are not of this architecture, or no class is known to both that is to be kept.
    """
    kept = [label for label in network.outputs.labels if label in outputs_of_tensors.labels]
    if keep_classes and not kept:
        raise MienError(
            f"There is no class to keep: the weights know {', '.join(outputs_of_tensors.labels) or 'none'}",
            "Leave out keep_classes, or start from a network that tells some of the same classes",
        )
    same: set[str] = {name for name in network.outputs.affect if name in outputs_of_tensors.affect}
    if network.outputs.labels == outputs_of_tensors.labels:
        same.add("classes")
    if network.outputs.points == outputs_of_tensors.points:
        same |= {"landmarks", "scales"} & outputs_of_tensors.sizes.keys()
    hidden = [network.architecture.hidden_for(told.points) for told in (network.outputs, outputs_of_tensors)]
    state = network.state_dict()
    names = [name for name in state if not name.startswith("parts.output.") or name.split(".")[2] in same]
    if hidden[0] != hidden[1]:
        names = [name for name in names if not name.startswith("parts.dense")]
    for name in names:
        if name not in tensors or tensors[name].shape != state[name].shape:
            found = tuple(tensors[name].shape) if name in tensors else "missing"
            own = tuple(state[name].shape)
            raise MienError(
                f"The weights are not those of {network.architecture.name}: {name} is {found}, not {own}",
                "Start from a checkpoint of the same architecture",
            )
    with torch.no_grad():
        for name in names:
            state[name].copy_(tensors[name])
        if keep_classes:
            ours, theirs = (
                [told.labels.index(label) for label in kept] for told in (network.outputs, outputs_of_tensors)
            )
            for name in ("parts.output.classes.weight", "parts.output.classes.bias"):
                state[name][ours] = tensors[name][theirs].to(state[name].device)


def take_dense(network: Network, tensors: Mapping[str, Tensor]) -> None:
    """Copy the dense layers of another network of the same architecture, which tells the same.

    Args:
        network: changed in place.
        tensors: state of the other network, by name.
    """
    with torch.no_grad():
        for name, values in network.state_dict().items():
            if name.startswith(("parts.dense", "parts.output.")):
                values.copy_(tensors[name])


def _trained_parts(network: Network, policy: Policy) -> int:
    """How many parts, counted from the output, are trained."""
    fixed = {"all": len(network.parts), "head": len(network.parts) - network.architecture.groups, "output": 1}
    if isinstance(policy, str):
        return fixed[policy]
    if not 0 < policy < len(network.parts):
        raise MienError(
            f"unfreeze {policy}: {network.architecture.name} has {len(network.parts) - 1} parts before its output",
            "Give a smaller number, or all",
        )
    return policy + 1
