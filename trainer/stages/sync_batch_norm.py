"""Batch normalisation over all processes, so that several of them train as one with the whole batch does."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as processes
import torch.nn.functional as functional
from lightning_fabric import Fabric
from torch import Tensor, nn


def share_batch_statistics(network: nn.Module, fabric: Fabric) -> None:
    """Exchange the network's batch normalisations for ones over all processes, with the same weights and names.

    On GPUs these are torch's, which refuse to run elsewhere.
    """
    if fabric.world_size == 1:
        return
    if fabric.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(module, name, SharedBatchNorm(child))


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation (Ioffe and Szegedy 2015) whose mean and variance are those of all processes' pictures.

    Input and output (N, C, ...) with any N, 0 included. Outside of training, torch's own.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, original: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        """Take over the weights and running statistics of a batch normalisation."""
        super().__init__(original.num_features, original.eps, original.momentum, original.affine)
        self._parameters, self._buffers = original._parameters, original._buffers
        self.train(original.training)

    def forward(self, values: Tensor) -> Tensor:
        """Normalise, and move the running statistics while training."""
        if not self.training:
            return functional.batch_norm(
                values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        axes = [axis for axis in range(values.dim()) if axis != 1]
        shape = [1, -1] + [1] * (values.dim() - 2)
        count = values.new_full((1,), values.numel() / values.shape[1])
        sums, total = _sum(torch.cat([values.sum(axes), count])).split([values.shape[1], 1])
        mean = sums / total
        centred = values - mean.view(shape)
        # In a second exchange, as the mean of squares minus the squared mean would lose digits.
        variance = _sum(centred.square().sum(axes)) / total
        self._move(mean.detach(), variance.detach() * total / (total - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale.view(shape) + self.bias.view(shape)

    def _move(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        """Any shape (N, C, ...) will do."""


def _sum(values: Tensor) -> Tensor:
    return cast(Tensor, _Sum.apply(values))


class _Sum(torch.autograd.Function):
    """Sum over all processes; so is its gradient, as every process's result depends on every process's input."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ARG004
        total = values.clone()
        processes.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        total = gradients[0].clone()
        processes.all_reduce(total)
        return total
