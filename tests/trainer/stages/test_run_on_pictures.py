"""Runs on small real layouts of noise, which need no renderer: identities, suspects, changed recipes, errors."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from mien.errors import MienError
from mien.models import fer2013
from tests.trainer.data.layouts import write_jaffe
from trainer.__main__ import app
from trainer.models import Outputs, build_network
from trainer.models.weights import load_start_weights
from trainer.stages.checkpoint import load_card, open_network
from trainer.stages.job_result import read_job
from trainer.stages.jobs import Job
from trainer.stages.run import Options, run_recipe

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
    out = () if "--out" in words else ("--out", root.parent / "run")
    mien_train("run", file, "--data", root, *out, *words)
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


def test_another_folder_of_data_of_the_same_name_is_another_run(root: Path) -> None:
    run(root, make_recipe(), "--only", "first")
    other = root.parent / "elsewhere" / root.name
    shutil.copytree(root, other)
    with pytest.raises(MienError, match="holds another run: root"):
        run(other, make_recipe(), "--out", root.parent / "run")


PEOPLE, EACH = 30, 12


def write_identities(root: Path) -> None:
    """VGGFace2 in small: many people, all of whom have the same number of pictures."""
    for split, people in (("train", range(PEOPLE)), ("test", (PEOPLE,))):
        for person in people:
            for number in range(EACH):
                write_noise(root / f"vggface2/{split}/n{person:06d}/{number:04d}_01.jpg", person * EACH + number)


def test_few_pictures_of_many_people_are_drawn_first_and_only_they_are_cut(root: Path) -> None:
    write_identities(root)
    people = {"real": "vggface2", "rendered": "identity_a", "samples": 24, "split": {"kind": "holdout", "test": 0.25}}
    faces = {"real": "folder", "rendered": "wild", "samples": 9, "split": {"kind": "holdout", "test": 0.25}}
    stages = {"who": {"data": "people", "target": "identity"}, "how": {"from": "who", "data": "faces"}}
    folder = run(root, make_recipe(sources={"people": people, "faces": faces}, stages=stages), "--seeds", "2")
    for seed in (0, 1):
        who, how = (load_card(folder / f"seed{seed}/{name}") for name in ("who", "how"))
        assert len(who.outputs.labels) == 3
        assert who.lineage[0].pictures == 24
        assert how.lineage[1].pictures == 9
    result = read(folder)
    tested = result["stages"][0]["tests"]["people"]
    assert tested["people"] == 3
    assert tested["left_out"] == {}
    assert result["stages"][1]["tests"]["faces"]["pictures"] == 9  # a quarter of all
    cut = [len(np.load(file)) for file in (root.parent / "cache/crops").glob("vggface2-*/states.npy")]
    assert sorted(cut) == sorted(24 + result["stages"][number]["tests"]["people"]["pictures"] for number in (0, 2))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("affect", "folder has no valence and no arousal in its training part, which the stage second learns"),
        ("valence", "folder has no picture from which to learn or test valence"),
    ],
)
def test_values_that_a_source_does_not_tell_are_named_before_anything_is_trained(
    root: Path, target: str, said: str
) -> None:
    recipe = make_recipe(stages={"first": {"data": "mine"}, "second": {"data": "again", "target": target}})
    recipe["stages"]["second"]["loss"] = "mse"
    with pytest.raises(MienError, match=said):
        run(root, recipe)
    assert not (root.parent / "run/seed0").exists()


def test_a_test_that_says_nothing_of_what_is_learned_is_named_before_anything_is_trained(root: Path) -> None:
    write_identities(root)
    recipe = make_recipe(stages={"first": {"data": "mine", "tests": ["people"]}})
    recipe["sources"]["people"] = {"real": "vggface2", "rendered": "identity_a", "split": {"kind": "everything"}}
    with pytest.raises(MienError, match="VGGFace2 has no picture from which to learn or test expression"):
        run(root, recipe)
    assert not (root.parent / "run/seed0").exists()


def test_a_report_cuts_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(root, make_recipe())
    assert "data:image/jpeg" in (folder / "report.html").read_text()
    shutil.rmtree(root.parent / "cache/crops")
    mien_train("report", folder)
    assert not (root.parent / "cache/crops").exists()
    assert "data:image/jpeg" not in (folder / "report.html").read_text()
    assert "report.html" in capsys.readouterr().out


def finished(folder: Path) -> dict[str, int]:
    """When each stage was finished, ns."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("seed0/*/job.json")}


def change(recipe: dict[str, Any], stage: str, **changes: Any) -> dict[str, Any]:
    return recipe | {"stages": recipe["stages"] | {stage: recipe["stages"][stage] | changes}}


def test_only_what_follows_from_a_change_is_trained_anew(root: Path) -> None:
    recipe = make_recipe()
    folder = run(root, recipe)
    before = finished(folder)
    # What a stage is compared with does not change it.
    table = {"title": "New", "metrics": ["accuracy"], "rows": [{"name": "Row", "stage": "second"}]}
    run(root, recipe | {"tables": [table]})
    assert finished(folder) == before
    assert "New" in (folder / "report.html").read_text()
    # A finished stage that would be another one is refused, with the folder that is in the way; nothing is removed.
    changed = change(recipe, "second", epochs=2)
    with pytest.raises(
        MienError, match=r"second was trained otherwise \(stages\.second\.epochs is 1 there, 2 here"
    ) as error:
        run(root, changed)
    assert error.value.remedy.startswith(f"Remove {folder}/seed*/second to train it anew, or")
    assert finished(folder) == before
    shutil.rmtree(folder / "seed0/second")
    run(root, changed)
    assert finished(folder)["first"] == before["first"]
    assert read(folder)["stages"][1]["figures"]["epochs"] == 2
    # With a stage change those that start from it, and where a source changes those that learn from it.
    with pytest.raises(MienError, match=r"first was trained otherwise \(stages.first.batch_size is 8") as error:
        run(root, change(changed, "first", batch_size=6))
    assert error.value.remedy.startswith(f"Remove {folder}/seed*/first, {folder}/seed*/second to train them anew")
    again = recipe["sources"]["again"] | {"samples": 12}
    with pytest.raises(MienError, match=r"second was trained otherwise \(sources.again.samples is None there, 12 here"):
        run(root, changed | {"sources": recipe["sources"] | {"again": again}})
    # A stage that comes back is not taken for the one that it was.
    run(root, recipe | {"stages": {"first": recipe["stages"]["first"]}})
    with pytest.raises(MienError, match=r"second was trained otherwise \(the recipe had no such stage"):
        run(root, changed)


