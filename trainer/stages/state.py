"""The state of an unfinished training: one file, from which it goes on as if it had never been interrupted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mien.errors import MienError
from trainer.data.output import output_errors, whole_file
from trainer.models import Outputs
from trainer.stages.recipe import Stage
from trainer.stages.result import Epoch

VERSION = 1
_FORMAT = "mien-training"
STATE_FILE = "training.safetensors"
_KEY = "training"


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a state is the state of; a training goes on only from a state of the same task.

    Attributes:
        stage: of the recipe.
        seed: of the repetition.
        architecture: of the network.
        outputs: of the network.
        precision: of the arithmetic.
        pictures: in an epoch.
        start: SHA-256 of the weights that it started from.
    """

    stage: Stage
    seed: int
    architecture: str
    outputs: Outputs
    precision: str
    pictures: int
    start: str


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a training has come.

    Attributes:
        epochs: that are finished.
        step: batches that are done in the epoch that is not.
        sums: of `trainer.stages.scores` in that epoch, over all processes.
        seconds: that it has taken so far.
        loss_scale: of precision 16, as torch's gradient scaler keeps it; empty otherwise.
    """

    epochs: tuple[Epoch, ...] = ()
    step: int = 0
    sums: tuple[float, ...] = ()
    seconds: float = 0.0
    loss_scale: dict[str, float] = {}


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    task: Task
    position: Position
    format: str = _FORMAT
    version: int = VERSION


def save_state(folder: Path, task: Task, position: Position, tensors: Mapping[str, Tensor]) -> None:
    """Write the state in place of the one before; a kill or a full disk leaves that one as it was.

    Raises:
        MienError: the disk is full, or the folder cannot be written.
    """
    header = {_KEY: msgspec.json.encode(_Header(task, position)).decode()}
    data = safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()}, header)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / STATE_FILE) as partial:
        partial.write_bytes(data)


def load_state(folder: Path, task: Task) -> tuple[Position, dict[str, Tensor]] | None:
    """Read the state of a training; None where there is none.

    Raises:
        MienError: it is damaged, of a newer mien, or of another task.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return None
    anew = f"Delete {path} to start this training anew"
    try:
        with safetensors.safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(_KEY, "null")
            head = msgspec.json.decode(text)
            if not isinstance(head, dict) or head.get("format") != _FORMAT:
                raise MienError(f"{path} is not the state of a training", anew)
            if head.get("version") != VERSION:
                raise MienError(
                    f"{path} has version {head.get('version')}, this mien reads version {VERSION}",
                    f"Go on with the mien that wrote it, or delete {path} to start this training anew",
                )
            header = msgspec.json.decode(text, type=_Header)
            difference = first_difference(msgspec.to_builtins(header.task), msgspec.to_builtins(task))
            if difference:
                raise MienError(f"{path} is the state of another training: {difference}", anew)
            return header.position, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, msgspec.MsgspecError) as error:
        raise MienError(f"{path} is damaged ({error})", anew) from error
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error})", "Give this user the right to read it") from error


def remove_state(folder: Path) -> None:
    """Remove the state of a training whose network is saved; nothing where there is none."""
    (folder / STATE_FILE).unlink(missing_ok=True)


def digest(module: nn.Module) -> str:
    """SHA-256 of a network's weights and buffers, with their names."""
    sha256 = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        sha256.update(name.encode())
        sha256.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return sha256.hexdigest()


def optimiser_tensors(optimiser: Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """What an optimiser remembers of each weight, as `NAME OF THE WEIGHT:WHAT`."""
    return {
        f"{name}:{key}": value
        for name, weight in network.named_parameters()
        for key, value in optimiser.state.get(weight, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimiser(optimiser: Optimizer, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser back what `optimiser_tensors` took, in the layout and on the device of each weight."""
    weights = dict(network.named_parameters())
    for place, tensor in tensors.items():
        name, key = place.rsplit(":", 1)
        weight = weights[name]
        # Adam's step count is a scalar that stays on the processor.
        value = weight.detach().clone().copy_(tensor) if tensor.shape == weight.shape else tensor
        optimiser.state[weight][key] = value


def first_difference(ours: dict[str, Any], wanted: dict[str, Any], place: str = "") -> str:
    """The first key whose values differ, with what is found and what is wanted; empty where none does."""
    for key in dict.fromkeys((*wanted, *ours)):
        here, there = ours.get(key), wanted.get(key)
        if isinstance(here, dict) and isinstance(there, dict):
            found = first_difference(here, there, f"{place}{key}.")
            if found:
                return found
        elif here != there:
            return f"{place}{key} is {_short(here)} there, {_short(there)} here"
    return ""


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
