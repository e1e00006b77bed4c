"""Three steps of a linear layer with losses over a batch that one or two processes have."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as processes

from trainer.data.batches import Batch
from trainer.losses import Criterion
from trainer.models import NetworkOutput, Outputs
from trainer.stages.recipe import CenterLoss, Distillation, Stage

CLASSES = torch.tensor([0, -1, 1, -1, 1, -1, 2, 1])
VALENCE = torch.tensor([0.1, math.nan, 0.9, -0.2, math.nan, math.nan, 0.3, -0.7], dtype=torch.float64)
AROUSAL = torch.tensor([math.nan, 0.4, math.nan, -0.2, math.nan, 0.0, math.nan, -0.7], dtype=torch.float64)
LANDMARKS = torch.linspace(0, 1, 8 * 68 * 2, dtype=torch.float64).reshape(8, 68, 2)
LANDMARKS[0, 27:31] = LANDMARKS[3] = math.nan
AFFECT_LOSSES: tuple[Literal["mse", "ccc"], ...] = ("mse", "ccc")
POINT_LOSSES: tuple[Literal["l1", "laplace"], ...] = ("l1", "laplace")
OUTPUTS = Outputs(("neutral", "happiness", "anger"), ("valence", "arousal"))


def train_landmarks(loss: Literal["l1", "laplace"], rank: int, count: int) -> list[float]:
    """Loss of a nose and its gradient by the weights, of one process with the whole batch or with its share."""
    torch.manual_seed(0)
    pictures, weights = torch.randn(8, 5, dtype=torch.float64), torch.randn(5, 27, dtype=torch.float64).requires_grad_()
    mine = slice(rank, None, count)
    outputs = Outputs(points="nose", scales=loss == "laplace")
    criterion = Criterion(Stage(data="wild", target="landmarks", points="nose", loss=loss), outputs, 5)
    values = pictures[mine] @ weights
    scales = values[:, 18:] if outputs.scales else None
    output = NetworkOutput(values, values, None, None, None, values[:, :18], scales)
    nothing = AROUSAL[mine]
    result = criterion(output, Batch(pictures[mine], CLASSES[mine], nothing, nothing, CLASSES[mine], LANDMARKS[mine]))
    result.backward()
    assert weights.grad is not None
    if count > 1:
        processes.all_reduce(weights.grad)
        weights.grad /= count
    return [result.item(), *weights.grad.flatten().tolist()]


class Says(torch.nn.Module):
    """A teacher of two classes, whose logits are the first numbers of each picture."""

    places = (2, 0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 3 * images[:, :2]


def train(loss: Literal["mse", "ccc"], rank: int, count: int) -> list[float]:
    """Losses of the steps with a teacher, weights, centers; of one process with the whole batch, else its share."""
    torch.manual_seed(0)
    pictures = torch.randn(8, 5, dtype=torch.float64)
    layer = torch.nn.Linear(5, 5).double()
    stage = Stage(data="wild", target="affect", loss=loss, center=CenterLoss(0.3, 0.5), distil=Distillation(weight=2))
    weights = torch.tensor([0.5, 1.0, 1.5])
    criterion = Criterion(stage, OUTPUTS, 5, weights, Says()).double()  # type: ignore[arg-type]
    mine = slice(rank, None, count)
    told: list[float] = []
    for _ in range(3):
        values = layer(pictures[mine])
        output = NetworkOutput(values, values, values[:, :3], values[:, 3], values[:, 4])
        batch = Batch(pictures[mine], CLASSES[mine], VALENCE[mine], AROUSAL[mine], CLASSES[mine], LANDMARKS[mine])
        layer.zero_grad()
        result = criterion(output, batch)
        result.backward()
        criterion.update(output, batch)
        told.append(result.item())
        with torch.no_grad():
            for parameter in layer.parameters():
                if count > 1:  # as distributed training does
                    processes.all_reduce(parameter.grad)
                    parameter.grad /= count
                parameter -= 0.1 * parameter.grad
    return [*told, *layer.weight.flatten().tolist(), *criterion.centers.flatten().tolist()]


def train_share(folder: Path, rank: int) -> None:
    """One of two processes: writes what it has with both losses to a file of its own."""
    processes.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    told = [
        *(train(loss, rank, 2) for loss in AFFECT_LOSSES),
        *(train_landmarks(loss, rank, 2) for loss in POINT_LOSSES),
    ]
    (folder / f"{rank}.json").write_text(json.dumps(told))
