"""A recipe from the command line to its report, whole, interrupted, and given wrongly."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
import torch

from mien.errors import MienError
from mien.models.cache import cache_folder
from tests.trainer.children import start_command
from trainer.__main__ import app
from trainer.evaluate.predictions import load_predictions
from trainer.models import Outputs
from trainer.stages.checkpoint import open_network

LABELS = ("neutral", "happiness", "surprise")
RECIPE = Path(__file__).parent / "tiny.yaml"
ROOT = RECIPE.parents[3]
SECONDS = ("seconds", "seconds_per_epoch", "chain_seconds")


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of our own for renders and crops; the head that renders show is that of the machine."""
    folder = tmp_path_factory.mktemp("cache")
    for name in ("models", "packages", "synthetic", "bundles"):
        (cache_folder() / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(cache_folder() / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(folder))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets of noise, which need no renderer: a table of 32 people, and folders of 12 pictures of each class."""
    root = tmp_path_factory.mktemp("root") / "noise"
    (root / "csv").mkdir(parents=True)
    rows = ["picture,person,expression"]
    for number in range(96):
        write_noise(root / f"csv/{number}.png", number)
        rows.append(f"{number}.png,p{number // 3},{LABELS[number % 3]}")
    (root / "csv/faces.csv").write_text("\n".join(rows))
    for number in range(36):
        write_noise(root / "folder" / LABELS[number % 3] / f"{number}.png", 100 + number)
    return root


def write_noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (48, 48, 3), np.uint8))


@pytest.fixture(scope="session")
def whole(_cache: None, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    mien_train("run", RECIPE, "--data", data, "--out", folder)
    return folder


def mien_train(*words: object) -> None:
    """Run a command in this process."""
    with contextlib.suppress(SystemExit):
        app([str(word) for word in words])


def start(*words: object) -> subprocess.Popen[str]:
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "trainer", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, text=True, start_new_session=True, **pipes)


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def figures(folder: Path) -> list[Any]:
    """All that a run must give again, to the last digit: without times."""
    return [
        {
            **{key: stage[key] for key in ("stage", "seed", "lineage", "trained", "parts", "tests")},
            "figures": {name: value for name, value in stage["figures"].items() if name not in SECONDS},
            "losses": [[epoch["loss"] for epoch in fold] for fold in stage["epochs"]],
        }
        for stage in read(folder)["stages"]
    ]


def wait_for(path: Path, is_alive: Callable[[], bool]) -> None:
    until = time.monotonic() + 90
    while not path.exists():
        assert is_alive(), f"{path} did not come"
        assert time.monotonic() < until, f"{path} does not come"
        time.sleep(0.005)


def test_a_run_leaves_networks_answers_figures_and_a_report(whole: Path) -> None:
    result = read(whole)
    first, second = result["stages"]
    assert [first["stage"], second["stage"], second["folds"]] == ["first", "second", 2]
    assert first["lineage"] == "csv"
    assert second["lineage"] == "csv → folder"
    assert set(first["tests"]) == {"generic", "other"}
    assert first["tests"]["generic"]["shared_people"] == 0
    assert second["tests"]["groups"]["pictures"] == 36  # each picture in the test part of one fold
    assert sum(second["parts"]["train"].values()) == 36  # of two folds, half of 36 each
    assert second["figures"]["images_seen"] == 36
    assert second["figures"]["chain_images_seen"] == 36 + first["figures"]["images_seen"]
    for stage in result["stages"]:
        for test in stage["tests"].values():
            assert (whole / test["predictions"]).is_file()
    for place in ("seed0/first", "seed0/second/fold00", "seed0/second/fold01"):
        assert (whole / place / "card.json").is_file()
        assert not (whole / place / "training.safetensors").exists()
    assert "rendered" in (whole / "report.html").read_text()


def test_a_second_run_does_nothing_and_says_the_same(
    whole: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("job.json")}
    mien_train("run", RECIPE, "--data", data, "--out", whole, "--json")
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("job.json")} == before
    assert json.loads(capsys.readouterr().out) == read(whole)


def test_piped_tables_say_on_whom_and_are_not_cut(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mien_train("report", whole)
    said = capsys.readouterr().out
    titles = [line for line in said.splitlines() if line.startswith(("A tiny run", "Both", "Trends"))]
    assert len(titles) == 3
    assert all("on data of noise" in title for title in titles)
    assert "Stages [help] (nowhere)" in said
    assert "…" not in said
    assert str(whole / "report.html") in said


def test_a_run_that_was_killed_goes_on_to_the_same_figures(whole: Path, data: Path, tmp_path: Path) -> None:
    words = ("run", RECIPE, "--data", data, "--out", tmp_path / "run")
    child = start_command(*words, said=tmp_path / "said.txt")
    wait_for(tmp_path / "run/seed0/first/training.safetensors", child.is_alive)
    child.kill()
    child.join()
    assert not (tmp_path / "run/seed0/first/job.json").exists()
    mien_train(*words)
    assert figures(tmp_path / "run") == figures(whole)


@pytest.mark.parametrize(("jobs", "place"), [(1, "seed0/first/training.safetensors"), (2, "run.json")])
def test_ctrl_c_stops_with_a_line_and_no_traceback(
    whole: Path, data: Path, tmp_path: Path, jobs: int, place: str
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored, also by children
    process = start("run", RECIPE, "--data", data, "--out", tmp_path / "run", "--jobs", jobs)
    wait_for(tmp_path / "run" / place, lambda: process.poll() is None)
    time.sleep(0.5)  # where there are workers, they are just being started
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "mien-train: stopped; the same command goes on where it stopped"
    assert "Traceback" not in said


def test_a_report_can_do_without_pictures(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    mien_train("report", folder, "--no-pictures")
    assert "data:image/jpeg" not in (folder / "report.html").read_text()
    assert "data:image/jpeg" in (whole / "report.html").read_text()


def test_a_killed_worker_is_named_and_nothing_is_lost(whole: Path, data: Path, tmp_path: Path) -> None:
    words = ("run", RECIPE, "--data", data, "--out", tmp_path / "run")
    child = start_command(*words, "--jobs", "2", said=tmp_path / "said.txt")
    wait_for(tmp_path / "run/seed0/first/training.safetensors", child.is_alive)
    for worker in psutil.Process(child.pid).children():
        if "spawn_main" in " ".join(worker.cmdline()):
            os.kill(worker.pid, signal.SIGKILL)
    child.join(60)
    said = (tmp_path / "said.txt").read_text()
    assert child.exitcode == 1
    assert "tiny, stage first, seed 0: its process was killed" in said
    assert "Give the same command again" in said
    mien_train(*words)
    assert figures(tmp_path / "run") == figures(whole)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epochs: 2", "epochs: 3", r"the stage first was trained otherwise \(stages\.first\.epochs is 2 there, 3 here"),
        ("side: 64", "side: 48", "side is 64 there, 48 here"),
    ],
)
def test_a_folder_of_another_run_is_refused(
    whole: Path, data: Path, tmp_path: Path, old: str, new: str, said: str
) -> None:
    other = tmp_path / "tiny.yaml"
    other.write_text(RECIPE.read_text().replace(old, new))
    before = read(whole)
    with pytest.raises(MienError, match=said):
        mien_train("run", other, "--data", data, "--out", whole)
    assert read(whole) == before


def test_a_folder_of_something_else_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(MienError, match=r"not empty \(thesis\.txt\)"):
        mien_train("run", RECIPE, "--data", data, "--out", tmp_path)


def test_a_misspelt_key_is_named(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(RECIPE.read_text().replace("batch_size", "batchsize"))
    with pytest.raises(MienError, match=r"mine\.yaml.*batchsize"):
        mien_train("run", recipe, "--data", data, "--out", tmp_path / "run")


def test_missing_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"nowhere is no folder.*--data rendered"):
        mien_train("run", RECIPE, "--data", tmp_path / "nowhere")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        RECIPE.read_text().replace("real: csv", "real: raf-db").replace("other: {real: folder", "other: {real: fer2013")
    )
    (tmp_path / "folder").mkdir()
    with pytest.raises(MienError, match="has no folders raf-db, fer2013, which"):
        mien_train("run", recipe, "--data", tmp_path, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_stage_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(MienError, match="tiny has no stage third"):
        mien_train("run", RECIPE, "--data", data, "--out", tmp_path / "run", "--only", "third")
    assert not (tmp_path / "run").exists()


def test_suspects_are_left_out_of_the_training(whole: Path, data: Path, tmp_path: Path) -> None:
    name = read(whole)["stages"][1]["tests"]["groups"]["data"]
    suspects = tmp_path / "suspects.json"
    pictures = (data / "folder").glob("*/*.png")
    suspects.write_text(json.dumps({"names": {name: ["/".join(path.parts[-3:]) for path in pictures]}}))
    words = ("run", RECIPE, "--data", data, "--out", tmp_path / "run", "--without", suspects)
    with pytest.raises(MienError, match=r"tiny, stage second, seed 0, fold 0: .*the training part has no picture"):
        mien_train(*words)


@pytest.mark.usefixtures("_cache")
def test_renders_stand_in_for_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_rendered(RECIPE, tmp_path)
    assert "Both · nowhere · on rendered people" in capsys.readouterr().out
    first, second = read(tmp_path)["stages"]
    assert first["lineage"] == "rendered wild"
    assert second["lineage"] == "rendered wild → rendered lab_b"
    assert first["tests"]["generic"]["shared_people"] == 0
    assert second["tests"]["groups"]["pictures"] == 36
    assert "rendered" in (tmp_path / "report.html").read_text()


@pytest.mark.usefixtures("_cache")
def test_landmarks_are_learned_before_expressions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_rendered(RECIPE.with_name("tiny_parts.yaml"), tmp_path)
    assert "landmark error" in capsys.readouterr().out
    stages = {stage["stage"]: stage for stage in read(tmp_path)["stages"]}
    tested = {name: stage["tests"]["generic"] for name, stage in stages.items()}
    assert set(tested["located"]["figures"]) == {"landmark_error", "visible_landmark_error"}
    assert set(tested["located"]["intervals"]) == set(tested["located"]["figures"])
    assert {"jaw_landmark_error", "mouth_landmark_error"} < set(tested["sure"]["figures"])
    assert "accuracy" in tested["tuned"]["figures"]
    assert stages["located"]["figures"]["training_landmark_error"] > 0
    assert read(tmp_path)["verdicts"][0]["difference"] is not None
    assert "landmark error" in (tmp_path / "report.html").read_text()
    networks = {name: open_network(tmp_path / "seed0" / name) for name in stages if name != "both"}
    assert networks["located"][1].outputs == Outputs(points="eyes")
    assert networks["sure"][1].outputs == Outputs(points="all", scales=True)
    weights = {name: network.state_dict() for name, (network, _) in networks.items()}
    features = [name for name in weights["located"] if name.startswith("parts.conv")]
    assert all(torch.equal(weights["located"][name], weights["head"][name]) for name in features)
    assert any(not torch.equal(weights["head"][name], weights["tuned"][name]) for name in features)
    # The first head on features that have learned expressions since: nothing is trained.
    is_head = [name for name in weights["located"] if name not in features]
    assert all(torch.equal(weights["again"][name], weights["tuned"][name]) for name in features)
    assert all(torch.equal(weights["again"][name], weights["located"][name]) for name in is_head)
    assert tested["again"]["figures"]["landmark_error"] != tested["located"]["figures"]["landmark_error"]
    members = [tested[name]["figures"]["accuracy"] for name in ("head", "tuned")]
    assert tested["both"]["figures"]["best_member_accuracy"] == pytest.approx(max(members))
    assert "dense2" in networks["head"][0].parts
    assert "dense2" not in networks["located"][0].parts
    yaw = load_predictions(tmp_path / tested["located"]["predictions"]).yaw
    assert yaw is not None
    assert np.ptp(yaw) > 10


def run_rendered(recipe: Path, folder: Path) -> None:
    """Run a recipe on renders, where there is what they need."""
    try:
        mien_train("run", recipe, "--data", "rendered", "--out", folder)
    except MienError as error:
        if "OpenGL" in error.problem:
            pytest.skip(str(error))
        raise
