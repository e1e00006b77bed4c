"""A small training on patterns in noise; as a script, for processes that are joined or killed.

python small.py FOLDER LIST: trains with each options of a JSON list, in FOLDER/0 and so on; leaves weights.safetensors
and epochs.json there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from trainer.data.batches import Batch, Batches, Examples, make_examples
from trainer.data.crops import Crops
from trainer.data.pictures import PictureBytes
from trainer.data.sample import Dataset, Sample
from trainer.losses import Criterion
from trainer.models import Network, Outputs, build_network
from trainer.models.teacher import load_teacher
from trainer.models.transfer import unfreeze
from trainer.stages.fit import fit, make_fabric
from trainer.stages.recipe import Stage, Target
from trainer.stages.result import Epoch

LABELS = ("anger", "fear", "neutral")
OUTPUTS = {
    "expression": Outputs(LABELS),
    "valence": Outputs((), ("valence",)),
    "affect": Outputs(LABELS, ("valence", "arousal")),
    "landmarks": Outputs(points="eyes"),
}


def make_stage(**changes: Any) -> Stage:
    """A stage that learns the patterns in a few steps."""
    optimiser = {"learning_rate": 0.02} | changes.pop("optimiser", {})
    return msgspec.convert({"data": "small", "epochs": 2, "batch_size": 16, "optimiser": optimiser} | changes, Stage)


def make_network(stage: Stage, **changes: Any) -> Network:
    """A small network at 32 px."""
    architecture = stage.architecture or "mini_xception"
    settings = {"architecture": architecture, "seed": 1, "image_side": 32, "dropout": stage.dropout} | changes
    network = build_network(outputs=OUTPUTS[stage.target], **settings)
    unfreeze(network, stage.unfreeze)
    return network


class Patterns(Dataset):
    """Labels of patterns, valence -1, 0 or 1 with the class; the pixels are only in the crops."""

    name = "small"

    def __init__(self, classes: NDArray[np.intp], unknown: int) -> None:
        self._classes, self._unknown = classes.tolist(), unknown

    def __len__(self) -> int:
        return len(self._classes)

    def __getitem__(self, index: int) -> Sample:
        label, value = LABELS[self._classes[index]], float(self._classes[index] - 1)
        picture = PictureBytes(f"{index}", ".png", b"")
        if index < self._unknown:
            return Sample(picture, "all", valence=value, arousal=-value / 2)
        if index < 2 * self._unknown:
            return Sample(picture, "all", expression=label)
        return Sample(picture, "all", expression=label, valence=value, arousal=-value / 2)


def make_small_examples(network: Network, target: Target, count: int, seed: int = 0, unknown: int = 0) -> Examples:
    """Pictures with one bright third, which is the class; some have no class, and as many no valence and arousal."""
    random = np.random.default_rng(seed)
    side, depth = network.input.width, network.input.depth
    classes = random.permutation(count) % 3
    pixels = random.integers(0, 120, (count, side, side, depth), np.uint8)
    for picture, label in zip(pixels, classes, strict=True):
        picture[label * side // 3 : (label + 1) * side // 3] += 100
    dataset = Patterns(classes, unknown)
    states, squares = np.ones(count, np.uint8), np.full((count, 4), (0, 0, side, side), np.float32)
    # The eyes are in the bright third; of some pictures they are not known, of others nothing is.
    points = random.uniform(0, 2, (count, 68, 2)).astype(np.float32) + np.linspace(0, side / 2, 68)[:, None]
    points[..., 1] += side / 4 * classes[:, None]
    points[:unknown], points[unknown : 2 * unknown, 36:40] = np.nan, np.nan
    landmarks = points.astype(np.float32) if target == "landmarks" else None
    crops = Crops(dataset, network.input, (side, side), False, states, squares, pixels, landmarks)
    return make_examples(dataset, crops, target, network.outputs.labels)


class DoubleBatches(Batches):
    """In double precision, so that rounding does not grow over the steps into what a fault would look like."""

    def epoch(self, number: int, first_batch: int = 0) -> Iterator[Batch]:
        for batch in super().epoch(number, first_batch):
            yield Batch(*(values.double() if values.is_floating_point() else values for values in batch))


def train(
    folder: Path,
    count: int = 48,
    unknown: int = 0,
    validation: int = 0,
    seed: int = 3,
    precision: Any = "32",
    network: Network | None = None,
    is_double: bool = False,
    kill_at: int | None = None,
    kill_rank: int = 0,
    save_every_seconds: float = 60.0,
    **changes: Any,
) -> tuple[Network, list[Epoch]]:
    """Train on some pictures, validate on others; kill this process where it has seen so many pictures in epoch 2."""
    stage = make_stage(**changes)
    fabric = make_fabric(precision)
    network = network or make_network(stage)
    share: dict[str, Any] = {"rank": fabric.global_rank, "world_size": fabric.world_size}
    examples = make_small_examples(network, stage.target, count, unknown=unknown)
    kind = DoubleBatches if is_double else Batches
    batches = kind(examples, stage.batch_size, stage.augmentation, stage.balance, seed, **share)
    held_out = make_small_examples(network, stage.target, validation, seed=9) if validation else None
    unseen = kind(held_out, stage.batch_size, is_training=False, **share) if held_out else None
    teacher = load_teacher(stage.distil.teacher, network) if stage.distil else None
    criterion = Criterion(stage, network.outputs, network.feature_size, batches.class_weights, teacher)
    if is_double:
        network.double(), criterion.double()
    finished = 0

    def tell(epoch: Epoch) -> None:
        nonlocal finished
        finished = epoch.epoch

    def tell_pictures(done: int, total: int) -> None:
        if finished == 1 and kill_at is not None and done >= kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    if fabric.global_rank == kill_rank != 0:
        os.kill(os.getpid(), signal.SIGKILL)
    epochs = fit(
        network, criterion, batches, unseen, stage, fabric, folder, seed, tell, tell_pictures, save_every_seconds
    )
    if fabric.is_global_zero:
        tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        tensors |= {"centers": criterion.centers}
        safetensors.torch.save_file(tensors, folder / "weights.safetensors")
        (folder / "epochs.json").write_bytes(msgspec.json.encode(epochs))
    return network, epochs


def train_all(folder: Path, options: list[dict[str, Any]]) -> None:
    """Train with each of some options, in a folder below for each."""
    for number, one in enumerate(options):
        train(folder / str(number), **one)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train_all(Path(sys.argv[1]), json.loads(sys.argv[2]))
