"""mien-train data."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import pytest

from mien.errors import MienError
from tests.trainer.data.layouts import (
    LANDMARKS,
    fer_plus_rows,
    write_affectnet_folders,
    write_affectnet_lists,
    write_amigos,
    write_ck_plus,
    write_fer_plus,
    write_icml_face_data,
    write_imagenet,
    write_jaffe,
    write_ms_celeb,
    write_picture,
    write_raf_db,
    write_sfew,
    write_vggface2,
)
from trainer.__main__ import app
from trainer.data.catalogue import ENTRIES, open_dataset
from trainer.data.shards import open_stream, read_index

ROOT = Path(__file__).resolve().parents[3]
WRITERS = {
    "ck+": write_ck_plus,
    "jaffe": write_jaffe,
    "fer2013": write_icml_face_data,
    "fer+": lambda root: write_fer_plus(root, fer_plus_rows()),
    "affectnet": write_affectnet_lists,
    "sfew": write_sfew,
    "sfew:aligned": lambda root: write_sfew(root, "Train_Aligned_Faces", "Val_Aligned_Faces"),
    "raf-db": write_raf_db,
    "raf-db:original": write_raf_db,
    "amigos": write_amigos,
    "vggface2": write_vggface2,
    "ms-celeb": write_ms_celeb,
    "imagenet": write_imagenet,
}
SAMPLES = {
    "ck+": 28,
    "jaffe": 42,
    "fer2013": 24,
    "fer+": 24,
    "affectnet": 18,
    "sfew": 14,
    "sfew:aligned": 14,
    "raf-db": 14,
    "raf-db:original": 14,
    "amigos": 26,
    "vggface2": 6,
    "ms-celeb": 6,
    "imagenet": 4,
}


def run(*arguments: object) -> None:
    app(["data", *map(str, arguments)], result_action="return_value")


def read_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("name", WRITERS)
def test_every_data_set_is_described_and_packed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))  # of MS-Celeb's index
    WRITERS[name](tmp_path / "in")
    run("describe", name, tmp_path / "in", "--json")
    described = read_json(capsys)
    assert described["samples"] == SAMPLES[name]
    assert sum(split["samples"] for split in described["splits"].values()) == SAMPLES[name]
    run("shards", name, tmp_path / "in", tmp_path / "out", "--records-per-shard", 5, "--json")
    assert read_json(capsys)["splits"] == {split: one["samples"] for split, one in described["splits"].items()}
    dataset = open_dataset(name, tmp_path / "in")
    originals = {(sample.split, sample.picture.encoded()[1]) for sample in dataset}
    packed = [sample for split in described["splits"] for sample in open_stream(tmp_path / "out", split, seed=0)]
    assert {(sample.split, sample.picture.encoded()[1]) for sample in packed} == originals
    assert all(sample.picture.read().shape[2] == 3 for sample in packed)


def test_every_name_has_its_layout_tested() -> None:
    families = {name.partition(":")[0] for name in ENTRIES}
    assert families == {name.partition(":")[0] for name in WRITERS} | {"renders", "folder", "csv"}


def test_the_table_shows_classes_people_and_what_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    run("describe", "ck+:8-small", write_ck_plus(tmp_path))
    out = capsys.readouterr().out
    assert "CK+ 8-small: 14 samples of 654 published, 7 people" in out
    assert "left out: 3 × sequences without a label" in out
    rows = {line.split()[0]: line.split()[-1] for line in out.splitlines() if line.strip()}
    assert (rows["neutral"], rows["contempt"], rows["people"], rows["landmarks"]) == ("7", "1", "7", "14")
    run("describe", "affectnet", write_affectnet_folders(tmp_path / "affectnet"))
    out = capsys.readouterr().out
    assert "AffectNet: 16 samples, no people named" in out
    assert out.split("validation")[1].count("8") >= 2


def test_own_folders_and_tables_are_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_picture(tmp_path / "own/anger/1.png")
    run("describe", "folder", tmp_path / "own", "--json")
    assert read_json(capsys)["splits"]["all"]["expressions"] == {"anger": 1}
    (tmp_path / "own/list.csv").write_text("picture,person\nanger/1.png,anna\n")
    run("describe", "csv", tmp_path / "own/list.csv", "--json")
    assert read_json(capsys)["people"] == 1


@pytest.mark.parametrize(
    ("name", "path", "problem"),
    [
        ("ck", ".", "There is no data set called ck. Known are ck"),
        ("ck+:9", ".", "There is no data set called ck"),
        ("jaffe", "nowhere", "nowhere does not exist"),
        ("csv", ".", "is no file"),
        ("ck+", "looped", r"S005_001_00000010_emotion\.txt cannot be read"),
    ],
)
def test_what_cannot_be_opened_is_named(tmp_path: Path, name: str, path: str, problem: str) -> None:
    (file,) = write_ck_plus(tmp_path / "looped").rglob("S005_001_00000010_emotion.txt")
    file.unlink()
    file.symlink_to(file)  # nobody can read this
    with pytest.raises(MienError, match=problem):
        run("describe", name, tmp_path / path)


def test_an_error_is_one_line_and_a_status(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trainer", "data", "describe", "jaffe", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"mien-train: {tmp_path / 'KA.AN1.39.tiff'} is missing")
    assert "Traceback" not in done.stderr


def test_packing_goes_on_after_it_was_killed(tmp_path: Path) -> None:
    rows = "".join(f"in/{number % 50}.png,{number}\n" for number in range(4000))
    for number in range(50):
        write_picture(tmp_path / "in" / f"{number}.png", number)
    (tmp_path / "list.csv").write_text("picture,frame\n" + rows)
    out = tmp_path / "out"
    arguments = ["data", "shards", "csv", str(tmp_path / "list.csv"), str(out), "--records-per-shard", "50"]
    process = subprocess.Popen([sys.executable, "-m", "trainer", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(out.glob("all-*.tar"))) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    kept = {path: path.stat().st_mtime_ns for path in out.glob("all-*.tar")}
    assert 3 <= len(kept) < 80, "it was not killed in between"
    finished = {shard["file"] for shard in json.loads((out / "index.json").read_bytes())["shards"]}
    done = subprocess.run(
        [sys.executable, "-m", "trainer", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("4000 records of list in 80 shards")
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items() if path.name in finished)
    assert sorted(sample.frame or 0 for sample in open_stream(out, "all", seed=0)) == list(range(4000))
    assert not list(out.glob(".*.partial"))


def test_renders_are_made_described_packed_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "lab"
    arguments = ("render", "lab_a", folder, "--size", 48, "--seed", 5, "--workers", 1, "--json")
    run(*arguments, "--count", 3)
    assert read_json(capsys)["made"] == 3
    run(*arguments, "--count", 5)
    described = read_json(capsys)
    assert (described["made"], described["samples"]) == (2, 5)
    assert sum(split["landmarks"] for split in described["splits"].values()) == 5
    assert sum(split["valence_arousal"] for split in described["splits"].values()) == 5
    run("shards", "renders", folder, tmp_path / "out")
    assert read_index(tmp_path / "out").done == 5
    capsys.readouterr()
    for what, columns in ((folder, 3), ("lab_a", 2)):
        run("sheet", what, tmp_path / "sheets/page.png", "--rows", 2, "--columns", columns, "--size", 48, "--json")
        shown = read_json(capsys)
        page = cv2.imread(str(tmp_path / "sheets/page.png"))
        assert page is not None
        assert page.shape[:2] == (shown["height"], shown["width"])
        assert shown["width"] == 48 * columns
        assert page.std() > 10


def make_renders(folder: Path, **changes: object) -> Path:
    """A folder as `render` writes it, with one picture, some of whose labels are changed."""
    write_picture(folder / "images/00000/000000.png")
    label: dict[str, object] = {
        "index": 0,
        "file": "images/00000/000000.png",
        "domain": "lab_a",
        "split": "train",
        "person": "anna",
        "label": "fear",
        "intensity": 0.75,
        "landmarks": LANDMARKS.tolist(),
        "visible": [1] * 67 + [0],
    }
    (folder / "labels.jsonl").write_text(json.dumps({**label, **changes}) + "\n")
    (folder / "dataset.json").write_text('{"domain": "lab_a", "seed": 0, "side": 8, "version": 1}')
    return folder


def test_renders_keep_intensity_and_visibility_in_shards(tmp_path: Path) -> None:
    run("shards", "renders", make_renders(tmp_path / "in"), tmp_path / "out")
    for dataset in (open_dataset("renders", tmp_path / "in"), open_stream(tmp_path / "out", "train", seed=0)):
        (sample,) = dataset
        assert sample.intensity == 0.75
        assert sample.visible is not None
        assert sample.visible.dtype == bool
        assert sample.visible.tolist() == [True] * 67 + [False]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"split": "dev"}, "labels of picture 0: the split is 'dev'"),
        ({"landmarks": LANDMARKS.tolist()[1:]}, "labels of picture 0: there are 67 landmarks"),
        ({"visible": [1]}, "labels of picture 0: there are 68 landmarks, 1 with visibility"),
        ({"landmarks": [], "visible": []}, "labels of picture 0: there are 0 landmarks"),
        ({"file": "../../../etc/resolv.conf"}, r"resolv\.conf is not inside"),
        ({"file": "/etc/a.png"}, r"/etc/a\.png is not inside"),
        ({"file": "labels.jsonl"}, r"'labels\.jsonl' is no picture file"),
    ],
)
def test_wrong_labels_of_renders_are_named(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    folder = make_renders(tmp_path / "in", **changes)
    for arguments in (
        ("describe", "renders", folder),
        ("shards", "renders", folder, tmp_path / "out"),
        ("sheet", folder, tmp_path / "page.png"),
    ):
        with pytest.raises(MienError, match=problem):
            run(*arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_cut_off_description_of_renders_is_named(tmp_path: Path) -> None:
    folder = make_renders(tmp_path / "in")
    (folder / "dataset.json").write_text('{"domain": "la')
    with pytest.raises(MienError, match=r"dataset\.json cannot be read"):
        run("describe", "renders", folder)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("sheet", "lab_a", "page.png", "--size", 0), "--size"),
        (("sheet", "lab_a", "page.png", "--size", 9999999), "--size"),
        (("sheet", "lab_a", "page.png", "--seed", -1), "--seed"),
        (("sheet", "lab_a", "page.png", "--rows", 0), "--rows"),
        (("shards", "folder", "faces", "out", "--seed", -1), "--seed"),
        (("shards", "folder", "faces", "out", "--seed", 2**64), "--seed"),
        (("render", "lab_a", "out", "--seed", -1), "--seed"),
        (("render", "lab_a", "out", "--size", 31), "--size"),
        (("render", "lab_a", "out", "--workers", 0), "--workers"),
    ],
)
def test_numbers_out_of_range_are_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[object, ...],
    option: str,
) -> None:
    write_picture(tmp_path / "faces/anger/1.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 1
    printed = capsys.readouterr()
    assert f"for {option}" in printed.out + printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("render", "moon", "out"), "moon"),
        (("sheet", "nowhere", "page.png"), "nowhere holds no renders"),
        (("describe", "renders", "."), "holds no renders"),
    ],
)
def test_renders_that_cannot_be_had_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MienError, match=problem):
        run(*arguments)
    assert list(tmp_path.iterdir()) == []
