"""Renders in a folder: complete, resumable, and never half."""

from __future__ import annotations

import json
import multiprocessing
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import MienError
from trainer.data.output import sole_writer
from trainer.data.synthetic import dataset
from trainer.data.synthetic.dataset import PART, read_labels, render
from trainer.data.synthetic.domains import find_domain
from trainer.data.synthetic.sample import make_sample
from trainer.data.synthetic.studio import Studio

ROOT = Path(__file__).resolve().parents[3]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_pictures_and_labels_belong_together(small_studio: Studio, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    made = render("wild", tmp_path / "set", count=6, side=96, workers=1, progress=lambda *at: seen.append(at))
    assert made == 6
    assert seen == [(0, 6), (6, 6)]
    for index, label in enumerate(read_labels(tmp_path / "set")):
        image, expected = make_sample(find_domain("wild"), 0, index, 96)
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "set" / label.file)), image)
        assert (label.index, label.landmarks, label.person) == (index, expected.landmarks, expected.person)


def test_two_workers_make_the_same_as_one_and_a_longer_set_begins_with_the_shorter(tmp_path: Path) -> None:
    render("objects", tmp_path / "one", count=2 * PART + 7, side=32, workers=1)
    render("objects", tmp_path / "two", count=PART + 20, side=32, workers=2)
    assert render("objects", tmp_path / "two", count=2 * PART + 7, side=32, workers=2) == PART - 13
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert render("objects", tmp_path / "two", count=PART, side=32) == 0, "nothing to do"


def test_a_full_disk_leaves_what_is_finished_and_the_next_call_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    render("objects", folder, count=PART, side=32, workers=1)
    before = contents(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))  # labels of a part need more
    try:
        with pytest.raises(MienError, match="cannot be written"):
            render("objects", folder, count=3 * PART, side=32, workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    assert len(read_labels(folder)) == PART
    assert render("objects", folder, count=3 * PART, side=32, workers=1) == 2 * PART
    assert [label.index for label in read_labels(folder)] == list(range(3 * PART))


def test_a_killed_render_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    code = (
        "import sys; from pathlib import Path; from trainer.data.synthetic.dataset import render;"
        "render('objects', Path(sys.argv[1]), count=100_000, side=64, workers=1)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=ROOT) as process:
        deadline = time.monotonic() + 60
        while len(list((folder / "parts").glob("*.jsonl"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    there = len(read_labels(folder))
    assert there >= 2 * PART
    assert all((folder / label.file).stat().st_size > 0 for label in read_labels(folder))
    assert render("objects", folder, count=there + 10, side=64, workers=1) == 10
    assert len((folder / "labels.jsonl").read_text().splitlines()) == there + 10
    assert not (folder / "parts").exists()


def test_a_lost_picture_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    render("objects", folder, count=PART + 5, side=32, workers=1)
    before = contents(folder)
    for index in (3, PART + 1):
        (folder / read_labels(folder)[index].file).unlink()
    assert render("objects", folder, count=PART + 5, side=32, workers=1) == 2
    assert contents(folder) == before


def test_a_first_run_that_was_ended_at_once_is_no_stranger(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".dataset.json.partial").write_bytes(b"{")
    assert render("objects", tmp_path, count=2, side=32, workers=1) == 2
    assert not (tmp_path / ".dataset.json.partial").exists()


def test_two_renders_into_one_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    render("objects", folder, count=3, side=32, workers=1)
    with sole_writer(folder), pytest.raises(MienError, match="another process is writing there"):
        render("objects", folder, count=6, side=32, workers=1)
    assert render("objects", folder, count=6, side=32, workers=1) == 3, "the lock ends with the render"


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"side": 64}, "side 32, not 64"), ({"seed": 1}, "seed 0, not 1"), ({"domain_name": "lab_b"}, "domain objects")],
)
def test_other_renders_in_the_folder_are_refused(tmp_path: Path, changed: dict[str, object], named: str) -> None:
    folder = tmp_path / "set"
    settings = {"domain_name": "objects", "side": 32, "seed": 0}
    render(folder=folder, count=2, workers=1, **settings)
    before = contents(folder)
    with pytest.raises(MienError, match=named):
        render(folder=folder, count=2, workers=1, **{**settings, **changed})
    assert contents(folder) == before


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(MienError, match=r"not empty \(holiday.jpg\)"):
        render("objects", tmp_path, count=2, side=32, workers=1)
    assert (tmp_path / "holiday.jpg").read_bytes() == b"mine"


def test_a_damaged_label_is_named(tmp_path: Path) -> None:
    render("objects", tmp_path / "set", count=3, side=32, workers=1)
    file = tmp_path / "set" / "labels.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], lines[1][:20], lines[2]]))
    with pytest.raises(MienError, match=r"labels.jsonl, line 2"):
        read_labels(tmp_path / "set")


@pytest.mark.parametrize("wrong", [{"side": 8}, {"side": 5000}, {"workers": 0}, {"seed": -1}, {"count": -5}])
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(MienError, match="cannot be made"):
        render("objects", tmp_path / "set", **wrong)
    assert not (tmp_path / "set").exists()


def test_a_folder_without_renders_is_named(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="holds no renders"):
        read_labels(tmp_path)


def test_the_folder_says_what_it_was_made_from(tmp_path: Path) -> None:
    render("objects", tmp_path / "set", count=2, side=32, seed=4, workers=1)
    made = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert made == {"domain": "objects", "seed": 4, "side": 32, "version": dataset.VERSION}
    assert multiprocessing.active_children() == []
