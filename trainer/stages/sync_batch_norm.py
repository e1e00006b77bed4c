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
        normalised, mean, variance, count = _Normalise.apply(values, self.weight, self.bias, self.eps)
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / (count - 1)), share)
        return cast(Tensor, normalised)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        """Any shape (N, C, ...) will do."""


class _Normalise(torch.autograd.Function):
    """The arithmetic. Sums are taken in double precision, as torch does in one process: results then differ little."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, float]:
        """Values as normalised, the mean and variance (C,) of all processes, and of how many values they are."""
        wide = values.double()
        count = values.numel() / values.shape[1]
        sums = _sum_over_processes(_by_channel(wide), _by_channel(wide.square()), wide.new_tensor([count]))
        total = float(sums[2])
        mean = sums[0] / total
        variance = (sums[1] / total - mean.square()).clamp(min=0)
        ctx.save_for_backward(values, weight, mean, torch.rsqrt(variance + eps))
        ctx.total = total
        narrow_mean, narrow_variance = mean.to(values.dtype), variance.to(values.dtype)
        normalised = functional.batch_norm(values, narrow_mean, narrow_variance, weight, bias, eps=eps)
        ctx.mark_non_differentiable(narrow_mean, narrow_variance)
        return normalised, narrow_mean, narrow_variance, total

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        """Of the values; of weight and bias, whose gradients are averaged with those of the other processes later."""
        values, weight, mean, scale = ctx.saved_tensors
        gradient = gradients[0]
        centred = values - _along(mean, values)
        own = _by_channel(gradient.double()), _by_channel((gradient * centred).double())
        of_sum, of_products = _sum_over_processes(*own)
        centred = centred * _along(of_products / ctx.total * scale.square(), values)
        of_values = (gradient - centred - _along(of_sum / ctx.total, values)) * _along(scale * weight, values)
        return of_values, (own[1] * scale).to(weight.dtype), own[0].to(weight.dtype), None


def _by_channel(values: Tensor) -> Tensor:
    return values.sum([axis for axis in range(values.dim()) if axis != 1])


def _along(numbers: Tensor, values: Tensor) -> Tensor:
    """One number for each channel, in the type and shape of values (N, C, ...)."""
    return numbers.to(values.dtype).view(1, -1, *[1] * (values.dim() - 2))


def _sum_over_processes(*parts: Tensor) -> tuple[Tensor, ...]:
    together = torch.cat(parts)
    processes.all_reduce(together)
    return together.split([len(part) for part in parts])  # type: ignore[no-untyped-call,no-any-return]
