"""The commands around training: recipes, evaluate, report, and what they need at start-up."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from mien.bundle import CropSpec
from mien.errors import MienError
from trainer.__main__ import app
from trainer.models import Outputs, build_network
from trainer.stages.checkpoint import Card, Step, load_card, save_checkpoint, write_card
from trainer.stages.recipe_file import load_recipe

LABELS = ("neutral", "happiness")


def mien_train(*words: object) -> None:
    with contextlib.suppress(SystemExit):
        app([str(word) for word in words])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A network that has learned nothing but says that it has."""
    network = build_network("mobilenet_v1_48_w025", Outputs(LABELS), seed=0)
    step = Step(
        stage="one", source="lab", data="CK+", pictures=9, people=3, split="", target="expression", epochs=1,
        images_seen=9, learning_rate=0.1, seed=0,
    )  # fmt: skip
    card = Card(
        architecture=network.architecture.name,
        image_side=network.input.width,
        outputs=network.outputs,
        crop=CropSpec("uncropped"),
        detector="yunet",
        input=network.input,
        embedding_size=network.architecture.embedding_size,
        lineage=(step,),
    )
    save_checkpoint(tmp_path / "checkpoint", network, card)
    return tmp_path / "checkpoint"


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three noisy pictures of each of three expressions, of which the network knows two."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for label in (*LABELS, "anger"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for number in range(3):
            noise = random.integers(0, 256, (50, 50, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "pictures" / label / f"{number}.png"), noise)
    return tmp_path / "pictures"


def test_a_checkpoint_is_measured_on_any_data_set(
    checkpoint: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mien_train("evaluate", checkpoint, "folder", pictures, "--json")
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert result["labels"] == list(LABELS)
    assert result["left_out"] == {"expression anger not learned": 3}
    confusion = np.array(result["confusion"])
    assert confusion.sum(axis=1).tolist() == [3, 3]
    assert result["figures"]["accuracy"] == pytest.approx(confusion.trace() / 6)
    mien_train("evaluate", checkpoint, "folder", pictures)
    said = capsys.readouterr().out
    assert "split all, people not named, 6 pictures" in said
    assert said.count("6 pictures") == 1
    assert "left out: 3 × expression anger not learned" in said
    assert f"accuracy, %: {100 * confusion.trace() / 6:.1f}" in said
    row = next(line for line in said.splitlines() if line.startswith("happiness"))
    assert float(row.split()[4 + 1]) == pytest.approx(100 * result["classes"]["happiness"]["recall"], abs=0.06)
    assert all(f"{figure}, %" in said for figure in ("precision", "recall", "F1"))


def test_a_test_on_what_was_learned_is_warned_of(
    checkpoint: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mien_train("evaluate", checkpoint, "folder", pictures, "--json")
    assert "warning" not in capsys.readouterr().err
    card = load_card(checkpoint)
    step = msgspec.structs.replace(card.lineage[0], data="CK+ + folder", split="as the data set says")
    write_card(checkpoint, msgspec.structs.replace(card, lineage=(step,)))
    mien_train("evaluate", checkpoint, "folder", pictures, "--json")
    said = capsys.readouterr()
    assert "checkpoint has learned from CK+ + folder (stage one; as the data set says)" in said.err
    assert json.loads(said.out)["pictures"] == 6


def test_a_folder_without_a_checkpoint_is_named(pictures: Path) -> None:
    with pytest.raises(MienError, match=r"pictures holds no checkpoint"):
        mien_train("evaluate", pictures, "folder", pictures)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"run\.json is missing"):
        mien_train("report", tmp_path)


def test_recipes_are_listed_with_their_papers_and_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    mien_train("recipes", "--json")
    listed = {recipe["name"]: recipe for recipe in json.loads(capsys.readouterr().out)}
    assert {name: recipe["paper"] for name, recipe in listed.items()} == {
        "cross_domain": "000",
        "small_sets": "001",
        "personal_general": "002",
        "valence_arousal": "002",
        "real_time": "003",
        "parts": "004",
        "landmarks": "",
        "default": "",
    }
    for recipe in listed.values():
        assert recipe["sizes"]["study"]["rendered"] >= (3 if recipe["paper"] else 1)
        assert recipe["sizes"]["smoke"]["rendered"] == 1
    mien_train("recipes")
    said = capsys.readouterr().out
    assert all(recipe["title"] in said for recipe in listed.values())


def test_the_list_of_recipes_fits_on_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    mien_train("recipes")
    said = capsys.readouterr().out.splitlines()
    assert max(map(len, said)) <= 140
    assert said[0].split()[-4:] == ["seeds,", "smoke", "seeds,", "study"]
    assert next(line for line in said if line.startswith("real_time")).split()[-2:] == ["1", "3"]


def test_a_recipe_is_printed_to_be_copied(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    mien_train("recipes", "real_time")
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out)
    assert load_recipe(str(tmp_path / "mine.yaml")) == load_recipe("real_time")
    mien_train("recipes", "real_time", "--json")
    assert json.loads(capsys.readouterr().out)["stages"]["coarse"]["from"] == "objects"
    with pytest.raises(MienError, match="Did you mean real_time"):
        mien_train("recipes", "realtime")


def test_the_version_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    mien_train("--version")
    assert capsys.readouterr().out.strip() == version("mien")


def test_the_command_line_starts_without_torch() -> None:
    code = "import sys, trainer.__main__; sys.exit('torch' in sys.modules or 'yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
