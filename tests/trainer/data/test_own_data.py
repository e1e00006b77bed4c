"""One's own pictures in folders or a csv file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from tests.trainer.data.layouts import LANDMARKS, write_picture
from trainer.data.pictures import PictureFile
from trainer.data.sample import Sample
from trainer.data.sets.folders import open_expression_folders
from trainer.data.sets.table import open_table

HEADER = "picture,split,person,expression,category,valence,arousal,x,y,width,height,landmarks,sequence,frame"
POINTS = ";".join(f"{value:.2f}" for value in LANDMARKS.ravel())


def write_table(root: Path, *rows: str, header: str = HEADER) -> Path:
    for name in ("a.png", "b.png"):
        write_picture(root / "pictures" / name)
    file = root / "mine.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8-sig")
    return file


def test_a_table_gives_all_that_is_known(tmp_path: Path) -> None:
    dataset = open_table(
        write_table(
            tmp_path,
            f"pictures/a.png,train,anna,happiness,,0.8,-0.4,1,2,30,40,{POINTS},walk,7",
            "pictures/b.png,,,,cup,,,,,,,,,",
        )
    )
    first, second = dataset
    assert dataset.name == "mine"
    assert (first.split, first.person, first.expression, first.valence, first.arousal) == (
        *("train", "anna", "happiness", 0.8, -0.4),
    )
    assert first.box is not None
    assert (first.box.x, first.box.height, first.sequence, first.frame) == (1, 40, "walk", 7)
    np.testing.assert_allclose(first.landmarks, LANDMARKS, atol=0.01)  # type: ignore[arg-type]
    assert second == Sample(PictureFile(tmp_path / "pictures/b.png"), "all", category="cup")
    assert second.picture.read().shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("rows", "header", "problem"),
    [
        (["pictures/a.png"], "file", r"mine\.csv has no column picture, but file"),
        (["pictures/a.png,happy"], "picture,mood", "unknown column 'mood'"),
        (["pictures/a.png,happy"], "picture,expression", "row 1: expression is 'happy', which is no known label"),
        (["pictures/a.png,dev"], "picture,split", "row 1: split is 'dev'"),
        (["pictures/a.png", "pictures/c.png"], "picture", r"row 2: the picture .*c\.png is not there"),
        (["../a.png"], "picture", r"mine\.csv, row 1: \.\./a\.png is not inside"),
        (["/etc/a.png"], "picture", r"mine\.csv, row 1: /etc/a\.png is not inside"),
        (["mine.csv"], "picture", r"row 1: 'mine\.csv' is no picture file"),
        (["pictures"], "picture", r"row 1: 'pictures' is no picture file"),
        (["pictures/a.png,2"], "picture,valence", "row 1: valence is 2, which is not from -1 to 1"),
        (["pictures/a.png,nan"], "picture,arousal", "row 1: arousal is 'nan'"),
        (["pictures/a.png,1,2,3"], "picture,x,y,width", "row 1: the box has only x, y, width"),
        (["pictures/a.png,1,2,0,3"], "picture,x,y,width,height", "row 1: the box is empty"),
        (["pictures/a.png,1;2"], "picture,landmarks", "row 1: landmarks are not 68 points"),
        (["pictures/a.png,-1"], "picture,frame", "row 1: frame is '-1'"),
        (["pictures/a.png,train,anna", "pictures/b.png,test"], "picture,split,person", "row 2: it has 2 fields"),
        ([], "picture", r"mine\.csv has no row"),
        (
            ["pictures/a.png,train,anna", "pictures/b.png,test,anna"],
            "picture,split,person",
            r"mine\.csv: 1 people are in more than one split, first anna \(test, train\)",
        ),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, rows: list[str], header: str, problem: str) -> None:
    with pytest.raises(MienError, match=problem):
        open_table(write_table(tmp_path, *rows, header=header))


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes(b"picture\n\xff\xfe")
    with pytest.raises(MienError, match=r"mine\.csv cannot be read"):
        open_table(tmp_path / "mine.csv")


@pytest.mark.parametrize("splits", [[""], ["train", "test"]])
def test_folders_are_named_by_canonical_labels(tmp_path: Path, splits: list[str]) -> None:
    for split in splits:
        for label in ("happiness", "anger"):
            write_picture(tmp_path / split / label / "1.jpg")
    (tmp_path / splits[0] / "anger/notes.txt").touch()
    dataset = open_expression_folders(tmp_path)
    found = {(sample.split, sample.expression) for sample in dataset}
    assert found == {(split or "all", label) for split in splits for label in ("happiness", "anger")}
    assert len(dataset) == 2 * len(splits)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda root: write_picture(root / "train/happy/1.jpg"), "'happy', which is no known label"),
        (lambda root: (root / "train/fear").mkdir(), "fear holds no pictures"),
        (lambda root: write_picture(root / "train/fear/1.jpg"), "split test has no sample of fear"),
        (lambda root: (root / "validation").mkdir(), "validation holds no folders"),
    ],
)
def test_wrong_folders_are_refused(tmp_path: Path, damage: Callable[[Path], object], problem: str) -> None:
    for split in ("train", "test"):
        write_picture(tmp_path / split / "anger/1.jpg")
    damage(tmp_path)
    with pytest.raises(MienError, match=problem):
        open_expression_folders(tmp_path)


def test_a_damaged_picture_is_named_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_picture(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-20])
    with pytest.raises(MienError, match=r"a\.png cannot be read"):
        PictureFile(tmp_path / "a.png").read()
    assert capfd.readouterr().err == ""
