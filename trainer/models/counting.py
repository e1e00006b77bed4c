"""What a network costs: parameters, multiply-accumulates and bytes, counted exactly and without computing anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from trainer.models.network import Network

_POOLING = torch.ops.aten.max_pool2d_with_indices


class Cost(NamedTuple):
    """Trainable parameters (frozen or not), and multiply-accumulates of convolutions and dense layers."""

    parameters: int
    macs: int


class Counts(NamedTuple):
    """Of a network with one picture of its input size.

    Attributes:
        parameters: that are trained, frozen or not.
        macs: multiply-accumulates of convolutions and dense layers.
        pooled: numbers that max-pooling gives.
        bytes: of all numbers that are stored in float32: parameters, and the statistics of batch normalisation.
        by_part: in the order of its parts.
    """

    parameters: int
    macs: int
    pooled: int
    bytes: int
    by_part: dict[str, Cost]

    @property
    def flops(self) -> int:
        """Paper 004, eq. 7-9: two for each multiply-accumulate, one for each number that max-pooling gives.

        W and H of eq. 7 are taken for those of what a convolution gives, because so many operations are done, and
        because only so the paper's own 0.555 GFLOP come out; printed are those of its input.
        """
        return 2 * self.macs + self.pooled


def count(network: Network) -> Counts:
    """Count; takes milliseconds, whatever the network and its device."""
    state = network.state_dict()
    tensors = {**state, **dict(network.named_buffers())}  # also constants, which no checkpoint holds
    on_meta = {name: tensor.to("meta") for name, tensor in tensors.items()}
    image = torch.empty(1, network.input.depth, network.input.height, network.input.width, device="meta")
    counter = FlopCounterMode(display=False, custom_mapping={_POOLING: _pooled})
    was_training = network.training
    network.eval()
    try:
        with counter, torch.no_grad():
            functional_call(network, on_meta, (image,))
    finally:
        network.train(was_training)
    operations = counter.get_flop_counts()
    by_part = {
        name: Cost(
            sum(parameter.numel() for parameter in part.parameters()), _macs(operations[f"Network.parts.{name}"])
        )
        for name, part in network.parts.items()
    }
    return Counts(
        sum(cost.parameters for cost in by_part.values()),
        _macs(operations["Global"]),
        operations["Global"].get(_POOLING, 0),
        4 * sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point()),
        by_part,
    )


def _pooled(*_: object, out_shape: list[torch.Size], **__: object) -> int:
    return out_shape[0].numel()


def _macs(operations: Mapping[Any, int]) -> int:
    return sum(flops for operation, flops in operations.items() if operation != _POOLING) // 2
