"""Speed of training beside a bare PyTorch loop over the same network and pictures."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import torch
from lightning_fabric import Fabric
from torch.nn import functional

from mien.bundle import InputSpec
from trainer.data.batches import Batches, Examples, make_examples
from trainer.data.crops import Crops
from trainer.data.pictures import PictureBytes
from trainer.data.sample import Dataset, Sample
from trainer.losses import Criterion
from trainer.models import Network, Outputs, build_network
from trainer.stages.fit import fit
from trainer.stages.processes import make_fabric
from trainer.stages.recipe import Optimiser, Stage

_LABELS = ("anger", "happiness", "neutral")
_AUGMENTATION = "paper_003"
_STAGE = Stage(data="noise", epochs=1, optimiser=Optimiser(learning_rate=0.01, nesterov=True))


class Speed(msgspec.Struct, frozen=True):
    """Speed of training, all of it in pictures per second: medians over the rounds.

    Attributes:
        architecture: of the network.
        batch_size: pictures.
        threads: that torch used.
        rounds: each of which measured everything, one after the other.
        augmentation: name of the preset of the augmented figures, the dearest of the recipes' own.
        fit: `fit` for an epoch without augmentation.
        fit_augmented: the same with augmentation.
        bare: a bare loop - forward, loss, backward, update - over batches that are in memory.
        loading: `Batches` alone, without augmentation and without a network.
        loading_augmented: the same with augmentation.
        share_of_bare: speed of `fit` divided by that of the bare loop beside it; median of the rounds' own shares, so
            that what slows a whole round does not count.
    """

    architecture: str
    batch_size: int
    threads: int
    rounds: int
    augmentation: str
    fit: float
    fit_augmented: float
    bare: float
    loading: float
    loading_augmented: float
    share_of_bare: float


def measure_speed(architecture: str = "mobilenet_v1_48", rounds: int = 9, batches: int = 12) -> Speed:
    """Train on noise, in turns with a bare loop, so that what else the machine does slows both.

    Args:
        architecture: of the network.
        rounds: how often.
        batches: of 64 pictures, in each turn.
    """
    network, fabric = build_network(architecture, Outputs(_LABELS), seed=0), make_fabric()
    pictures = _noise(network.input, batches * _STAGE.batch_size)
    plain, augmented = (Batches(pictures, _STAGE.batch_size, preset) for preset in ("none", _AUGMENTATION))
    turns: dict[str, Callable[[], float]] = {
        "fit": lambda: _seconds_of_fit(network, plain, fabric),
        "bare": lambda: _seconds_of_bare_loop(network, plain, fabric),
        "fit_augmented": lambda: _seconds_of_fit(network, augmented, fabric),
        "loading": lambda: _seconds_of_loading(plain),
        "loading_augmented": lambda: _seconds_of_loading(augmented),
    }
    for turn in turns.values():
        turn()  # Warm: memory, threads, kernels.
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            seconds[name].append(turn())
    speeds = {name: plain.pictures / statistics.median(values) for name, values in seconds.items()}
    shares = (bare / fit for fit, bare in zip(seconds["fit"], seconds["bare"], strict=True))
    return Speed(
        architecture,
        _STAGE.batch_size,
        torch.get_num_threads(),
        rounds,
        _AUGMENTATION,
        **speeds,
        share_of_bare=statistics.median(shares),
    )


class _Noise(Dataset):
    """Labels for pictures that are only in the crops."""

    name = "noise"

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Sample:
        return Sample(PictureBytes(f"{index}", ".png", b""), "all", expression=_LABELS[index % len(_LABELS)])


def _noise(spec: InputSpec, count: int) -> Examples:
    pixels = np.random.default_rng(0).integers(0, 256, (count, spec.height, spec.width, spec.depth), np.uint8)
    dataset, size = _Noise(count), (spec.height, spec.width)
    crops = Crops(dataset, spec, size, False, np.ones(count, np.uint8), np.zeros((count, 4), np.float32), pixels)
    return make_examples(dataset, crops, "expression", _LABELS)


def _seconds_of_fit(network: Network, batches: Batches, fabric: Fabric) -> float:
    """Of one epoch, in a folder that is removed again."""
    with TemporaryDirectory() as folder:
        criterion = Criterion(_STAGE, network.outputs, network.feature_size)
        (epoch,) = fit(
            network, criterion, batches, None, _STAGE, fabric, Path(folder), seed=0, save_every_seconds=math.inf
        )
        return epoch.seconds


def _seconds_of_bare_loop(network: Network, batches: Batches, fabric: Fabric) -> float:
    device = fabric.device
    ready = [
        (batch.images.to(device, memory_format=torch.channels_last), batch.classes.to(device))
        for batch in batches.epoch(0)
    ]
    rule = _STAGE.optimiser
    optimiser = torch.optim.SGD(network.parameters(), rule.learning_rate, rule.momentum, nesterov=rule.nesterov)
    network.to(device).to(memory_format=torch.channels_last).train()
    start = time.monotonic()
    for images, classes in ready:
        optimiser.zero_grad()
        loss = functional.cross_entropy(network(images).classes, classes)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    loss.item()  # Waits for the device.
    return time.monotonic() - start


def _seconds_of_loading(batches: Batches) -> float:
    start = time.monotonic()
    for _ in batches.epoch(0):
        pass
    return time.monotonic() - start
