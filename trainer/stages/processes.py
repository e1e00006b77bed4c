"""The processes and devices that train together."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor

from mien.errors import MienError

Precision = Literal["32", "bf16", "16"]
_PRECISIONS: dict[Precision, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}


def make_fabric(precision: Precision = "32") -> Fabric:
    """Where training runs: the GPU if there is one, else the processor.

    Under torchrun it joins the other processes, one per GPU (NCCL) or per processor share (gloo), on one node or
    several. Asks torch for deterministic algorithms, in the whole process.

    Args:
        precision: of the arithmetic. `bf16` and `16` keep the weights and the loss in 32 bits; `16` scales the loss
            against underflow and needs a GPU.

    Raises:
        MienError: the precision needs a GPU, or there are more processes than GPUs.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is not deterministic without.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # Costs time only.
    is_gpu = torch.cuda.is_available()
    if precision == "16" and not is_gpu:
        raise MienError("Precision 16 needs a GPU, and there is none", "Take bf16 or 32")
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if is_gpu and local > torch.cuda.device_count():
        raise MienError(
            f"There are {local} processes, but only {torch.cuda.device_count()} GPUs",
            "Give torchrun as many processes per node as it has GPUs (--nproc-per-node)",
        )
    fabric = Fabric(
        accelerator="cuda" if is_gpu else "cpu",
        devices=local,
        num_nodes=world_size // local,
        # Batch statistics are the same in all processes already.
        strategy=DDPStrategy(forward_sync_buffers=False) if world_size > 1 else "auto",
        precision=_PRECISIONS[precision],
    )
    fabric.launch()
    if fabric.world_size > 1:
        atexit.unregister(_part)
        atexit.register(_part)
    return fabric


def _part() -> None:
    """Leave the other processes in order: gloo's threads may abort a process that ends with them."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def sum_over_processes(values: Tensor, fabric: Fabric) -> Tensor:
    """A tensor's sum over the processes; a copy of the tensor where there is one process."""
    total = values.clone()
    if fabric.world_size > 1:
        torch.distributed.all_reduce(total)
    return total


def gather(values: Tensor, fabric: Fabric) -> Tensor:
    """All processes' tensors (N_i, ...) below each other, in all processes."""
    if fabric.world_size == 1:
        return values
    lengths = [torch.zeros(1, dtype=torch.int64, device=values.device) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(lengths, torch.tensor([len(values)], device=values.device))
    longest = int(torch.cat(lengths).max())
    padded = torch.cat([values, values.new_zeros(longest - len(values), *values.shape[1:])])
    parts = [torch.empty_like(padded) for _ in lengths]
    torch.distributed.all_gather(parts, padded)
    return torch.cat([part[: int(length)] for part, length in zip(parts, lengths, strict=True)])


@contextmanager
def lost_process_error(fabric: Fabric) -> Iterator[None]:
    """Say it plainly when another process of the training is gone."""
    try:
        yield
    except RuntimeError as error:
        if fabric.world_size == 1 or not _is_connection_error(error):
            raise
        raise MienError(
            f"Process {fabric.global_rank} of {fabric.world_size} lost another one ({str(error).splitlines()[0]})",
            "See what ended it, perhaps want of memory, and give the same command again: it goes on where it stopped",
        ) from error


def _is_connection_error(error: RuntimeError) -> bool:
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error).lower()
