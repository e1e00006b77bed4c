"""What a trained network says of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.batches import Batch, Batches
from trainer.evaluate.predictions import MOST_CLASSES
from trainer.models import Network, NetworkOutput
from trainer.models.teacher import Teacher
from trainer.stages.processes import gather, lost_process_error

_VALUES = ("valence", "arousal", "landmarks")


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a network says of N pictures, in ascending order of their numbers, and what is true.

    Attributes:
        numbers: int64 (N,), of the samples in the data set.
        probabilities: float32 (N, C), softmax; None where no classes are told, or more than `MOST_CLASSES`.
        top: int64 (N,), class with the highest probability, where there are more; else None.
        top_confidence: float32 (N,), its probability; None likewise.
        valence: float32 (N,); None where it is not told.
        arousal: as of valence.
        landmarks: float32 (N, 2 K), as `NetworkOutput` has them; None where they are not told.
        classes: int64 (N,), true class; -1 unknown.
        true_valence: float32 (N,), NaN unknown.
        true_arousal: as of valence.
        teacher: float32 (N, C), a teacher's probabilities, NaN where it does not know the class; None without one.
    """

    numbers: NDArray[np.int64]
    probabilities: NDArray[np.float32] | None
    top: NDArray[np.int64] | None
    top_confidence: NDArray[np.float32] | None
    valence: NDArray[np.float32] | None
    arousal: NDArray[np.float32] | None
    landmarks: NDArray[np.float32] | None
    classes: NDArray[np.int64]
    true_valence: NDArray[np.float32]
    true_arousal: NDArray[np.float32]
    teacher: NDArray[np.float32] | None = None


def predict(network: Network, batches: Batches, fabric: Fabric, teacher: Teacher | None = None) -> Predicted:
    """Let a network look at all pictures of a test part, and leave it in evaluation mode.

    Every process of a distributed run calls this with its share and is given the whole.

    Args:
        network: moved to the fabric's device.
        batches: with `is_training=False`.
        fabric: from `make_fabric`.
        teacher: that answers too, on the same device.

    Raises:
        MienError: another process was killed.
    """
    network.to(fabric.device).to(memory_format=torch.channels_last)
    columns: dict[str, list[Tensor]] = {}
    for output, batch in answers(network, batches, fabric):
        told = {
            **_classes(output),
            **{name: None if (value := getattr(output, name)) is None else value.float() for name in _VALUES},
            "numbers": batch.numbers,
            "classes": batch.classes,
            "true_valence": batch.valence,
            "true_arousal": batch.arousal,
            "teacher": None if teacher is None else _teachers(teacher, network, batch.images),
        }
        for name, values in told.items():
            if values is not None:
                columns.setdefault(name, []).append(values)
    with lost_process_error(fabric):
        whole = {name: gather(torch.cat(parts), fabric).cpu().numpy() for name, parts in columns.items()}
    order = np.argsort(whole["numbers"], kind="stable")
    arrays: dict[str, Any] = {name: values[order] for name, values in whole.items()}
    absent: dict[str, Any] = dict.fromkeys(("probabilities", "top", "top_confidence", *_VALUES))
    return Predicted(**absent | arrays)


def _classes(output: NetworkOutput) -> dict[str, Tensor]:
    """What is kept of the classes' probabilities."""
    if output.classes is None:
        return {}
    probabilities = output.classes.float().softmax(dim=1)
    if probabilities.shape[1] <= MOST_CLASSES:
        return {"probabilities": probabilities}
    confidence, top = probabilities.max(dim=1)
    return {"top": top, "top_confidence": confidence}


def _teachers(teacher: Teacher, network: Network, images: Tensor) -> Tensor:
    """A teacher's probabilities (N, C) in the network's order; NaN where it does not know the class."""
    probabilities: Tensor = teacher(images).float().softmax(dim=1)
    whole = probabilities.new_full((len(images), len(network.outputs.labels)), torch.nan)
    whole[:, teacher.places] = probabilities
    return whole


def answers(network: Network, batches: Batches, fabric: Fabric) -> Iterator[tuple[NetworkOutput, Batch]]:
    """Let a network look at this process's share of the pictures, in evaluation mode."""
    network.eval()
    for batch in batches.epoch(0):
        batch = to_device(batch, fabric)
        with torch.inference_mode(), fabric.autocast():
            yield network(batch.images), batch


def to_device(batch: Batch, fabric: Fabric) -> Batch:
    """A batch where the network is, its images laid out channel by channel in each pixel."""
    batch = Batch(*(tensor.to(fabric.device, non_blocking=True) for tensor in batch))
    return batch._replace(images=batch.images.contiguous(memory_format=torch.channels_last))
