from __future__ import annotations

import errno
import json
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import safetensors
import safetensors.torch

from mien.errors import MienError
from tests.trainer.children import start
from tests.trainer.stages.small import make_network, make_stage, train, train_all
from trainer.stages.fit import remove_state
from trainer.stages.result import Epoch
from trainer.stages.state import digest

KILLED: dict[str, dict[str, Any]] = {
    "within an epoch": {
        "center": {"weight": 0.1, "rate": 0.5},
        "optimiser": {"learning_rate": 0.01, "nesterov": True},
        "schedule": {"kind": "plateau", "patience": 1},
        "stop_after": 2,
        "save_every_seconds": 0.0,
    },
    "at the last epoch's end": {
        "optimiser": {"kind": "adam", "learning_rate": 0.001},
        "precision": "bf16",
        "distil": {},
    },
}


def without_times(epochs: list[Epoch]) -> list[Epoch]:
    return [msgspec.structs.replace(epoch, seconds=0.0) for epoch in epochs]


@pytest.mark.parametrize("stored", KILLED)
def test_a_killed_training_ends_as_if_nothing_had_been(tmp_path: Path, stored: str) -> None:
    options = {"epochs": 4, "dropout": 0.3, "validation": 17, "augmentation": "flip"} | KILLED[stored]
    child = start(train_all, tmp_path, [options | {"kill_at": 32}], said=tmp_path / "said.txt")
    child.join(100)
    assert child.exitcode == -signal.SIGKILL, (tmp_path / "said.txt").read_text()
    with safetensors.safe_open(tmp_path / "0" / "training.safetensors", "pt") as file:
        position = json.loads(file.metadata()["training"])["position"]
    assert len(position["epochs"]) == 1
    assert position["step"] == (2 if stored == "within an epoch" else 0)
    network, epochs = train(tmp_path / "0", **options)
    uninterrupted, expected = train(tmp_path / "whole", **options)
    assert without_times(epochs) == without_times(expected)
    assert digest(network) == digest(uninterrupted)
    centers = [safetensors.torch.load_file(tmp_path / run / "weights.safetensors")["centers"] for run in ("0", "whole")]
    assert centers[0].equal(centers[1])


def test_a_finished_training_is_not_trained_again_until_its_state_is_removed(tmp_path: Path) -> None:
    first, epochs = train(tmp_path, stop_after=5, validation=17)
    again, same = train(tmp_path, stop_after=5, validation=17)
    assert same == epochs
    assert digest(again) == digest(first)
    remove_state(tmp_path)
    remove_state(tmp_path)
    assert train(tmp_path, stop_after=5, validation=17)[1] != epochs  # Other times.


def test_a_full_disk_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = Path.write_bytes, []

    def write(self: Path, data: Any) -> int:
        written.append(self)
        if len(written) == 2:
            real(self, bytes(data)[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(MienError, match=r"training\.safetensors cannot be written: the disk is full"):
        train(tmp_path / "full", epochs=3)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "full").glob("*training*")] == ["training.safetensors"]
    network, epochs = train(tmp_path / "full", epochs=3)
    whole, expected = train(tmp_path / "whole", epochs=3)
    assert without_times(epochs) == without_times(expected)
    assert digest(network) == digest(whole)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"seed": 4}, "seed is 3 there, 4 here"),
        ({"epochs": 3}, r"stage\.epochs is 1 there, 3 here"),
        ({"optimiser": {"learning_rate": 0.5}}, r"stage\.optimiser\.learning_rate is 0\.02 there, 0\.5 here"),
        ({"count": 30}, "pictures is 48 there, 30 here"),
        ({"precision": "bf16"}, "precision is "),
        ({"network": make_network(make_stage(), seed=2)}, "start is "),
    ],
)
def test_the_state_of_another_training_is_refused(tmp_path: Path, change: dict[str, Any], difference: str) -> None:
    train(tmp_path, epochs=1)
    before = (tmp_path / "training.safetensors").read_bytes()
    with pytest.raises(MienError, match=f"of another training: {difference}.*Delete .* to start this training anew"):
        train(tmp_path, **({"epochs": 1} | change))
    assert (tmp_path / "training.safetensors").read_bytes() == before


def test_states_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    path = tmp_path / "training.safetensors"
    whole = path.read_bytes()
    tensors = safetensors.torch.load(whole)
    path.write_bytes(whole[:-100])
    with pytest.raises(MienError, match=r"training\.safetensors is damaged.*Delete"):
        train(tmp_path, epochs=1)
    for header, message in (
        ('{"format": "mien-training", "version": 2}', "has version 2, this mien reads version 1"),
        ('{"format": "other", "version": 1}', "is not the state of a training"),
        ('{"format": "mien-training", "version": 1}', "is damaged"),
        ("[", "is damaged"),
    ):
        safetensors.torch.save_file(tensors, path, {"training": header})
        with pytest.raises(MienError, match=message):
            train(tmp_path, epochs=1)
