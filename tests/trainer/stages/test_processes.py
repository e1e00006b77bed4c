from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import safetensors.torch
import torch

from tests.trainer.children import start
from tests.trainer.stages.small import make_network, make_stage, train, train_all
from trainer.stages.result import Epoch

SCRIPT = str(Path(__file__).with_name("small.py"))
# The last batch of three has 13 pictures, so the processes have different shares; and different numbers of labels.
COMMON: dict[str, Any] = {"count": 45, "dropout": 0.0, "validation": 17}
CASES: list[dict[str, Any]] = [
    {"epochs": 7, "balance": {"kind": "weighted"}, "optimiser": {"learning_rate": 0.00003, "nesterov": True}},
    # Rounding grows over the steps, in a network like this tenfold with each; in double precision it cannot be seen.
    {"balance": {"kind": "weighted"}, "optimiser": {"learning_rate": 0.01, "nesterov": True}, "is_double": True},
    {"target": "affect", "loss": "ccc", "unknown": 6, "center": {"weight": 0.1, "rate": 0.5}, "is_double": True}
    | {"distil": {"weight": 0.5}, "optimiser": {"learning_rate": 0.01}, "save_every_seconds": 0.0},
    {"target": "landmarks", "points": "eyes", "loss": "l1", "unknown": 6, "augmentation": "flip", "is_double": True}
    | {"optimiser": {"learning_rate": 0.01}},
]


@pytest.mark.slow
@pytest.mark.timeout(450)
def test_two_processes_train_as_one_with_the_whole_batch(tmp_path: Path) -> None:
    options = [COMMON | case for case in CASES]
    arguments = ["--standalone", "--nproc-per-node", "2", SCRIPT, str(tmp_path / "two"), json.dumps(options)]
    subprocess.run([sys.executable, "-m", "torch.distributed.run", *arguments], timeout=400, check=True)
    for number, case in enumerate(CASES):
        _, epochs = train(tmp_path / str(number), **COMMON, **case)
        ours, theirs = (
            safetensors.torch.load_file(folder / "weights.safetensors")
            for folder in (tmp_path / str(number), tmp_path / "two" / str(number))
        )
        tolerance = 1e-9 if "is_double" in case else 1e-4
        start = make_network(make_stage(target=case.get("target", "expression"))).state_dict()
        moved = max(float((start[name] - ours[name]).abs().max()) for name in start if name.endswith("weight"))
        assert moved > 5 * tolerance
        torch.testing.assert_close(theirs, ours, atol=tolerance, rtol=tolerance / 10)
        told = msgspec.json.decode((tmp_path / "two" / str(number) / "epochs.json").read_bytes(), type=list[Epoch])
        for one, two in zip(epochs, told, strict=True):
            assert two.pictures == one.pictures
            assert two.loss == pytest.approx(one.loss, abs=tolerance)
            assert two.training_score == pytest.approx(one.training_score)
            assert two.validation_score == pytest.approx(one.validation_score)


def test_a_killed_process_ends_the_others_with_a_plain_word(tmp_path: Path) -> None:
    # Without torchrun, which would end the others as well, but perhaps before they can say why.
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    shared |= {"GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "none"}
    killed = [COMMON | {"kill_rank": 1}]
    children = [
        start(train_all, tmp_path / "run", killed, said=tmp_path / rank, **shared, RANK=rank, LOCAL_RANK=rank)
        for rank in ("0", "1")
    ]
    try:
        for child in children:
            child.join(100)
        assert [child.exitcode for child in children] == [1, -signal.SIGKILL]
    finally:
        for child in children:
            child.kill()
    said = (tmp_path / "0").read_text()
    assert "MienError: Process 0 of 2 lost another one" in said
    assert "it goes on where it stopped" in said