def test_a_stage_that_diverged_goes_on_with_a_lower_rate(root: Path) -> None:
    recipe = make_recipe()
    with pytest.raises(MienError, match=r"stage second.*diverged.*Lower optimiser\.learning_rate"):
        run(root, change(recipe, "second", optimiser={"learning_rate": 1e30}))
    folder = root.parent / "run"
    before = finished(folder)
    run(root, change(recipe, "second", optimiser={"learning_rate": 0.01}))
    assert finished(folder)["first"] == before["first"]
    assert len(read(folder)["stages"]) == 2


def test_a_stage_that_was_begun_otherwise_is_begun_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("trainer.stages.train.answer", lambda *_: 1 / 0)
        with pytest.raises(RuntimeError, match="small, stage first"):
            run(root, make_recipe())
    assert (root.parent / "run/seed0/first/training.safetensors").exists()
    folder = run(root, change(make_recipe(), "first", epochs=2))
    assert read(folder)["stages"][0]["figures"]["epochs"] == 2


def test_people_of_earlier_stages_count_as_trained_on(root: Path) -> None:
    write_jaffe(root / "jaffe")
    source = {"real": "jaffe", "rendered": "lab_b"}
    by_person = {"kind": "holdout", "test": 0.5, "by_person": True}
    sources = {
        "pictures": {**source, "split": {"kind": "holdout", "test": 0.4}},
        "people": {**source, "split": by_person},
        "joined": {**source, "more": ["mine"], "split": {"kind": "holdout", "test": 0.3}},
    }
    recipe = make_recipe(
        sources=sources | {"mine": make_recipe()["sources"]["mine"]},
        stages={
            "seen": {"data": "pictures", "tests": ["people"]},
            "after": {"from": "seen", "data": "people"},
            "alone": {"data": "people"},
            "joined": {"data": "joined"},
            "after_all": {"from": "joined", "data": "people"},
            "after_others": {"from": "others", "data": "people"},
            "others": {"data": "mine"},
        },
    )
    tests = {stage["stage"]: stage["tests"] for stage in read(run(root, recipe))["stages"]}
    shared = {name: of["people"]["shared_people"] for name, of in tests.items() if "people" in of}
    assert shared == {"seen": 1, "after": 1, "alone": 0, "after_all": None, "after_others": 0}
    assert tests["seen"]["pictures"]["shared_people"] == 2
    assert tests["seen"]["people"]["people"] == 1


