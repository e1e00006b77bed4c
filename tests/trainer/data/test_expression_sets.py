"""JAFFE, FER2013, FER+, AffectNet, SFEW and RAF-DB in their official layouts, and copies that are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.bundle import CANONICAL_LABELS
from mien.errors import MienError
from tests.trainer.data.layouts import (
    AFFECTNET_POINTS,
    LANDMARKS,
    affectnet_row,
    fer_plus_rows,
    write_affectnet_folders,
    write_affectnet_lists,
    write_fer2013,
    write_fer_plus,
    write_icml_face_data,
    write_jaffe,
    write_picture,
    write_raf_db,
    write_sfew,
)
from trainer.data.sample import Dataset
from trainer.data.sets.affectnet import open_affectnet
from trainer.data.sets.fer2013 import VOTES, majority, open_fer2013, open_fer_plus
from trainer.data.sets.jaffe import open_jaffe
from trainer.data.sets.raf_db import open_raf_db
from trainer.data.sets.sfew import open_sfew

SEVEN = set(CANONICAL_LABELS) - {"contempt"}
Damage = Callable[[Path], object]


def counts(dataset: Dataset) -> dict[str, Counter[str | None]]:
    result: dict[str, Counter[str | None]] = {}
    for sample in dataset:
        result.setdefault(sample.split, Counter())[sample.expression] += 1
    return result


def edit(name: str, old: str, new: str) -> Damage:
    """Replace text in a file."""

    def damage(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new, 1))

    return damage


def cut(name: str, characters: int) -> Damage:
    """Cut the end of a file off."""
    return lambda root: (root / name).write_text((root / name).read_text()[:-characters])


# ---- JAFFE


def test_jaffe_is_read_by_its_names(tmp_path: Path) -> None:
    dataset = open_jaffe(write_jaffe(tmp_path))
    description = dataset.describe()
    assert (description.samples, description.people, description.published) == (42, 2, 213)
    assert description.splits["all"].expressions == dict.fromkeys(sorted(SEVEN), 6)
    first = dataset[0]
    assert (first.picture.name, first.person, first.expression) == (str(tmp_path / "KA.AN1.13.tiff"), "KA", "anger")
    assert first.picture.read()[0, 0, 0] == 13


def test_jaffe_is_read_whatever_the_case_of_its_suffixes(tmp_path: Path) -> None:
    write_jaffe(tmp_path)
    (tmp_path / "KA.HA1.4.tiff").rename(tmp_path / "KA.HA1.4.TIFF")
    (tmp_path / "KA.HA2.5.tiff").rename(tmp_path / "KA.HA2.5.Tif")
    assert len(open_jaffe(tmp_path)) == 42


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda root: [path.unlink() for path in root.glob("*.tiff")], "is missing.*Request.*Lyons"),
        (lambda root: (root / "KA.HA1.4.tiff").rename(root / "KA_happy_1.tiff"), r"KA_happy_1\.tiff is not named"),
        (lambda root: (root / "KA.HA1.4.tiff").rename(root / "KA.CO1.4.tiff"), "'CO'.*no known label"),
        (lambda root: [path.unlink() for path in root.glob("*.FE*")], "no sample of fear"),
    ],
)
def test_another_jaffe_is_refused(tmp_path: Path, damage: Damage, problem: str) -> None:
    damage(write_jaffe(tmp_path))
    with pytest.raises(MienError, match=problem):
        open_jaffe(tmp_path)


# ---- FER2013


@pytest.mark.parametrize("write", [write_fer2013, write_icml_face_data])
def test_both_csv_forms_of_fer2013_give_the_same(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    dataset = open_fer2013(write(tmp_path))
    assert dataset.published == 35_887
    expected = {**dict.fromkeys(SEVEN, 1), "neutral": 2}
    assert counts(dataset) == dict.fromkeys(("train", "validation", "test"), expected)
    assert [sample.expression for sample in dataset][:3] == ["anger", "disgust", "fear"]
    image = dataset[9].picture.read()
    assert image.shape == (48, 48, 3)
    assert set(image.ravel().tolist()) == {11}
    assert dataset[9].picture.encoded()[0] == ".png"


@pytest.mark.parametrize("blank", ["\n", "\r\n", "  \n"])
def test_blank_lines_of_fer2013_are_skipped(tmp_path: Path, blank: str) -> None:
    file = write_fer2013(tmp_path) / "fer2013.csv"
    before = [sample.picture.encoded() for sample in open_fer2013(tmp_path)]
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:10], blank, *lines[10:], blank]), newline="")
    assert [sample.picture.encoded() for sample in open_fer2013(tmp_path)] == before


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda root: (root / "fer2013.csv").unlink(), r"fer2013\.csv is missing.*Kaggle"),
        (edit("fer2013.csv", "emotion,pixels", "label,pixels"), r"fer2013\.csv has no column emotion, but label"),
        (edit("fer2013.csv", "\n1,", "\n7,"), r"fer2013\.csv, row 2: emotion is '7'"),
        (edit("fer2013.csv", ",Training\n1", ",Test\n1"), r"fer2013\.csv, row 1: Usage is 'Test'"),
        (edit("fer2013.csv", "0 0 0", "0 0"), r"fer2013\.csv, row 1: pixels are 2303 numbers"),
        (cut("fer2013.csv", 20), r"fer2013\.csv, row 24: it has 2 fields"),
        (cut("fer2013.csv", 4000), r"fer2013\.csv, row 24: it has 2 fields"),
        (lambda root: (root / "fer2013.csv").write_text("emotion,pixels,Usage\n"), "split train is empty"),
        (lambda root: (root / "fer2013.csv").write_text(""), "has no column emotion, pixels, Usage"),
        (lambda root: (root / "fer2013.csv").write_bytes(b"\xff\xfe\0"), "row 0 is no csv"),
    ],
)
def test_another_fer2013_is_refused(tmp_path: Path, damage: Damage, problem: str) -> None:
    damage(write_fer2013(tmp_path))
    with pytest.raises(MienError, match=problem):
        open_fer2013(tmp_path)


@pytest.mark.parametrize(("old", "new"), [("0 0 0", "0 256 0"), ("0 0 0", "0 -1 0"), ("0 0 0", "0 x 0")])
def test_wrong_pixels_are_named_when_they_are_read(tmp_path: Path, old: str, new: str) -> None:
    edit("fer2013.csv", old, new)(write_fer2013(tmp_path))
    sample = open_fer2013(tmp_path)[0]
    with pytest.raises(MienError, match=r"fer2013\.csv, row 1: pixels"):
        sample.picture.read()


def test_fer_plus_labels_the_same_pictures_with_eight_classes(tmp_path: Path) -> None:
    dataset = open_fer_plus(write_fer_plus(tmp_path, fer_plus_rows()))
    assert counts(dataset) == {split: dict.fromkeys(CANONICAL_LABELS, 1) for split in ("train", "validation", "test")}
    happy = [sample for sample in dataset if sample.expression == "happiness"][1]
    assert set(happy.picture.read().ravel().tolist()) == {11}


def test_fer_plus_leaves_out_what_is_unknown_or_no_face(tmp_path: Path) -> None:
    tail = [
        "Training,,0,0,0,0,0,0,0,0,0,10",
        "Training,fer0000025.png,4,0,0,4,1,1,0,0,0,0",
        "Training,fer0000026.png,0,0,0,0,0,0,0,0,9,1",
        "Training,fer0000027.png,0,0,0,0,0,1,0,0,0,9",
        "Training,fer0000028.png,5,1,1,1,1,1,0,0,0,0",  # single votes do not count: all of the rest is neutral
    ]
    write_fer_plus(tmp_path, fer_plus_rows() + tail)
    with (tmp_path / "fer2013.csv").open("a") as file:
        file.writelines(f"6,{' '.join(['9'] * 48**2)},Training\n" for _ in tail)
    dataset = open_fer_plus(tmp_path)
    assert dataset.left_out == {"no face": 2, "no majority, or unknown": 2}
    assert counts(dataset)["train"]["neutral"] == 2


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda root: (root / "fer2013new.csv").unlink(), r"fer2013new\.csv is missing.*Microsoft"),
        (edit("fer2013new.csv", fer_plus_rows()[-1] + "\n", ""), r"fer2013new\.csv has 23 rows, .*fer2013\.csv has 24"),
        (cut("fer2013new.csv", 5), r"fer2013new\.csv, row 24: it has 10 fields instead of 12"),
        (edit("fer2013new.csv", "Training,fer0000001", "PublicTest,fer0000001"), r"row 2: Usage is PublicTest"),
        (edit("fer2013new.csv", "contempt", "boredom"), "has no column contempt"),
        (edit("fer2013new.csv", "png,9", "png,many"), r"row 1: neutral is 'many'"),
    ],
)
def test_another_fer_plus_is_refused(tmp_path: Path, damage: Damage, problem: str) -> None:
    damage(write_fer_plus(tmp_path, fer_plus_rows()))
    with pytest.raises(MienError, match=problem):
        open_fer_plus(tmp_path)


@given(st.lists(st.integers(0, 10), min_size=10, max_size=10))
def test_a_majority_has_more_than_half_of_the_votes_that_count(votes: list[int]) -> None:
    by_name = dict(zip(VOTES, map(float, votes), strict=True))
    counted = {name: count for name, count in by_name.items() if count > 1}
    label = majority(by_name)
    over_half = [name for name, count in counted.items() if 2 * count > sum(counted.values())]
    assert label == (over_half[0] if over_half else "unknown")


# ---- AffectNet


@pytest.mark.parametrize("below", ["", "Manually_Annotated_file_lists"])
def test_affectnet_lists_give_box_landmarks_and_affect(tmp_path: Path, below: str) -> None:
    dataset = open_affectnet(write_affectnet_lists(tmp_path, below))
    assert len(dataset) == 18
    assert dataset.left_out == {"no face": 2, "neither a class nor valence and arousal": 2}
    expected: dict[str | None, int] = {**dict.fromkeys(CANONICAL_LABELS, 1), None: 1}
    assert counts(dataset) == {"train": expected, "validation": expected}
    fear = next(sample for sample in dataset if sample.expression == "fear")
    assert (fear.valence, fear.arousal) == pytest.approx((0.4, -0.4))
    assert fear.box is not None
    assert (fear.box.x, fear.box.y, fear.box.width, fear.box.height) == (12, 14, 80, 82)
    np.testing.assert_allclose(fear.landmarks, LANDMARKS, atol=0.01)  # type: ignore[arg-type]
    assert fear.picture.read().shape == (8, 8, 3)
    none = dataset[8]
    assert (none.expression, none.valence, none.arousal) == (None, 0.25, -0.125)


def test_affectnet_knows_no_affect_from_minus_two(tmp_path: Path) -> None:
    write_affectnet_lists(tmp_path)
    with (tmp_path / "training.csv").open("a") as file:
        file.write(affectnet_row("1/0000.jpg", 1, "-2", "-2") + "\n")
        file.write(affectnet_row("1/0000.jpg", 2, "-2.0", "0.5").replace(AFFECTNET_POINTS, "NULL") + "\n")
        file.write("1/0000.jpg,NULL,NULL,NULL,NULL,NULL,3,0.1,0.2\n")
    happy, sad, surprised = list(open_affectnet(tmp_path))[9:12]
    assert (happy.expression, happy.valence, happy.arousal) == ("happiness", None, None)
    assert (sad.valence, sad.arousal, sad.landmarks) == (None, 0.5, None)
    assert sad.box is not None
    assert surprised.box is None


def test_a_blank_line_at_the_end_of_a_list_is_skipped(tmp_path: Path) -> None:
    write_affectnet_lists(tmp_path)
    with (tmp_path / "training.csv").open("a") as file:
        file.write("\n\r\n")
    assert len(open_affectnet(tmp_path)) == 18


def test_affectnet_folders_leave_out_what_has_neither_a_class_nor_affect(tmp_path: Path) -> None:
    write_affectnet_folders(tmp_path)
    for number, valence in ((8, -2.0), (9, 0.5)):
        write_picture(tmp_path / f"train_set/images/{number}.jpg")
        np.save(tmp_path / f"train_set/annotations/{number}_exp.npy", np.array(8))
        np.save(tmp_path / f"train_set/annotations/{number}_lnd.npy", LANDMARKS.ravel())
        for kind in ("val", "aro"):
            np.save(tmp_path / f"train_set/annotations/{number}_{kind}.npy", np.array(valence))
    dataset = open_affectnet(tmp_path)
    assert dataset.left_out == {"no face": 2, "neither a class nor valence and arousal": 1}
    assert [(sample.valence, sample.arousal) for sample in dataset if sample.expression is None] == [(0.5, 0.5)]


def test_affectnet_folders_are_read_without_unpickling(tmp_path: Path) -> None:
    dataset = open_affectnet(write_affectnet_folders(tmp_path))
    expected = dict.fromkeys(CANONICAL_LABELS, 1)
    assert counts(dataset) == {"train": expected, "validation": expected}
    assert dataset.left_out == {"no face": 2}
    fear = next(sample for sample in dataset if sample.expression == "fear")
    assert (fear.valence, fear.arousal, fear.box) == (0.4, -0.4, None)
    np.testing.assert_allclose(fear.landmarks, LANDMARKS, atol=1e-4)  # type: ignore[arg-type]
    np.save(tmp_path / "train_set/annotations/0_exp.npy", np.array(["0", None], object), allow_pickle=True)
    with pytest.raises(MienError, match=r"0_exp\.npy cannot be read"):
        open_affectnet(tmp_path)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda root: (root / "training.csv").unlink(), r"training\.csv is missing.*Mahoor"),
        (lambda root: (root / "Manually_Annotated_Images").rename(root / "x"), "Manually_Annotated_Images is missing"),
        (edit("training.csv", "face_width", "width"), r"training\.csv has no column face_width"),
        (edit("training.csv", ",1,0.1,-0.1", ",11,0.1,-0.1"), r"training\.csv, row 2: expression is '11'"),
        (edit("training.csv", ",1,0.1,-0.1", ",1,1.1,-0.1"), r"training\.csv, row 2: valence is 1\.1"),
        (edit("training.csv", ",1,0.1,-0.1", ",1,0.1,calm"), r"training\.csv, row 2: arousal is 'calm'"),
        (edit("training.csv", "1/0001.jpg", "../1.jpg"), r"training\.csv, row 2: \.\./1\.jpg is not inside"),
        (edit("training.csv", "1/0001.jpg", "/1/0001.jpg"), r"training\.csv, row 2: /1/0001\.jpg is not inside"),
        (edit("training.csv", "1/0001.jpg", "1/0001.npy"), r"row 2: '1/0001\.npy' is no picture file"),
        (edit("training.csv", "12,14", "12,left"), r"training\.csv, row 1: face_y is 'left'"),
        (edit("training.csv", AFFECTNET_POINTS, "1;2;3"), r"training\.csv, row 1: landmarks are not 68 points"),
        (cut("training.csv", 300), r"training\.csv, row 11: it has 6 fields instead of 9"),
        (edit("validation.csv", ",7,0.7,-0.7", ",6,0.7,-0.7"), "split validation has no sample of contempt"),
        (lambda root: (root / "validation.csv").write_text(""), r"validation\.csv has no column"),
    ],
)
def test_another_affectnet_is_refused(tmp_path: Path, damage: Damage, problem: str) -> None:
    damage(write_affectnet_lists(tmp_path))
    with pytest.raises(MienError, match=problem):
        open_affectnet(tmp_path)


def replaced(kind: str, value: object) -> Damage:
    return lambda root: np.save(root / f"train_set/annotations/4_{kind}.npy", np.array(value))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda root: (root / "val_set").rename(root / "x"), r"val_set/images is missing"),
        (lambda root: (root / "train_set/annotations/4_exp.npy").unlink(), r"4_exp\.npy is missing"),
        (lambda root: (root / "train_set/annotations/4_exp.npy").write_bytes(b"x"), r"4_exp\.npy cannot be read"),
        (lambda root: (root / "train_set/annotations/4_aro.npy").unlink(), r"4_aro\.npy is missing"),
        (replaced("exp", 12), r"4_exp\.npy: expression is '12'"),
        (replaced("exp", [1, 2]), r"4_exp\.npy holds 2 values"),
        (replaced("val", "3"), r"4_val\.npy holds 3, neither"),
        (replaced("lnd", [1.0]), r"4_lnd\.npy: landmarks are not 68 points"),
    ],
)
def test_another_folder_form_of_affectnet_is_refused(tmp_path: Path, damage: Damage, problem: str) -> None:
    damage(write_affectnet_folders(tmp_path))
    with pytest.raises(MienError, match=problem):
        list(open_affectnet(tmp_path))


# ---- SFEW 2.0


@pytest.mark.parametrize(
    ("train", "validation", "pictures"),
    [
        ("Train", "Val", "frames"),
        ("Train_Aligned_Faces", "Val_Aligned_Faces_new", "aligned"),
        ("Train/Train_Aligned_Faces", "Val/Val_Aligned_Faces", "aligned"),
    ],
)
def test_sfew_is_read_from_the_folders_of_its_classes(
    tmp_path: Path, train: str, validation: str, pictures: str
) -> None:
    dataset = open_sfew(write_sfew(tmp_path, train, validation), pictures)
    expected = dict.fromkeys(SEVEN, 1)
    assert counts(dataset) == {"train": expected, "validation": expected}
    assert (dataset[0].sequence, dataset[0].frame, dataset[0].expression) == ("Airheads_000519240", 5, "anger")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda root: (root / "Val").rename(root / "Validation"), "Val is missing.*Dhall"),
        (lambda root: (root / "Train/Angry").rename(root / "Train/Furious"), "'Furious'.*no known label"),
        (lambda root: [path.unlink() for path in (root / "Val/Fear").iterdir()], "validation has no sample of fear"),
    ],
)
def test_another_sfew_is_refused(tmp_path: Path, damage: Damage, problem: str) -> None:
    damage(write_sfew(tmp_path))
    with pytest.raises(MienError, match=problem):
        open_sfew(tmp_path)


# ---- RAF-DB


@pytest.mark.parametrize("below", ["", "basic"])
def test_raf_db_is_read_by_its_list(tmp_path: Path, below: str) -> None:
    write_raf_db(tmp_path / below)
    aligned, original = open_raf_db(tmp_path), open_raf_db(tmp_path, "original")
    expected = dict.fromkeys(SEVEN, 1)
    assert counts(aligned) == counts(original) == {"train": expected, "test": expected}
    assert aligned[1].expression == original[1].expression == "fear"
    assert aligned[1].picture.name.endswith("train_00002_aligned.jpg")
    assert original[1].picture.name.endswith("train_00002.jpg")
    assert aligned[1].box is None
    assert original[1].box is not None
    assert (original[1].box.width, original[1].box.height) == (20.5, 30)


LIST = "EmoLabel/list_patition_label.txt"


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda root: (root / LIST).unlink(), "list_patition_label.txt is missing.*Beijing"),
        (edit(LIST, "train_00003.jpg 3", "train_00003.jpg 8"), "row 3: the label is '8'"),
        (edit(LIST, "train_00003.jpg 3", "train_00003.jpg"), r"row 3: it is 'train_00003\.jpg' instead"),
        (edit(LIST, "train_00003.jpg", "dev_00003.jpg"), "row 3: dev_00003.jpg is in no split"),
        (lambda root: (root / "Image/aligned/test_0001_aligned.jpg").unlink(), "test_0001_aligned.jpg is missing"),
        (edit(LIST, "test_0007.jpg 7", "test_0007.jpg 6"), "split test has no sample of neutral"),
    ],
)
def test_another_raf_db_is_refused(tmp_path: Path, damage: Damage, problem: str) -> None:
    damage(write_raf_db(tmp_path))
    with pytest.raises(MienError, match=problem):
        open_raf_db(tmp_path)


def test_a_wrong_box_of_raf_db_is_named(tmp_path: Path) -> None:
    write_raf_db(tmp_path)
    box = tmp_path / "Annotation/boundingbox/train_00001_boundingbox.txt"
    box.write_text("1 2 3")
    with pytest.raises(MienError, match=r"train_00001_boundingbox\.txt does not hold a box"):
        open_raf_db(tmp_path, "original")
    box.unlink()
    with pytest.raises(MienError, match=r"train_00001_boundingbox\.txt is missing"):
        open_raf_db(tmp_path, "original")


def test_nothing_is_decoded_before_a_picture_is_read(tmp_path: Path) -> None:
    write_raf_db(tmp_path)
    path = write_picture(tmp_path / "Image/aligned/train_00001_aligned.jpg", side=64)
    path.write_bytes(path.read_bytes()[:-100])
    dataset = open_raf_db(tmp_path)
    assert dataset.describe().samples == 14
    with pytest.raises(MienError, match=r"train_00001_aligned\.jpg cannot be read: .*cut off"):
        dataset[0].picture.read()
