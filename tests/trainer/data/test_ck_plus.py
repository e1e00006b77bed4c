"""CK+ in its official layout, and which frames each selection uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from tests.trainer.data.layouts import LANDMARKS, write_ck_plus
from trainer.data.sets.ck_plus import SELECTIONS, open_ck_plus
from trainer.data.splits import divide
from trainer.stages.recipe import Split

SIX = {"anger", "disgust", "fear", "happiness", "sadness", "surprise"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ck_plus(tmp_path_factory.mktemp("ck"))


@pytest.mark.parametrize(
    ("selection", "samples", "classes", "neutral"),
    [
        ("6-small", 6, SIX, 0),
        ("7-without-neutral-small", 7, SIX | {"contempt"}, 0),
        ("7-without-contempt-small", 13, SIX | {"neutral"}, 7),
        ("8-small", 14, SIX | {"contempt", "neutral"}, 7),
        ("6-large", 18, SIX, 0),
        ("7-without-neutral-large", 21, SIX | {"contempt"}, 0),
        ("7-without-contempt-large", 25, SIX | {"neutral"}, 7),
        ("8-large", 28, SIX | {"contempt", "neutral"}, 7),
    ],
)
def test_the_eight_configurations_of_paper_003(
    folder: Path, selection: str, samples: int, classes: set[str], neutral: int
) -> None:
    dataset = open_ck_plus(folder, selection)
    counts = Counter(sample.expression for sample in dataset)
    assert set(counts) == classes
    assert (len(dataset), counts["neutral"]) == (samples, neutral)
    last = {"small": {10}, "large": {8, 9, 10}}[selection.rpartition("-")[2]]
    assert {sample.frame for sample in dataset if sample.expression != "neutral"} == last
    assert {sample.frame for sample in dataset if sample.expression == "neutral"} <= {1}


def test_the_published_numbers_of_samples_follow_from_table_1_of_paper_003() -> None:
    labelled, contempt = 327, 18
    for name, selection in SELECTIONS.items():
        if name != "threshold":
            used = labelled if selection.contempt else labelled - contempt
            assert selection.published == used * selection.last + labelled * selection.neutral
    assert SELECTIONS["8-large"].published == 1308  # paper 004


def test_the_threshold_of_paper_001_tells_frames_of_a_sequence_apart(folder: Path) -> None:
    dataset = open_ck_plus(folder, "threshold")
    frames = {sample.frame: sample.expression for sample in dataset if sample.person == "S010"}
    assert frames == {**dict.fromkeys((1, 2, 3), "neutral"), **dict.fromkeys((6, 7, 8, 9, 10), "surprise")}


def test_a_sample_names_person_sequence_and_landmarks(folder: Path) -> None:
    sample = next(iter(open_ck_plus(folder, "6-small")))
    assert (sample.person, sample.sequence, sample.frame, sample.expression) == ("S005", "S005_001", 10, "disgust")
    assert sample.landmarks is not None
    np.testing.assert_allclose(sample.landmarks, LANDMARKS + np.array([0, 10], np.float32), atol=1e-4)
    assert sample.picture.read().shape == (8, 8, 3)
    assert sample.picture.read()[0, 0, 0] == 10


def test_sequences_without_a_label_are_left_out_and_counted(folder: Path) -> None:
    description = open_ck_plus(folder, "8-small").describe()
    assert description.left_out["sequences without a label"] == 3
    assert description.people == 7  # S999 has no label
    assert description.published == 654
    assert description.splits["all"].landmarks == 14


@pytest.mark.parametrize("emotions", ["Emotion_labels", "Emotion_Labels"])
def test_archives_unpacked_into_folders_of_their_own_are_found(folder: Path, tmp_path: Path, emotions: str) -> None:
    for name, inner in (("extended-cohn-kanade-images", "cohn-kanade-images"), (emotions, "Emotion")):
        (tmp_path / name).mkdir()
        (tmp_path / name / inner).symlink_to(folder / inner)
    assert len(open_ck_plus(tmp_path)) == 28


def test_landmarks_are_optional(folder: Path, tmp_path: Path) -> None:
    for name in ("cohn-kanade-images", "Emotion"):
        (tmp_path / name).symlink_to(folder / name)
    assert open_ck_plus(tmp_path)[0].landmarks is None


def test_folds_never_share_a_person(folder: Path) -> None:
    people = [str(sample.person) for sample in open_ck_plus(folder, "8-large")]
    folds = divide(open_ck_plus(folder, "8-large"), Split("folds", folds=3, by_person=True), seed=0)
    tested = [{people[number] for number in fold.test} for fold in folds]
    assert tested == [{"S005", "S014", "S037"}, {"S010", "S022"}, {"S011", "S026"}]
    for fold, unseen in zip(folds, tested, strict=True):
        assert {people[number] for number in fold.train} == set(people) - unseen


def emotion(root: Path) -> Path:
    return root / "Emotion/S005/001/S005_001_00000010_emotion.txt"


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda root: (root / "Emotion").rename(root / "Emotions"), "Emotion is missing.*Request.*Pittsburgh"),
        (lambda root: (root / "cohn-kanade-images").rename(root / "images"), "cohn-kanade-images is missing"),
        (lambda root: emotion(root).write_text("8.0000000e+00"), r"S005_001_00000010_emotion\.txt.*'8'.*no known"),
        (lambda root: emotion(root).write_text("happy"), r"_emotion\.txt: the emotion is 'happy'"),
        (lambda root: emotion(root).write_bytes(b""), r"_emotion\.txt: the emotion is ''"),
        (lambda root: emotion(root).unlink(), "has no sample of disgust"),
        (
            lambda root: (root / "cohn-kanade-images/S005/001/S005_001_00000010.png").unlink(),
            "S005/001: there must be one label, that of a frame",
        ),
        (
            lambda root: emotion(root).with_name("S005_001_00000009_emotion.txt").write_text("1.0"),
            "S005/001: there must be one label",
        ),
        (
            lambda root: (root / "cohn-kanade-images/S005/001/S010_001_00000001.png").touch(),
            r"S010_001_00000001\.png is not named like a frame of S005/001",
        ),
        (lambda root: (root / "cohn-kanade-images/S005/009").mkdir(), "S005/009 has no frames"),
    ],
)
def test_a_wrong_copy_is_refused(tmp_path: Path, damage: Callable[[Path], object], problem: str) -> None:
    damage(write_ck_plus(tmp_path))
    with pytest.raises(MienError, match=problem):
        open_ck_plus(tmp_path)


def test_unknown_selections_are_named(folder: Path) -> None:
    with pytest.raises(MienError, match=r"'9-small'.*6-small"):
        open_ck_plus(folder, "9-small")


@pytest.mark.parametrize("text", ["1 2 3", "", "x y\n" * 68, "nan nan\n" * 68])
def test_wrong_landmarks_are_named_when_they_are_read(tmp_path: Path, text: str) -> None:
    write_ck_plus(tmp_path)
    (tmp_path / "Landmarks/S005/001/S005_001_00000010_landmarks.txt").write_text(text)
    dataset = open_ck_plus(tmp_path, "6-small")
    with pytest.raises(MienError, match=r"S005_001_00000010_landmarks\.txt: landmarks are not 68 points"):
        dataset[0]


def test_missing_landmarks_are_named_when_they_are_read(tmp_path: Path) -> None:
    write_ck_plus(tmp_path)
    (tmp_path / "Landmarks/S005/001/S005_001_00000010_landmarks.txt").unlink()
    with pytest.raises(MienError, match=r"S005_001_00000010_landmarks\.txt is missing"):
        open_ck_plus(tmp_path, "6-small")[0]


def test_a_damaged_picture_is_named_when_it_is_read(tmp_path: Path) -> None:
    write_ck_plus(tmp_path)
    path = tmp_path / "cohn-kanade-images/S005/001/S005_001_00000010.png"
    path.write_bytes(path.read_bytes()[:20])
    sample = open_ck_plus(tmp_path, "6-small")[0]
    with pytest.raises(MienError, match=r"S005_001_00000010\.png cannot be read"):
        sample.picture.read()
    path.unlink()
    with pytest.raises(MienError, match=r"S005_001_00000010\.png cannot be read"):
        sample.picture.read()
