"""What a network costs: parameters and multiply-accumulates, counted exactly and without computing anything."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from trainer.models.network import Network


class Cost(NamedTuple):
    """Trainable parameters (frozen or not), and multiply-accumulates of convolutions and dense layers."""

    parameters: int
    macs: int


class Counts(NamedTuple):
    """Of a network with one picture of its input size; `by_part` in the order of its parts."""

    parameters: int
    macs: int
    by_part: dict[str, Cost]


def count(network: Network) -> Counts:
    """Count; takes milliseconds, whatever the network and its device."""
    state = {name: tensor.to("meta") for name, tensor in network.state_dict().items()}
    image = torch.empty(1, network.input.depth, network.input.height, network.input.width, device="meta")
    counter = FlopCounterMode(display=False)
    was_training = network.training
    network.eval()
    try:
        with counter, torch.no_grad():
            functional_call(network, state, (image,))
    finally:
        network.train(was_training)
    operations = counter.get_flop_counts()
    by_part = {
        name: Cost(
            sum(parameter.numel() for parameter in part.parameters()),
            sum(operations[f"Network.parts.{name}"].values()) // 2,  # one multiply and one add
        )
        for name, part in network.parts.items()
    }
    return Counts(sum(cost.parameters for cost in by_part.values()), counter.get_total_flops() // 2, by_part)
