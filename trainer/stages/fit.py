"""One training, from the first batch to the last: how a network learns a stage of a recipe.

The same seed gives the same weights, bit by bit, on the same machine with as many threads and processes, interrupted or
not: order and augmentation follow from seed, epoch and picture, dropout from seed, epoch and step, the learning rate
from the epochs so far, and all the rest is in the state that is saved. With other threads sums are rounded otherwise:
so `mien-train run` gives the same figures to the last digit only with the same --jobs, which share the cores.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer

from mien.errors import MienError, require
from trainer.data.batches import Batch, Batches
from trainer.losses import Criterion
from trainer.models import Network
from trainer.stages.predict import Predicted, answers, predict, to_device
from trainer.stages.processes import lost_process_error, make_fabric, sum_over_processes
from trainer.stages.recipe import Stage
from trainer.stages.result import Epoch
from trainer.stages.schedule import best_epoch, is_over, learning_rate, needs_validation
from trainer.stages.scores import Sums, measure, score
from trainer.stages.state import (
    Position,
    Task,
    digest,
    load_state,
    optimiser_tensors,
    remove_state,
    restore_optimiser,
    save_state,
)
from trainer.stages.sync_batch_norm import share_batch_statistics

__all__ = ["Predicted", "fit", "make_fabric", "predict", "remove_state"]

MOST_STEPS_UNCHECKED = 50
"""A check waits for the device, so not every step has one."""


def _silent(*_: object) -> None:
    """Tell nobody."""


def fit(
    network: Network,
    criterion: Criterion,
    batches: Batches,
    validation: Batches | None,
    stage: Stage,
    fabric: Fabric,
    folder: Path,
    seed: int,
    tell: Callable[[Epoch], None] = _silent,
    tell_pictures: Callable[[int, int], None] = _silent,
    save_every_seconds: float = 60.0,
) -> list[Epoch]:
    """Train a network in place; it ends with its last weights, or its best ones where the stage stops early.

    Goes on from the state in the folder, if there is one. `remove_state(folder)` removes it once the network is saved.
    Curves are written to `folder/tensorboard`. Every process of a distributed training calls this.

    Args:
        network: whose frozen parts, if any, do not require gradients.
        criterion: loss, a mean over the global batch.
        batches: this process's share of the training part.
        validation: of the validation part; None where there is none.
        stage: optimiser, schedule, epochs and early stopping.
        fabric: from `make_fabric`.
        folder: of this training alone; on a disk that all nodes see.
        seed: of dropout. Torch's global random numbers are set from it.
        tell: told of each epoch when it is finished, in the first process only.
        tell_pictures: told now and then how many pictures of the epoch are done, of how many; likewise.
        save_every_seconds: how often the state is saved within an epoch; it is at the end of each in any case, but with
            `math.inf` never.

    Returns:
        All epochs, those before an interruption included.

    Raises:
        MienError: the stage needs a validation part and there is none; the loss is no finite number any more; the disk
            is full; the state belongs to another training; another process was killed.
    """
    if needs_validation(stage) and validation is None:
        raise MienError(
            f"{folder}: schedule, early stopping or calibration needs a validation part, and the source has none",
            "Give the source's split a validation share, or set schedule.kind: constant, stop_after: 0, no calibrate",
        )
    with lost_process_error(fabric):
        training = _Training(network, criterion, batches, validation, stage, fabric, folder, seed)
        while not is_over(stage, training.epochs):
            epoch = training.train_epoch(save_every_seconds, tell_pictures)
            if fabric.is_global_zero:
                tell(epoch)
        training.finish()
    return training.epochs


class _Training:
    """A training and everything that its state holds."""

    def __init__(
        self,
        network: Network,
        criterion: Criterion,
        batches: Batches,
        validation: Batches | None,
        stage: Stage,
        fabric: Fabric,
        folder: Path,
        seed: int,
    ) -> None:
        self.stage, self.seed, self.fabric, self.folder = stage, seed, fabric, folder
        self.batches, self.validation = batches, validation
        self.task = Task(
            stage,
            seed,
            network.architecture.name,
            network.outputs,
            type(fabric.strategy.precision).__name__,
            batches.pictures,
            digest(network),
        )
        share_batch_statistics(network, fabric)
        self.network = network.to(fabric.device).to(memory_format=torch.channels_last)
        self.criterion = criterion.to(fabric.device)
        self.optimiser = _make_optimiser(stage, network)
        self.sums = torch.zeros(len(Sums._fields), dtype=torch.float64, device=fabric.device)
        self.epochs: list[Epoch] = []
        self.step, self.seconds = 0, 0.0
        self.best: dict[str, Tensor] = {}
        self._load()
        self.model, self.stepper = fabric.setup(network, self.optimiser)
        self._curves = None
        if fabric.is_global_zero and not is_over(stage, self.epochs):
            tensorboard = require("torch.utils.tensorboard", "trainer")
            self._curves = tensorboard.SummaryWriter(folder / "tensorboard", purge_step=len(self.epochs) + 1)

    def train_epoch(self, save_every_seconds: float, tell_pictures: Callable[[int, int], None]) -> Epoch:
        """Train an epoch, or what is left of one; the state is saved at its end."""
        number, rate, steps = len(self.epochs), learning_rate(self.stage, self.epochs), len(self.batches)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        check_at, unsaved, start = self.step + 1, 0.0, time.monotonic()
        for batch in self.batches.epoch(number, self.step):
            self._take_step(number, batch)
            if self.step < check_at:
                continue
            sums, seconds = self._check(rate, start)
            unsaved += seconds
            if unsaved >= save_every_seconds and self.step < steps:
                self._save(sums)
                unsaved = 0.0
            if self.fabric.is_global_zero:
                tell_pictures(int(sums.pictures), self.batches.pictures)
            pace = save_every_seconds / 10 * self.step / max(self.seconds, 1e-9)
            check_at = min(steps, self.step + int(max(1, min(MOST_STEPS_UNCHECKED, pace))))
            start = time.monotonic()
        self._end_epoch(sums, rate)
        if save_every_seconds < math.inf:
            self._save(None)
        if self._curves is not None:
            self._draw_curves(self._curves)
        return self.epochs[-1]

    def finish(self) -> None:
        """Leave the best weights in the network where the stage stops early."""
        if self.best:
            self.network.load_state_dict(self.best)
        if self._curves is not None:
            self._curves.close()

    def _take_step(self, epoch: int, batch: Batch) -> None:
        torch.manual_seed(_mix(self.seed, epoch, self.step, self.fabric.global_rank))
        batch = to_device(batch, self.fabric)
        self.optimiser.zero_grad(set_to_none=True)
        output = self.model(batch.images)
        loss = self.criterion(output, batch)
        self.fabric.backward(loss)
        self.stepper.step()
        self.criterion.update(output, batch)
        self.sums += measure(output, batch, self.network.outputs, loss)
        self.step += 1

    def _check(self, rate: float, start: float) -> tuple[Sums, float]:
        """Sums and seconds, the same in all processes, which therefore go the same way from here."""
        own = self.sums.tolist()  # Waits for the device.
        count = self.fabric.world_size
        values = self.sums.new_tensor([*own, (time.monotonic() - start) / count])
        *total, seconds = sum_over_processes(values, self.fabric).tolist()
        sums = Sums(*total)
        finite = round(sums.finite_steps / count)
        if finite < self.step or not _is_finite(self.network):
            raise self._diverged(finite + (finite < self.step), rate)
        self.seconds += seconds
        return sums, seconds

    def _end_epoch(self, sums: Sums, rate: float) -> None:
        where = f"{self.folder}, training part"
        training = score(sums, self.network.outputs, where)
        epoch = Epoch(
            epoch=len(self.epochs) + 1,
            loss=sums.loss / sums.pictures,
            training_score=training,
            validation_score=self._validate(),
            learning_rate=rate,
            pictures=int(sums.pictures),
            seconds=self.seconds,
        )
        self.epochs.append(epoch)
        if self.stage.stop_after and best_epoch(self.epochs) == len(self.epochs) - 1:
            self.best = {name: tensor.to("cpu", copy=True) for name, tensor in self.network.state_dict().items()}
        self.step, self.seconds = 0, 0.0
        self.sums.zero_()

    def _draw_curves(self, curves: Any) -> None:
        epoch = self.epochs[-1]
        for name in ("loss", "training_score", "validation_score", "learning_rate"):
            value = getattr(epoch, name)
            if value is not None:
                curves.add_scalar(name, value, epoch.epoch)
        curves.flush()

    def _validate(self) -> float | None:
        if self.validation is None:
            return None
        total = torch.zeros_like(self.sums)
        for output, batch in answers(self.network, self.validation, self.fabric):
            total += measure(output, batch, self.network.outputs)
        sums = Sums(*sum_over_processes(total, self.fabric).tolist())
        return score(sums, self.network.outputs, f"{self.folder}, validation part")

    def _save(self, sums: Sums | None) -> None:
        if not self.fabric.is_global_zero:
            return
        tensors = {
            "weights": self.network.state_dict(),
            "best": self.best,
            "criterion": self.criterion.state_dict(),
            "optimiser": optimiser_tensors(self.optimiser, self.network),
        }
        scale = self.fabric.strategy.precision.state_dict()
        position = Position(tuple(self.epochs), self.step, tuple(sums or ()), self.seconds, scale)
        flat = {f"{group}/{name}": tensor for group, named in tensors.items() for name, tensor in named.items()}
        save_state(self.folder, self.task, position, flat)

    def _load(self) -> None:
        found = load_state(self.folder, self.task)
        if found is not None:
            position, tensors = found
            self.epochs, self.step, self.seconds = list(position.epochs), position.step, position.seconds
            groups: dict[str, dict[str, Tensor]] = {"weights": {}, "best": {}, "criterion": {}, "optimiser": {}}
            for place, tensor in tensors.items():
                group, name = place.split("/", 1)
                groups[group][name] = tensor
            self.network.load_state_dict(groups["weights"])
            self.best = groups["best"]
            self.criterion.load_state_dict(groups["criterion"])
            restore_optimiser(self.optimiser, self.network, groups["optimiser"])
            self.fabric.strategy.precision.load_state_dict(position.loss_scale)
            if position.sums and self.fabric.is_global_zero:
                self.sums[: len(position.sums)] = self.sums.new_tensor(position.sums)  # an older mien summed less
        own = self.sums.new_tensor([len(self.epochs), self.step])
        if not torch.equal(sum_over_processes(own, self.fabric), own * self.fabric.world_size):
            raise MienError(
                f"{self.folder}: the processes find different states of the training",
                "Put the folder on a disk that all nodes share",
            )

    def _diverged(self, step: int, rate: float) -> MienError:
        return MienError(
            f"{self.folder}: the training diverged: loss or weights are no finite numbers in epoch"
            f" {len(self.epochs) + 1} at step {step}, learning rate {rate:g}",
            "Lower optimiser.learning_rate of the stage; the last state was saved before that",
        )


def _make_optimiser(stage: Stage, network: Network) -> Optimizer:
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    rule = stage.optimiser
    if rule.kind == "adam":
        return Adam(weights, rule.learning_rate, eps=rule.epsilon, weight_decay=rule.weight_decay)
    return SGD(weights, rule.learning_rate, rule.momentum, weight_decay=rule.weight_decay, nesterov=rule.nesterov)


def _is_finite(network: Network) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in network.state_dict().values())


def _mix(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
