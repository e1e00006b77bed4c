"""Checkpoints: what is saved comes back; whatever stops a save leaves the old one; what is wrong is named."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from mien.bundle import CropSpec
from mien.errors import MienError
from trainer.models import Network, Outputs, build_network
from trainer.stages.checkpoint import Card, Step, load_card, open_network, save_checkpoint, start_from

ARCHITECTURE = "mobilenet_v1_48_w025"
OUTPUTS = Outputs(labels=("neutral", "happiness"), affect=("valence",))


def make_network(seed: int, outputs: Outputs = OUTPUTS, architecture: str = ARCHITECTURE) -> Network:
    return build_network(architecture, outputs, seed)


def make_step(stage: str, data: str) -> Step:
    return Step(
        stage=stage,
        source=stage,
        data=data,
        pictures=100,
        people=None,
        split="at random",
        target="expression",
        epochs=3,
        images_seen=300,
        learning_rate=0.01,
        seed=0,
    )


def make_card(network: Network, **keys: Any) -> Card:
    return Card(
        architecture=network.architecture.name,
        image_side=network.input.width,
        outputs=network.outputs,
        crop=CropSpec("box", 0.2),
        detector="haar",
        input=network.input,
        embedding_size=network.architecture.embedding_size,
        **keys,
    )


def save(folder: Path, seed: int) -> Card:
    network = make_network(seed)
    return save_checkpoint(folder, network, make_card(network, figures={"accuracy": seed / 10}))


def is_network(folder: Path, seed: int) -> bool:
    """Whether the checkpoint is whole, and that of a seed: weights and card."""
    network, card = open_network(folder)
    state, expected = network.state_dict(), make_network(seed).state_dict()
    return card.figures == {"accuracy": seed / 10} and all(torch.equal(state[name], expected[name]) for name in state)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    network = make_network(0).train()
    network(torch.randn(4, 3, 48, 48))  # moves the statistics of batch normalisation
    network.eval()
    card = make_card(
        network,
        weights="IN",
        lineage=(make_step("a", "MC1M"), make_step("b", "VF2"), make_step("c", "AffectNet")),
        figures={"accuracy": 0.5, "valence_ccc": float("nan")},
        licences=("weights: unstated",),
        versions={"torch": torch.__version__},
    )
    saved = save_checkpoint(tmp_path / "deep" / "stage", network, card)
    opened, read = open_network(tmp_path / "deep" / "stage")
    assert read == msgspec.structs.replace(saved, figures={"accuracy": 0.5, "valence_ccc": None})
    assert read.lineage_text == "IN → MC1M → VF2 → AffectNet"
    pictures = torch.randn(2, 3, 48, 48)
    for found, expected in zip(opened(pictures), network(pictures), strict=True):
        assert found is expected is None or torch.equal(found, expected)
    assert not opened.training


def test_a_lineage_from_nothing_has_the_data_alone(tmp_path: Path) -> None:
    card = make_card(make_network(0), lineage=(make_step("a", "CK+"), make_step("b", "JAFFE")))
    assert card.lineage_text == "CK+ → JAFFE"


def test_weights_in_channels_last_are_saved(tmp_path: Path) -> None:
    network = make_network(0).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_checkpoint(tmp_path, network, make_card(network, figures={"accuracy": 0.0}))
    assert is_network(tmp_path, 0)


def test_a_new_save_takes_the_place_of_the_old_and_of_what_was_left_behind(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "model-0123456789abcdef.safetensors").write_bytes(b"of a save that was killed")
    (tmp_path / ".model-0123456789abcdef.safetensors.partial").write_bytes(b"of another")
    (tmp_path / "notes.txt").write_text("mine")
    card = save(tmp_path, 2)
    assert is_network(tmp_path, 2)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"card.json", f"model-{card.sha256[:16]}.safetensors", "notes.txt"}


def test_saving_the_same_again_keeps_it(tmp_path: Path) -> None:
    assert save(tmp_path, 1) == save(tmp_path, 1)
    assert is_network(tmp_path, 1)


def test_the_next_stage_starts_from_it_with_a_new_output(tmp_path: Path) -> None:
    save(tmp_path, 1)
    network = make_network(2, Outputs(labels=("a", "b", "c")))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    card = start_from(network, tmp_path)
    learned = make_network(1).state_dict()
    assert card.outputs == OUTPUTS
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name] if ".output." in name else learned[name]), name


def test_a_kill_at_any_moment_leaves_the_old_or_the_new_one(tmp_path: Path) -> None:
    folder, seen = tmp_path / "stage", []
    for moment in range(1, 30):
        save(folder, 1)
        if not _is_killed(moment, lambda: save(folder, 2)):
            break
        seen.append(2 if is_network(folder, 2) else 1)
        assert is_network(folder, seen[-1]), moment
    assert seen == sorted(seen)
    assert set(seen) == {1, 2}
    assert len(seen) >= 8  # two files written, flushed and renamed, the folder flushed twice
    assert is_network(folder, 2)


def _is_killed(moment: int, work: Callable[[], object]) -> bool:
    """Do some work in a process that kills itself before its n-th dealing with the disk; whether it came to that."""
    child = os.fork()
    if child == 0:
        count = 0

        def stepping(function: Callable[..., Any]) -> Callable[..., Any]:
            def run(*arguments: Any, **keys: Any) -> Any:
                nonlocal count
                count += 1
                if count == moment:
                    if function is write_bytes:  # half of it
                        function(arguments[0], arguments[1][: len(arguments[1]) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **keys)

            return run

        write_bytes = Path.write_bytes
        os.fsync = stepping(os.fsync)
        for name in ("write_bytes", "replace", "unlink"):
            setattr(Path, name, stepping(getattr(Path, name)))
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_full_disk_leaves_the_old_one(tmp_path: Path) -> None:
    save(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # the weights need more
    try:
        with pytest.raises(MienError, match=r"model-.*safetensors cannot be written"):
            save(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert is_network(tmp_path, 1)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("file", ["model-", "card.json"])
def test_a_disk_that_is_full_at_either_file_is_named(tmp_path: Path, monkeypatch: Any, file: str) -> None:
    save(tmp_path, 1)
    whole = Path.write_bytes

    def write(path: Path, data: bytes) -> int:
        if file in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write)
        with pytest.raises(MienError, match=f"{file}.* the disk is full.*same command"):
            save(tmp_path, 2)
    assert is_network(tmp_path, 1)
    save(tmp_path, 2)
    assert is_network(tmp_path, 2)


def _edit(folder: Path, **keys: Any) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **keys}))


def _weights(folder: Path) -> Path:
    return next(folder.glob("model-*.safetensors"))


def _flip_a_bit(folder: Path) -> None:
    data = bytearray(_weights(folder).read_bytes())
    data[-5] ^= 1
    _weights(folder).write_bytes(data)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no card": (lambda folder: (folder / "card.json").unlink(), "holds no checkpoint: card.json is missing"),
    "no weights": (lambda folder: _weights(folder).unlink(), r"model-.*, which card.json names, is missing.*again"),
    "a changed bit": (_flip_a_bit, r"model-.* is damaged: its checksum"),
    "half": (lambda folder: os.truncate(_weights(folder), 1000), r"model-.* is damaged: its checksum"),
    "cut card": (lambda folder: os.truncate(folder / "card.json", 40), r"card\.json is damaged.*again"),
    "no json": (lambda folder: (folder / "card.json").write_text("hello"), r"card\.json is damaged"),
    "no text": (lambda folder: (folder / "card.json").write_bytes(b'{"format": "\xe9"}'), r"card\.json is damaged"),
    "another file": (lambda folder: (folder / "card.json").write_text('{"a": 1}'), "is not the card of a checkpoint"),
    "newer": (lambda folder: _edit(folder, version=2, news=1), r"card\.json has version 2, .*Update mien"),
    "older": (lambda folder: _edit(folder, version=0), r"card\.json is damaged.*version"),
    "unknown key": (lambda folder: _edit(folder, news=1), r"card\.json is damaged.*news"),
    "other shapes": (
        lambda folder: _edit(folder, outputs={"labels": ["a", "b", "c"], "affect": ["valence"]}),
        r"model-.*output.*\(2,\).*\(3,\)|model-.*output.*\(2, 256\).*\(3, 256\)",
    ),
    "unknown architecture": (lambda folder: _edit(folder, architecture="lenet"), r"card\.json.*'lenet'"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, damage: str) -> None:
    save(tmp_path, 1)
    spoil, message = DAMAGES[damage]
    spoil(tmp_path)
    with pytest.raises(MienError, match=message) as caught:
        open_network(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_path_that_is_not_there_or_a_file_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(MienError, match="holds no checkpoint"):
            load_card(path)


def test_an_ensemble_is_given_by_its_members(tmp_path: Path) -> None:
    (tmp_path / "faces.npz").touch()
    with pytest.raises(MienError, match="an ensemble is given by those of its members"):
        load_card(tmp_path)


@pytest.mark.parametrize(
    ("place", "named"), [("seed0/two", "seed0/two/fold00"), ("seed0", "seed0/one"), ("", "seed0/one")]
)
def test_a_folder_above_checkpoints_names_one(tmp_path: Path, place: str, named: str) -> None:
    for folder in ("seed0/one", "seed0/two/fold00", "seed0/two/fold01"):
        save(tmp_path / folder, seed=0)
    with pytest.raises(MienError, match=rf"as \S*{named}$"):
        load_card(tmp_path / place)


def test_another_architecture_is_refused_with_both_names(tmp_path: Path) -> None:
    save(tmp_path, 1)
    network = make_network(2, architecture="mini_xception")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(MienError, match=rf"card\.json is of a {ARCHITECTURE}, .* mini_xception"):
        start_from(network, tmp_path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_the_weights_need_no_pickle(tmp_path: Path) -> None:
    save(tmp_path, 1)
    size = int.from_bytes(_weights(tmp_path).read_bytes()[:8], "little")
    header = json.loads(_weights(tmp_path).read_bytes()[8 : 8 + size])
    assert header.keys() >= make_network(1).state_dict().keys()
