"""VGGFace2, MS-Celeb-1M and ImageNet in their official layouts."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.errors import MienError
from tests.trainer.data.layouts import write_imagenet, write_ms_celeb, write_picture, write_vggface2
from trainer.data.sample import Dataset
from trainer.data.sets.folders import open_imagenet
from trainer.data.sets.ms_celeb import open_ms_celeb
from trainer.data.sets.vggface2 import open_vggface2

Damage = Callable[[Path], object]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_vggface2_gives_people_and_boxes(tmp_path: Path) -> None:
    dataset = open_vggface2(write_vggface2(tmp_path))
    found = [(sample.split, sample.person, Path(sample.picture.name).name) for sample in dataset]
    assert found == [
        *[("train", "n000002", f"000{number}_01.jpg") for number in (1, 2)],
        *[("train", "n000003", f"000{number}_01.jpg") for number in (1, 2)],
        *[("test", "n000001", f"000{number}_01.jpg") for number in (1, 2)],
    ]
    boxes = [sample.box for sample in dataset]
    assert [(box.x, box.y, box.width, box.height) for box in boxes if box] == [(1, 2, 30, 40), (2, 2, 30, 40)] * 3
    description = dataset.describe()
    assert (description.people, description.splits["train"].people, description.splits["test"].people) == (3, 2, 1)
    assert dataset[5].picture.read().shape == (8, 8, 3)
    with pytest.raises(IndexError):
        dataset[6]


def test_vggface2_without_its_boxes(tmp_path: Path) -> None:
    write_vggface2(tmp_path)
    (tmp_path / "bb_landmark").rename(tmp_path / "elsewhere")
    assert open_vggface2(tmp_path)[0].box is None


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda root: (root / "test").rename(root / "x"), "test is missing.*Oxford"),
        (lambda root: write_picture(root / "test/n000002/0009_01.jpg"), r"n000002 \(test, train\)"),
        (lambda root: (root / "train/n000009").mkdir(), "n000009 holds no pictures"),
        (
            lambda root: (root / "train/n000002/0001_01.jpg").unlink(),
            r"row 1: there is no picture n000002/0001_01\.jpg",
        ),
        (
            lambda root: (root / "bb_landmark/loose_bb_test.csv").write_text("NAME_ID,X,Y\na,1,2\n"),
            r"loose_bb_test\.csv has no column W, H",
        ),
        (
            lambda root: (root / "bb_landmark/loose_bb_test.csv").write_text(
                "NAME_ID,X,Y,W,H\nn000001/0001_01,1,2,w,4\n"
            ),
            "row 1: W is 'w'",
        ),
    ],
)
def test_another_vggface2_is_refused(tmp_path: Path, damage: Damage, problem: str) -> None:
    damage(write_vggface2(tmp_path))
    with pytest.raises(MienError, match=problem):
        open_vggface2(tmp_path)


@pytest.mark.parametrize("below", ["", "data/aligned_face_images"])
def test_ms_celeb_reads_pictures_out_of_its_one_file(tmp_path: Path, below: str) -> None:
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    write_ms_celeb(tmp_path / below)
    dataset = open_ms_celeb(tmp_path)
    assert [sample.person for sample in dataset] == [f"m.0{number}107_f" for number in (0, 0, 1, 1, 2, 2)]
    assert [int(sample.picture.read().mean()) for sample in dataset] == pytest.approx([0, 20, 40, 60, 80, 100], abs=2)
    assert dataset[0].picture.encoded()[0] == ".jpg"


def test_ms_celeb_is_indexed_once_and_again_when_it_has_changed(tmp_path: Path, cache: Path) -> None:
    write_ms_celeb(tmp_path)
    assert len(open_ms_celeb(tmp_path)) == 6
    (index,) = (cache / "indexes").iterdir()
    made = index.stat().st_mtime_ns
    assert len(open_ms_celeb(tmp_path)) == 6
    assert index.stat().st_mtime_ns == made
    index.write_bytes(b"damaged")
    assert len(open_ms_celeb(tmp_path)) == 6
    write_ms_celeb(tmp_path, rows=8)
    os.utime(tmp_path / "FaceImageCroppedWithAlignment.tsv", ns=(1, 1))
    assert len(open_ms_celeb(tmp_path)) == 8


def cut_file(root: Path, size: int) -> None:
    path = root / "FaceImageCroppedWithAlignment.tsv"
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda root: (root / "FaceImageCroppedWithAlignment.tsv").unlink(), r"\.tsv is missing.*withdrew"),
        (lambda root: cut_file(root, 20), r"\.tsv, row 1: it has 4 columns instead of 7"),
        (lambda root: cut_file(root, 0), r"\.tsv is empty"),
    ],
)
def test_another_ms_celeb_is_refused(tmp_path: Path, damage: Damage, problem: str) -> None:
    damage(write_ms_celeb(tmp_path))
    with pytest.raises(MienError, match=problem):
        open_ms_celeb(tmp_path)


def test_a_picture_cut_off_within_ms_celeb_is_named(tmp_path: Path) -> None:
    write_ms_celeb(tmp_path)
    cut_file(tmp_path, (tmp_path / "FaceImageCroppedWithAlignment.tsv").stat().st_size - 50)
    dataset = open_ms_celeb(tmp_path)
    with pytest.raises(MienError, match=r"\.tsv, row 6"):
        dataset[5].picture.read()


def test_imagenet_gives_categories(tmp_path: Path) -> None:
    dataset = open_imagenet(write_imagenet(tmp_path))
    assert [(sample.split, sample.category) for sample in dataset] == [
        *[("train", "n01440764"), ("train", "n01443537")],
        *[("validation", "n01440764"), ("validation", "n01443537")],
    ]
    description = dataset.describe()
    assert (description.published, description.splits["train"].categories) == (1_331_167, 2)
    assert dataset[3].picture.read().shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda root: (root / "train").rename(root / "x"), "train is missing.*Princeton"),
        (
            lambda root: [path.rename(root / path.name) for path in (root / "val").iterdir()],
            "val/n01440764 is missing.*sorted into",
        ),
        (lambda root: write_picture(root / "val/n99999999/a.JPEG"), "split train has no sample of n99999999"),
    ],
)
def test_another_imagenet_is_refused(tmp_path: Path, damage: Damage, problem: str) -> None:
    damage(write_imagenet(tmp_path))
    with pytest.raises(MienError, match=problem):
        open_imagenet(tmp_path)


@pytest.mark.parametrize(
    ("write", "open_it"),
    [(write_vggface2, open_vggface2), (write_ms_celeb, open_ms_celeb), (write_imagenet, open_imagenet)],
)
def test_a_data_set_can_be_sent_to_other_processes(
    tmp_path: Path, write: Callable[[Path], Path], open_it: Callable[[Path], Dataset]
) -> None:
    dataset = open_it(write(tmp_path))
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        sender.send(dataset)
        copy = receiver.recv()
    assert [sample.picture.name for sample in copy] == [sample.picture.name for sample in dataset]
