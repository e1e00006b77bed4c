"""Shards: what goes in comes out, shuffled, from any position, in little memory."""

from __future__ import annotations

import errno
import json
import multiprocessing
import shutil
import tarfile
import time
from collections.abc import Callable
from itertools import chain, islice, pairwise
from pathlib import Path

import cv2
import msgspec
import numpy as np
import psutil
import pytest

from mien.errors import MienError
from mien.faces.detector import Box
from tests.trainer.data.layouts import LANDMARKS, write_picture
from trainer.data.output import sole_writer
from trainer.data.pictures import PictureBytes, PictureFile, encode_png
from trainer.data.sample import Dataset, Sample, SampleList
from trainer.data.sets.folders import open_expression_folders
from trainer.data.shards import ShardIndex, ShardStream, open_stream, read_index, write_shards


class Generated(Dataset):
    """Small pictures; every fifth is in the test split. `broken` cannot be read."""

    def __init__(self, size: int, broken: int | None = None) -> None:
        self.name, self._size, self._broken = "generated", size, broken
        self._png = [encode_png(np.full((8, 8), shade, np.uint8)) for shade in range(256)]

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> Sample:
        split = "test" if index % 5 == 4 else "train"
        picture = PictureBytes(f"picture {index}", ".png", self._png[index % 256])
        return Sample(
            PictureFile(Path("missing.png")) if index == self._broken else picture,
            split,
            person=f"person {index % 7}",
            expression="fear" if index % 2 else None,
            valence=index / self._size,
            arousal=-index / self._size,
            box=Box(1, 2, index + 1, 4) if index % 3 else None,
            landmarks=LANDMARKS + index if index % 4 == 0 else None,
            sequence="walk",
            frame=index,
        )


class Many(Generated):
    """Pictures with a label each, all in one split."""

    def __getitem__(self, index: int) -> Sample:
        return Sample(PictureBytes("", ".png", self._png[index % 256]), "train", expression="anger", frame=index)


def silent(done: int, total: int) -> None:
    del done, total


def frames(stream: ShardStream) -> list[int]:
    return [sample.frame or 0 for sample in stream]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "out"
    write_shards(Generated(500), out, seed=3, tell=silent, records_per_shard=20)
    return out


def test_records_come_out_as_they_went_in(folder: Path) -> None:
    dataset = Generated(500)
    given = {sample.frame: sample for split in ("train", "test") for sample in open_stream(folder, split, seed=0)}
    assert sorted(map(int, given)) == list(range(500))  # type: ignore[arg-type]
    for expected in dataset:
        sample = given[expected.frame]
        for name in ("split", "person", "expression", "category", "valence", "arousal", "box", "sequence"):
            assert getattr(sample, name) == getattr(expected, name), name
        assert sample.picture.encoded() == expected.picture.encoded()
        if expected.landmarks is None:
            assert sample.landmarks is None
        else:
            np.testing.assert_allclose(sample.landmarks, expected.landmarks, atol=1e-4)  # type: ignore[arg-type]
    assert given[300].picture.read()[0, 0].tolist() == [300 % 256] * 3


def test_the_order_is_random_but_the_same_for_seed_and_epoch(folder: Path) -> None:
    first = frames(open_stream(folder, "train", seed=1))
    assert first == frames(open_stream(folder, "train", seed=1))
    others = [
        frames(open_stream(folder, "train", seed=2)),
        frames(open_stream(folder, "train", seed=1, epoch=1)),
    ]
    for other in others:
        assert sorted(other) == sorted(first)
        assert other != first
    neighbours = sum(abs(a - b) == 1 for a, b in pairwise(first))
    assert neighbours < 20  # of 400; a random order has about two
    assert abs(np.corrcoef(np.arange(len(first)), first)[0, 1]) < 0.2


@pytest.mark.parametrize("position", [0, 1, 79, 80, 81, 237, 399, 400])
def test_a_stream_goes_on_from_any_position(folder: Path, position: int) -> None:
    whole = frames(open_stream(folder, "train", seed=1, epoch=4))
    stream = open_stream(folder, "train", seed=1, epoch=4)
    before = [sample.frame for sample in islice(stream, position)]
    assert stream.position == position
    assert before == whole[:position]
    assert frames(open_stream(folder, "train", seed=1, epoch=4, position=stream.position)) == whole[position:]


def test_parts_share_the_records_out(folder: Path) -> None:
    parts = [open_stream(folder, "train", seed=1, part=part, parts=3) for part in range(3)]
    given = [frames(part) for part in parts]
    assert [len(part) for part in parts] == [len(part) for part in given]
    assert sorted(chain.from_iterable(given)) == [number for number in range(500) if number % 5 != 4]
    with pytest.raises(MienError, match="5 shards of the split test, which 6 processes cannot share"):
        open_stream(folder, "test", seed=1, parts=6)


