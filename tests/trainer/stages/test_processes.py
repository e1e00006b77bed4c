from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import safetensors.torch

from tests.trainer.stages.small import make_network, make_stage, train
from trainer.stages.result import Epoch

SCRIPT = str(Path(__file__).with_name("small.py"))
# 21 steps. The last batch has 13 pictures, so the processes have different shares; and different numbers of labels.
COMMON: dict[str, Any] = {"count": 45, "epochs": 7, "dropout": 0.0, "validation": 17}
CASES: list[dict[str, Any]] = [
    {"balance": {"kind": "weighted"}, "optimiser": {"learning_rate": 0.0001, "nesterov": True}},
    {"target": "affect", "loss": "ccc", "unknown": 6, "center": {"weight": 0.1, "rate": 0.5}, "save_every_seconds": 0.0}
    | {"optimiser": {"learning_rate": 0.0001}},
]


def run_two(folder: Path, options: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    arguments = ["--standalone", "--nproc-per-node", "2", SCRIPT, str(folder), json.dumps(options)]
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_whole_batch(tmp_path: Path) -> None:
    done = run_two(tmp_path / "two", [COMMON | case for case in CASES])
    assert done.returncode == 0, done.stderr
    for number, case in enumerate(CASES):
        _, epochs = train(tmp_path / str(number), **COMMON, **case)
        ours, theirs = (
            safetensors.torch.load_file(folder / "weights.safetensors")
            for folder in (tmp_path / str(number), tmp_path / "two" / str(number))
        )
        start = make_network(make_stage(target=case.get("target", "expression"), dropout=0.0)).state_dict()
        moved = max(float((start[name] - ours[name]).abs().max()) for name in start)
        assert moved > 0.002  # Twenty times what they may differ.
        for name in ours:
            assert (ours[name] - theirs[name]).abs().max().item() < 1e-4 if ours[name].numel() else True, name
        told = msgspec.json.decode((tmp_path / "two" / str(number) / "epochs.json").read_bytes(), type=list[Epoch])
        for one, two in zip(epochs, told, strict=True):
            assert two.pictures == one.pictures
            assert two.loss == pytest.approx(one.loss, abs=1e-4)
            assert two.training_score == pytest.approx(one.training_score)
            assert two.validation_score == pytest.approx(one.validation_score)


@pytest.mark.slow
def test_a_killed_process_ends_the_others_with_a_plain_word(tmp_path: Path) -> None:
    done = run_two(tmp_path, [COMMON | {"kill_rank": 1}])
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL)" in done.stderr
    assert "lost another one" in done.stderr
    assert "it goes on where it stopped" in done.stderr