def test_suspects_are_counted_stage_by_stage_and_a_list_that_takes_none_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = make_recipe(stages={"first": {"data": "mine"}, "second": {"data": "mine", "from": "first"}})
    whole = run(root, recipe)
    tested = set(np.load(whole / "seed0/first/mine.npz")["names"].tolist())
    pictures = {f"folder/{label}/{number:02d}.png" for label in LABELS for number in range(12)}
    held_out = {name for name in pictures if any(one.endswith(name) for one in tested)}
    assert len(held_out) == 9
    suspects = root.parent / "suspects.json"

    def write(*names: str) -> None:
        suspects.write_text(json.dumps({"names": {"folder": names}}))

    write(min(held_out))
    with pytest.raises(MienError, match=r"suspects\.json takes no picture from the training of first, second"):
        run(root, recipe, "--out", root.parent / "fewer", "--without", suspects)
    write(min(pictures - held_out), min(held_out))
    capsys.readouterr()
    run(root, recipe, "--out", root.parent / "fewer", "--without", suspects)
    said = capsys.readouterr().err
    assert "stage first: suspected pictures left out of the training: 1" in said
    assert "stage second: suspected pictures left out of the training: 1" in said
    before, after = (sum(read(one)["stages"][0]["parts"]["train"].values()) for one in (whole, root.parent / "fewer"))
    assert (before, after) == (27, 26)


def test_trainings_are_told_of_within_their_epochs_from_any_process(root: Path) -> None:
    said: list[object] = []

    class Listener:
        prepared = planned = dropped = staticmethod(lambda *_: None)

        def told(self, job: Job, event: object, _result: object) -> None:
            said.append(event)

    file = root.parent / "small.yaml"
    file.write_text(yaml.safe_dump(make_recipe()))
    for jobs in (1, 2):
        run_recipe(
            Options(recipe=str(file), data=str(root), size="smoke", out=root.parent / f"{jobs}", workers=jobs),
            Listener(),
        )
        assert any(isinstance(event, float) and 0 < event <= 1 for event in said)
        said.clear()