def test_the_same_data_and_seed_give_the_same_files(folder: Path, tmp_path: Path) -> None:
    write_shards(Generated(500), tmp_path / "again", seed=3, tell=silent, records_per_shard=20)
    names = sorted(path.name for path in folder.glob("[!.]*"))
    assert len(names) == 20 + 5 + 1
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_other_programs_can_read_a_shard(folder: Path) -> None:
    with tarfile.open(folder / "train-000000.tar") as tar:
        names = tar.getnames()
        label = tar.extractfile(names[0])
        assert label is not None
        labels = json.loads(label.read())
    assert len(names) == 40
    assert {name.partition(".")[2] for name in names} == {"json", "png"}
    assert names[0].partition(".")[0] == f"{labels['frame']:08d}"


def test_an_interrupted_run_goes_on_and_ends_the_same(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    broken = next(sample.frame for sample in open_stream(folder, "train", seed=9, position=170))
    with pytest.raises(MienError, match=r"missing\.png cannot be read"):
        write_shards(Generated(500, broken), out, seed=3, tell=silent, records_per_shard=20)
    with pytest.raises(MienError, match=r"holds \d+ of 500 records of generated.*goes on where it stopped"):
        open_stream(out, "test", seed=0)
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    assert not list(out.glob(".*.partial"))
    done: list[int] = []
    write_shards(Generated(500), out, 3, lambda now, total: done.append(now), records_per_shard=20)
    assert done[0] == 20 * len(kept)
    assert done[-1] == 500
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert read_index(out) == read_index(folder)
    for path in folder.glob("*.tar"):
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_a_full_disk_leaves_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        written.append(target.name)
        if target.name == "test-000002.tar":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(MienError, match=r"test-000002\.tar cannot be written: the disk is full.*same command"):
        write_shards(Generated(500), tmp_path, 3, silent, records_per_shard=20)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(".lock", "index.json", "test-000000.tar", "test-000001.tar"),
    ]
    monkeypatch.undo()
    assert write_shards(Generated(500), tmp_path, 3, silent, records_per_shard=20).complete


def test_a_folder_of_other_shards_is_not_touched(folder: Path) -> None:
    before = sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir() if path.name != ".lock")
    for dataset, seed, size in ((Generated(500), 4, 20), (Generated(501), 3, 20), (Generated(500), 3, 21)):
        with pytest.raises(MienError, match="already holds shards of generated, seed 3"):
            write_shards(dataset, folder, seed, silent, records_per_shard=size)
    after = sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir() if path.name != ".lock")
    assert after == before


def write_faces(root: Path) -> None:
    """Pictures whose files differ in size from class to class."""
    for label, side in (("anger", 8), ("fear", 16)):
        for number in range(5):
            write_picture(root / label / f"{number}.png", number, side)


def test_shards_of_data_that_have_changed_are_not_kept(tmp_path: Path) -> None:
    faces, out = tmp_path / "faces", tmp_path / "out"
    write_faces(faces)
    write_shards(open_expression_folders(faces), out, 0, silent, records_per_shard=4)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in out.iterdir() if path.name != ".lock")
    (faces / "anger").rename(faces / "x")
    (faces / "fear").rename(faces / "anger")
    (faces / "x").rename(faces / "fear")
    with pytest.raises(MienError, match=r"out/all-00000\d\.tar was made from other labels or pictures"):
        write_shards(open_expression_folders(faces), out, 0, silent, records_per_shard=4)
    after = sorted((path.name, path.stat().st_mtime_ns) for path in out.iterdir() if path.name != ".lock")
    assert after == before


def test_a_data_set_may_move_between_runs(tmp_path: Path) -> None:
    write_faces(tmp_path / "faces")
    write_shards(open_expression_folders(tmp_path / "faces"), tmp_path / "out", 0, silent, records_per_shard=4)
    shutil.move(tmp_path / "faces", tmp_path / "moved")
    (tmp_path / "out/all-000001.tar").unlink()
    assert write_shards(
        open_expression_folders(tmp_path / "moved"), tmp_path / "out", 0, silent, records_per_shard=4
    ).complete


def test_a_damaged_picture_is_named_and_can_be_replaced(tmp_path: Path) -> None:
    write_faces(tmp_path / "faces")
    broken = tmp_path / "faces/fear/3.png"
    good = broken.read_bytes()
    broken.write_bytes(good[:40])
    with pytest.raises(MienError, match=r"faces/fear/3\.png cannot be read"):
        write_shards(open_expression_folders(tmp_path / "faces"), tmp_path / "out", 0, silent, records_per_shard=2)
    broken.write_bytes(good)
    dataset = open_expression_folders(tmp_path / "faces")
    assert write_shards(dataset, tmp_path / "out", 0, silent, records_per_shard=2).complete


