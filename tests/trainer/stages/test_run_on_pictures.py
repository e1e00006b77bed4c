"""Runs on small real layouts of noise, which need no renderer: identities, suspects, changed recipes, errors."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from trainer.__main__ import app
from trainer.stages.checkpoint import load_card, open_network
from trainer.stages.job_result import read_job

LABELS = ("neutral", "happiness", "anger")


def mien_train(*words: object) -> None:
    """Run a command in this process."""
    with contextlib.suppress(SystemExit):
        app([str(word) for word in words])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve noisy pictures of each expression of nobody in particular; caches are the test's own."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    for label in LABELS:
        for number in range(12):
            write_noise(tmp_path / "data/folder" / label / f"{number:02d}.png", number)
    return tmp_path / "data"


def write_noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (50, 50, 3), np.uint8))


def make_recipe(**changes: Any) -> dict[str, Any]:
    """Two stages on the folders of expressions, one after the other."""
    source = {"real": "folder", "rendered": "wild", "split": {"kind": "holdout", "test": 0.25}}
    return {
        "name": "small",
        "title": "Small",
        "architecture": "mobilenet_v1_48_w025",
        "sources": {"mine": source, "again": source},
        "every": {"crop": {"kind": "uncropped"}, "epochs": 1, "batch_size": 8},
        "stages": {"first": {"data": "mine"}, "second": {"from": "first", "data": "again"}},
        "sizes": {"smoke": {"real": {"seeds": 1}}},
    } | changes


def run(root: Path, recipe: dict[str, Any], *words: object) -> Path:
    """Run a recipe; the folder of the run."""
    file = root.parent / "small.yaml"
    file.write_text(yaml.safe_dump(recipe))
    mien_train("run", file, "--data", root, "--out", root.parent / "run", *words)
    return root.parent / "run"


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def test_a_network_is_kept_whatever_becomes_of_its_tests(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("trainer.stages.train.answer", answer)
        with pytest.raises(RuntimeError, match="small, stage first, seed 0"):
            run(root, make_recipe())
    own = root.parent / "run/seed0/first"
    network, card = open_network(own)
    assert network.outputs.labels == LABELS
    assert card.lineage_text == "folder"
    assert read_job(own) is None
    folder = run(root, make_recipe())
    assert load_card(own).sha256 == card.sha256
    assert load_card(own).figures["accuracy"] == read(folder)["stages"][0]["tests"]["mine"]["figures"]["accuracy"]