def test_a_result_says_how_it_was_made_without_folders_of_the_machine(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(stages={"first": {"data": "mine"}})
    file = root.parent / "small.yaml"
    file.write_text(yaml.safe_dump(recipe))
    monkeypatch.chdir(root)
    words = ("run", file, "--data", ".", "--out", root.parent / "run")
    mien_train(*words)
    result = read(root.parent / "run")
    assert result["data"] == "data"
    assert "--data data --size smoke" in result["command"]
    assert result["machine"].endswith("; jobs one by one with 1 thread")
    names = np.load(root.parent / "run/seed0/first/mine.npz")["names"]
    assert all(name.startswith("folder/") for name in names)
    mien_train(*words, "--jobs", "2")  # there is nothing to do
    assert read(root.parent / "run")["machine"] == result["machine"]
    mien_train(*words, "--jobs", "2", "--seeds", "2")
    assert "; jobs one by one with 1 thread; 2 jobs side by side with " in read(root.parent / "run")["machine"]


def test_weights_of_two_stages_are_averaged(root: Path) -> None:
    recipe = make_recipe(stages={"first": {"data": "mine"}}, architecture="mini_xception")
    recipe["stages"]["second"] = {"from": "first", "data": "mine"}
    recipe["stages"]["third"] = {"from": "second", "data": "mine", "average": "first"}
    folder = run(root, recipe)
    first, second, third = (
        open_network(folder / f"seed0/{name}")[0].state_dict() for name in ("first", "second", "third")
    )
    for name, weights in third.items():
        wanted = (first[name] + second[name]) / 2 if weights.is_floating_point() else second[name]
        torch.testing.assert_close(weights, wanted)
    assert any(not torch.equal(first[name], second[name]) for name in first)
    card = load_card(folder / "seed0/third")
    assert card.lineage_text == "folder → folder → folder (averaged with first)"
    assert card.lineage[-1].images_seen == 0


def test_frozen_classes_are_the_packages_own_but_for_the_temperature(root: Path) -> None:
    for number in range(12):
        write_noise(root / f"folder/contempt/{number:02d}.png", number)
    recipe = make_recipe(stages={"first": {"data": "mine", "from": "package"}}, architecture="mini_xception")
    recipe["sources"]["mine"] |= {"split": {"kind": "holdout", "test": 0.3, "validation": 0.4}}
    recipe["every"] |= {"keep_classes": "frozen", "unfreeze": "output", "distil": {"weight": 0}, "calibrate": True}
    recipe["every"]["optimiser"] = {"kind": "adam", "learning_rate": 0.1}
    recipe["stages"]["second"] = {"data": "mine", "from": "first"}
    folder = run(root, recipe)
    package = build_network("mini_xception", Outputs(labels=fer2013.LABELS), seed=0)
    load_start_weights(package, "package")
    known, temperature = package.parts["output"]["classes"].weight, 1.0
    for name in ("first", "second"):
        network, card = open_network(folder / f"seed0/{name}")
        temperature *= card.lineage[-1].temperature
        assert "contempt" in network.outputs.labels
        for label, row in zip(network.outputs.labels, network.parts["output"]["classes"].weight, strict=True):
            if label in fer2013.LABELS:
                torch.testing.assert_close(row * temperature, known[fer2013.LABELS.index(label)], rtol=1e-5, atol=1e-6)
    assert temperature != 1


def test_a_network_learns_from_a_teacher_keeps_its_classes_and_is_calibrated(root: Path) -> None:
    write_noise(root / "folder/contempt/00.png", 99)
    for number in range(11):
        write_noise(root / f"folder/contempt/{number + 1:02d}.png", number)
    recipe = make_recipe(stages={"first": {"data": "mine", "from": "package"}}, architecture="mini_xception")
    recipe["sources"]["mine"] = recipe["sources"]["mine"] | {
        "split": {"kind": "holdout", "test": 0.3, "validation": 0.4}
    }
    recipe["every"] |= {"keep_classes": True, "calibrate": True, "distil": {"weight": 0.5}}
    recipe["stages"]["alone"] = {"data": "mine", "keep_classes": False, "distil": {"weight": 0}}
    recipe["every"]["optimiser"] = {"learning_rate": 1e-9}
    folder = run(root, recipe)
    found = {stage["stage"]: stage["tests"]["mine"]["figures"] for stage in read(folder)["stages"]}
    assert found["first"]["teacher_agreement"] > 0.9  # it is the teacher still
    assert found["first"]["teacher_accuracy"] == found["alone"]["teacher_accuracy"]
    assert found["first"].keys() >= {"teacher_neutral_called_negative", "neutral_called_negative"}
    first, alone = (load_card(folder / f"seed0/{name}") for name in ("first", "alone"))
    assert first.lineage_text == "FER2013 → folder (taught by FER2013)"
    assert alone.lineage_text == "folder"
    assert alone.licences == ()
    assert len(first.licences) == 1
    assert first.lineage[0].temperature > 0
    assert first.lineage[0].temperature != 1
    shown = {stage["stage"]: stage["figures"].get("temperature") for stage in read(folder)["stages"]}
    assert shown == {"first": first.lineage[0].temperature, "alone": alone.lineage[0].temperature}
    assert "temperature of the classes" in (folder / "report.html").read_text()
    recipe["every"]["distil"]["weight"] = 2
    with pytest.raises(
        MienError, match=r"the stage first was trained otherwise \(stages\.first\.distil\.weight is 0\.5"
    ):
        run(root, recipe)