@pytest.mark.parametrize("name", ["picture", "picture.json"])
def test_only_picture_files_are_packed(tmp_path: Path, name: str) -> None:
    path = write_picture(tmp_path / "a.png").rename(tmp_path / name)
    dataset = SampleList("one", [Sample(PictureFile(path), "train")])
    with pytest.raises(MienError, match=f"{name} is no picture file"):
        write_shards(dataset, tmp_path / "out", 0, silent)
    assert not list((tmp_path / "out").glob("*.tar"))


def _hold(folder: Path, held: object, release: object) -> None:
    with sole_writer(folder):
        held.set()  # type: ignore[attr-defined]
        release.wait(60)  # type: ignore[attr-defined]


def test_two_writers_do_not_share_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, release))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(MienError, match="another process is writing there"):
            write_shards(Generated(10), tmp_path, 0, silent)
    finally:
        release.set()
        other.join(60)
    assert write_shards(Generated(10), tmp_path, 0, silent).complete


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda path: path.unlink(), r"000\.tar cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:9000]), r"000\.tar"),
        (lambda path: path.write_bytes(b""), r"000\.tar"),
        (lambda path: path.write_bytes(b"\0" * 10240), r"000\.tar holds 0 records instead of 10"),
    ],
)
def test_a_damaged_shard_is_named_and_can_be_made_anew(
    tmp_path: Path, change: Callable[[Path], object], problem: str
) -> None:
    write_shards(Generated(100), tmp_path, 0, silent, records_per_shard=10)
    path = tmp_path / "test-000000.tar"
    good = path.read_bytes()
    change(path)
    with pytest.raises(MienError, match=problem):
        list(open_stream(tmp_path, "test", seed=0))
    path.unlink(missing_ok=True)
    write_shards(Generated(100), tmp_path, 0, silent, records_per_shard=10)
    assert path.read_bytes() == good
    assert len(frames(open_stream(tmp_path, "test", seed=0))) == 20


def test_a_damaged_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"holds no shards: index\.json is missing"):
        open_stream(tmp_path, "train", seed=0)
    (tmp_path / "index.json").write_text('{"format": "mien-shards", "version": 2}')
    with pytest.raises(MienError, match=r"index\.json cannot be read"):
        open_stream(tmp_path, "train", seed=0)


@pytest.mark.parametrize("name", ["pipe:touch ran", "../train-000000.tar", "/train-000000.tar", "train-000000.tar\n"])
def test_an_index_names_nothing_but_shards_beside_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    index = json.loads((folder / "index.json").read_bytes())
    index["shards"][0]["file"] = name
    (tmp_path / "index.json").write_text(json.dumps(index))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MienError, match=r"index\.json cannot be read"):
        open_stream(Path(), "test", seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["index.json"]


def test_a_split_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(MienError, match="has 0 shards of the split validation"):
        open_stream(folder, "validation", seed=0)


def multiply_shards(folder: Path, times: int) -> None:
    """Repeat each shard under further names: much quicker than to write that many records."""
    index = read_index(folder)
    shards = []
    for number, shard in enumerate(index.shards * times):
        name = f"train-{number:06d}.tar"
        if number >= len(index.shards):
            (folder / name).hardlink_to(folder / shard.file)
        shards.append(msgspec.structs.replace(shard, file=name))
    splits = {"train": times * index.done}
    many = ShardIndex(dataset="many", seed=0, records_per_shard=1000, splits=splits, shards=shards)
    (folder / "index.json").write_bytes(msgspec.json.encode(many))


@pytest.mark.slow
def test_a_hundred_thousand_records_stream_fast_in_flat_memory(tmp_path: Path) -> None:
    written, times = 10_000, 10
    write_shards(Many(written), tmp_path, 0, silent)
    multiply_shards(tmp_path, times)
    stream = open_stream(tmp_path, "train", seed=1)
    assert len(stream) == 100_000
    process = psutil.Process()
    seen, memory, rates = np.zeros(written, int), [], []
    started = time.process_time()  # of this process: others that share the cores do not count
    for number, sample in enumerate(stream, 1):
        seen[sample.frame or 0] += 1
        if number % 10_000 == 0:
            memory.append(process.memory_info().rss)
            rates.append(10_000 / (time.process_time() - started))
            started = time.process_time()
    assert set(seen.tolist()) == {times}
    assert max(memory) - memory[0] < 20e6
    assert np.median(rates) >= 5000, rates
    last = open_stream(tmp_path, "train", seed=1, position=99_999)
    started = time.process_time()
    assert len(list(last)) == 1
    assert time.process_time() - started < 2


def test_pictures_keep_their_own_form(tmp_path: Path) -> None:
    path = tmp_path / "a.JPG"
    path.write_bytes(cv2.imencode(".jpg", np.full((9, 9, 3), 77, np.uint8))[1].tobytes())

    class One(Generated):
        def __getitem__(self, index: int) -> Sample:
            return Sample(PictureFile(path), "train")

    write_shards(One(1), tmp_path / "out", 0, silent)
    (sample,) = open_stream(tmp_path / "out", "train", seed=0)
    assert sample.picture.encoded() == (".jpg", path.read_bytes())
