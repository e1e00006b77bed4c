"""Crops: the robot's own pixels, cut once, and never lost or guessed."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from msgspec.structs import replace as replace_struct

from mien.bundle import CropSpec, InputSpec, open_bundle
from mien.errors import MienError
from mien.faces.crop import crop_square, cut, to_crop, write_crop
from mien.faces.detector import Box, Image
from mien.faces.detectors import make_detector
from mien.models.catalogue import find_model
from mien.models.default_bundle import default_bundle
from mien.runtime.backend import BackendOptions
from trainer.data import crops as module
from trainer.data.augmentation import middle
from trainer.data.crops import open_crops, stored_size
from trainer.data.output import sole_writer
from trainer.data.pictures import FilePart, Picture, PictureBytes, PictureFile, encode_png
from trainer.data.sample import Dataset, Sample, SampleList
from trainer.data.sets.renders import open_renders
from trainer.data.synthetic.dataset import render
from trainer.stages.recipe import Stage

GREY = InputSpec(20, 24, "grey", (127.5,), (1 / 127.5,))
RGB = InputSpec(20, 24, "rgb", (123.7, 116.3, 103.5), (0.017, 0.018, 0.0174))
BGR = InputSpec(48, 48, "bgr", (0.0, 1.0, 2.0), (1 / 255,) * 3)


def silent(done: int, total: int) -> None:
    del done, total


@dataclass
class Counted:
    """A picture that counts how often it is read, and does something before."""

    inner: PictureBytes
    before: Callable[[], object] = lambda: None
    reads: list[int] = field(default_factory=list)

    @property
    def path(self) -> Path | None:
        return self.inner.path

    @property
    def name(self) -> str:
        return self.inner.name

    def encoded(self) -> tuple[str, bytes]:
        return self.inner.encoded()

    def read(self) -> Image:
        self.before()
        self.reads.append(1)
        return self.inner.read()

    def file_size(self) -> int:
        return self.inner.file_size()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Crops go elsewhere; the detector stays in the user's cache."""
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache/crops"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("renders") / "lab_b"
    try:
        render("lab_b", folder, count=6, side=96, workers=1)
    except MienError as error:
        if "OpenGL" not in error.problem:
            raise
        pytest.skip(str(error))
    return open_renders(folder)


def pictures(count: int, before: Callable[[], object] = lambda: None) -> SampleList:
    """Different pictures of different sizes, with boxes and landmarks partly outside."""
    random = np.random.default_rng(2)
    samples = []
    for number in range(count):
        height, width = random.integers(40, 120, 2)
        image = random.integers(0, 256, (height // 4, width // 4, 3), np.uint8).repeat(4, 0).repeat(4, 1)
        picture = Counted(PictureBytes(f"{number}", ".png", encode_png(image)), before)
        box = Box(*random.uniform(-10, 30, 2).tolist(), *random.uniform(15, 90, 2).tolist())
        landmarks = random.uniform(-5, 60, (68, 2)).astype(np.float32)
        samples.append(Sample(picture, "all", person="x", box=box, landmarks=landmarks))
    return SampleList("pictures", samples)


def reads(dataset: Dataset) -> list[int]:
    return [len(sample.picture.reads) for sample in dataset]  # type: ignore[attr-defined]


def stage(crop: CropSpec = CropSpec("box", 0.2), **keys: object) -> Stage:  # noqa: B008
    return Stage(data="x", crop=crop, **keys)  # type: ignore[arg-type]


# ---- pixels


@pytest.mark.parametrize("spec", [GREY, RGB, BGR])
@pytest.mark.parametrize(
    "crop", [CropSpec("box", 0.2), CropSpec("outer", 0.0), CropSpec("inner", 0.1), CropSpec("uncropped")]
)
def test_a_network_sees_in_tests_exactly_what_it_sees_on_the_robot(crop: CropSpec, spec: InputSpec) -> None:
    dataset = pictures(7)
    crops = open_crops(dataset, stage(crop), spec, 1.0, silent)
    shown = middle(torch.from_numpy(crops.pixels(crops.kept)), spec).numpy()
    wanted = np.empty((7, spec.depth, spec.height, spec.width), np.float32)
    for sample, out in zip(dataset, wanted, strict=True):
        image, box = sample.picture.read(), sample.box or Box(0, 0, 1, 1)
        write_crop(image, crop_square(crop, box, sample.landmarks, image.shape[1], image.shape[0]), spec, out)
    np.testing.assert_array_equal(shown, wanted)


CLEAR = replace_struct(GREY, contrast="clahe")


@pytest.mark.parametrize("crop", [CropSpec("box", 0.2), CropSpec("inner", 0.1), CropSpec("uncropped")])
def test_contrast_is_enhanced_as_on_the_robot(crop: CropSpec) -> None:
    dataset = pictures(7)
    crops = open_crops(dataset, stage(crop, contrast="crop"), CLEAR, 1.0, silent)
    shown = middle(torch.from_numpy(crops.pixels(crops.kept)), CLEAR).numpy()
    wanted = np.empty((2, 7, 1, GREY.height, GREY.width), np.float32)
    for number, sample in enumerate(dataset):
        image, box = sample.picture.read(), sample.box or Box(0, 0, 1, 1)
        square = crop_square(crop, box, sample.landmarks, image.shape[1], image.shape[0])
        write_crop(image, square, CLEAR, wanted[0, number])
        write_crop(image, square, GREY, wanted[1, number])
    np.testing.assert_array_equal(shown, wanted[0])
    assert np.abs(wanted[0] - wanted[1]).max() > 0.05


def test_crops_without_more_contrast_stay_where_they_were(cache: Path) -> None:
    dataset = pictures(3)
    for made, (spec, contrast) in enumerate([(GREY, "none"), (CLEAR, "crop"), (GREY, "picture"), (GREY, "none")]):
        open_crops(dataset, stage(contrast=contrast), spec, 1.0, silent)
        assert len(list(cache.iterdir())) == min(made + 1, 3)


@pytest.mark.parametrize("stored", [True, False])
def test_paper_004_enhances_the_picture_and_looks_for_faces_there(
    stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grey, 300×300 whatever its shape, its contrast enhanced; then the face is cut out of that."""
    if not stored:
        monkeypatch.setattr(module, "LARGEST_BYTES", 0)
    dataset = pictures(5)
    crops = open_crops(dataset, stage(CropSpec("box"), contrast="picture"), GREY, 1.0, silent)
    for number, sample in enumerate(dataset):
        image, box = sample.picture.read(), sample.box
        assert box is not None
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        seen = cv2.createCLAHE(2.0, (8, 8)).apply(cv2.resize(grey, (300, 300), interpolation=cv2.INTER_LINEAR))
        wide, high = 300 / image.shape[1], 300 / image.shape[0]
        there = Box(box.x * wide, box.y * high, box.width * wide, box.height * high)
        square = crop_square(CropSpec("box"), there, None, 300, 300)
        np.testing.assert_array_equal(
            crops.pixels(np.array([number]))[0, ..., 0], cut(np.asarray(seen, np.uint8), square, 20, 24)
        )


def test_landmarks_move_with_the_picture_that_is_enhanced() -> None:
    """A dot stays under its landmark, whatever becomes of the picture's shape."""
    image = np.zeros((60, 90, 3), np.uint8)
    image[20:23, 50:53] = 255
    points = np.tile(np.float32([51, 21]), (68, 1))
    sample = Sample(PictureBytes("dot", ".png", encode_png(image)), "all", box=Box(30, 10, 40, 40), landmarks=points)
    learned = stage(CropSpec("box"), contrast="picture", target="landmarks", landmarks="data", loss="l1")
    spec = InputSpec(120, 120, "grey", (0.0,), (1.0,))
    crops = open_crops(SampleList("dot", [sample]), learned, spec, 1.0, silent)
    x, y = crops.located(np.array([0]))[0, 0] * 120 - 0.5
    bright = np.argwhere(crops.pixels(np.array([0]))[0, ..., 0] > 128).mean(0)
    assert bright.tolist() == pytest.approx([y, x], abs=1.0)


@pytest.mark.parametrize("crop", [CropSpec("box", 0.0), CropSpec("uncropped")])
def test_room_lies_around_the_same_crop(crop: CropSpec) -> None:
    """A smooth picture, so that resampling costs nothing: its middle is the crop without room."""
    rows, columns = np.mgrid[:90, :120]
    image = np.stack([rows * 2, columns * 2, 40 + rows + columns], 2).astype(np.uint8)
    box = Box(30, 25, 48, 40)
    dataset = SampleList("ramp", [Sample(PictureBytes("ramp", ".png", encode_png(image)), "all", box=box)])
    spec = InputSpec(48, 48, "bgr", (0.0,) * 3, (1.0,) * 3)
    crops = open_crops(dataset, stage(crop), spec, 240 / 224, silent)
    assert crops.size == stored_size(spec, 240 / 224) == (52, 52)
    shown = middle(torch.from_numpy(crops.pixels(np.array([0]))), spec)[0].numpy().transpose(1, 2, 0)
    square = crop_square(crop, box, None, 120, 90)
    slope = max(square.width, square.height) / 48 * 2  # grey levels a pixel
    difference = np.abs(shown - cut(image, square, 48, 48))[2:-2, 2:-2]
    assert difference.max() <= 1 + slope * 0.75, "no more than rounding to whole pixels of the picture"


def test_objects_are_never_cropped() -> None:
    dataset = pictures(2)
    crops = open_crops(dataset, stage(target="category"), GREY, 1.0, silent)
    whole = open_crops(dataset, stage(CropSpec("uncropped")), GREY, 1.0, silent)
    np.testing.assert_array_equal(crops.pixels(crops.kept), whole.pixels(whole.kept))


# ---- where the face is


@pytest.mark.parametrize("detector", ["yunet", "haar"])
def test_the_detector_finds_what_has_no_box_and_nothing_is_guessed(rendered: Dataset, detector: str) -> None:
    blank = Sample(PictureBytes("blank", ".png", encode_png(np.full((96, 96, 3), 90, np.uint8))), "all")
    dataset = SampleList("faces", [blank, *rendered])
    crops = open_crops(dataset, stage(CropSpec("box", 0.1), detector=detector), GREY, 1.0, silent)
    finder = make_detector(open_bundle(default_bundle()), detector, 0, 0, BackendOptions())
    found = [finder.detect(sample.picture.read()) for sample in dataset]
    assert crops.kept.tolist() == [number for number, faces in enumerate(found) if faces]
    assert crops.left_out == {"no face found": sum(not faces for faces in found)}
    assert len(crops.kept) >= 4
    for number in crops.kept.tolist():
        square = crop_square(CropSpec("box", 0.1), found[number][0].box, None, 96, 96)
        np.testing.assert_allclose(crops.squares[number], (square.x, square.y, square.width, square.height), atol=1e-3)


def test_a_box_of_the_data_set_needs_no_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.data.face_squares.make_detector", lambda *_: pytest.fail("a detector was made"))
    assert len(open_crops(pictures(3), stage(), GREY, 1.0, silent).kept) == 3


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed; its models are optional")
def test_landmarks_of_the_model_give_nearly_the_crop_of_the_exact_ones(rendered: Dataset) -> None:
    crop = CropSpec("inner", 0.0)
    exact = open_crops(rendered, stage(crop), GREY, 1.0, silent)
    found = open_crops(rendered, stage(crop, landmarks="model"), GREY, 1.0, silent)
    both = np.intersect1d(exact.kept, found.kept)
    assert len(both) >= 4
    assert np.abs(exact.squares[both] - found.squares[both]).max() < 0.25 * exact.squares[both, 2].min()
    assert not np.array_equal(exact.squares[both], found.squares[both])


def test_samples_without_landmarks_are_counted_and_a_set_without_any_is_refused() -> None:
    dataset = pictures(3)
    bare = [replace(sample, landmarks=None) for sample in dataset]
    crops = open_crops(SampleList("some", [dataset[0], bare[1]]), stage(CropSpec("outer")), GREY, 1.0, silent)
    assert (crops.kept.tolist(), crops.left_out) == ([0], {"no landmarks": 1})
    with pytest.raises(MienError, match=r"bare: none of its 3 pictures .*3 × no landmarks.*landmarks: model"):
        open_crops(SampleList("bare", bare), stage(CropSpec("outer")), GREY, 1.0, silent)


# ---- the cache


def test_pictures_are_decoded_once(cache: Path) -> None:
    dataset = pictures(5)
    first = open_crops(dataset, stage(), GREY, 1.0, silent)
    again = open_crops(dataset, stage(), GREY, 1.0, silent)
    assert reads(dataset) == [1] * 5
    np.testing.assert_array_equal(first.pixels(first.kept), again.pixels(again.kept))
    assert isinstance(again.stored, np.memmap)
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda keys: keys | {"crop": CropSpec("box", 0.3)},
        lambda keys: keys | {"spec": RGB},
        lambda keys: keys | {"room": 1.25},
        lambda keys: keys | {"count": 4},
    ],
)
def test_other_crops_have_a_place_of_their_own(cache: Path, change: Callable[..., dict[str, Any]]) -> None:
    keys = {"crop": CropSpec("box", 0.2), "spec": GREY, "room": 1.0, "count": 5}
    for one in (keys, change(keys)):
        open_crops(pictures(one["count"]), stage(one["crop"]), one["spec"], one["room"], silent)
    assert len(list(cache.iterdir())) == 2


def test_changed_boxes_and_pictures_are_cut_anew(cache: Path) -> None:
    dataset = list(pictures(2))
    open_crops(SampleList("x", dataset), stage(), GREY, 1.0, silent)
    open_crops(SampleList("x", [dataset[0], replace(dataset[1], box=Box(1, 2, 9, 9))]), stage(), GREY, 1.0, silent)
    larger = PictureBytes("1", ".png", encode_png(np.zeros((50, 50), np.uint8)))
    open_crops(SampleList("x", [dataset[0], replace(dataset[1], picture=larger)]), stage(), GREY, 1.0, silent)
    assert len(list(cache.iterdir())) == 3


def picture_in_file(file: Path, level: int) -> bytes:
    """Make a grey picture; those of one size have files of one size."""
    file.write_bytes(encode_png(np.full((40, 40), level, np.uint8)))
    return file.read_bytes()


def opened(picture: Picture, **keys: object) -> int:
    """Grey level of the crop of a picture."""
    dataset = SampleList("faces", [Sample(picture, "all", box=Box(0, 0, 40, 40))])
    return int(open_crops(dataset, stage(CropSpec("box"), **keys), GREY, 1.0, silent).pixels(np.array([0])).mean())


def test_another_picture_of_equal_name_and_size_is_cut_anew(tmp_path: Path) -> None:
    file, large = tmp_path / "face.png", tmp_path / "faces.tar"
    for level in (50, 51):
        content = picture_in_file(file, level)
        large.write_bytes(content)
        assert opened(PictureFile(file)) == level
        assert opened(FilePart(large, "face", ".png", 0, len(content))) == level
        assert opened(PictureBytes("face", ".png", content)) == level


def test_other_versions_of_the_detector_and_the_landmark_model_cut_anew(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = PictureBytes("face", ".png", encode_png(np.zeros((40, 40), np.uint8)))
    for detector in ("yunet", "haar"):
        opened(picture, detector=detector)
    model = find_model("yunet")
    monkeypatch.setattr(
        "trainer.data.face_squares.find_model", lambda name: replace_struct(model, name=name, sha256="0" * 64)
    )
    monkeypatch.setattr("cv2.__version__", "4.99")
    for detector in ("yunet", "haar"):
        opened(picture, detector=detector)
    assert len(list(cache.iterdir())) == 4


def test_a_file_of_many_pictures_is_asked_for_its_time_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = picture_in_file(tmp_path / "faces.tar", 70)
    part = FilePart(tmp_path / "faces.tar", "face", ".png", 0, len(content))
    dataset = SampleList("faces", [Sample(part, "all", box=Box(0, 0, 40, 40))] * 50)
    asked: list[Path] = []
    real = module.file_facts
    monkeypatch.setattr(module, "file_facts", lambda path: (asked.append(path), real(path))[1])
    for margin in (0.0, 0.2, 0.4):
        open_crops(dataset, stage(CropSpec("box", margin)), GREY, 1.0, silent)
    assert asked == [part.path]


def test_sets_too_large_for_the_disk_are_decoded_each_time(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = pictures(6)
    wanted = open_crops(dataset, stage(), RGB, 1.25, silent).pixels(np.array([4, 1]))
    shutil.rmtree(cache)
    monkeypatch.setattr(module, "LARGEST_BYTES", 1000)
    crops = open_crops(dataset, stage(), RGB, 1.25, silent)
    assert crops.stored is None
    assert reads(dataset) == [1] * 6, "boxes are known: nothing is decoded"
    np.testing.assert_array_equal(crops.pixels(np.array([4, 1])), wanted)
    assert crops.pixels(np.array([], np.intp)).shape == (0, 30, 24, 3)


def test_a_picture_that_cannot_be_read_is_named_and_the_blocks_before_it_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 4)
    dataset = pictures(10)
    whole = open_crops(pictures(10), stage(CropSpec("box", 0.5)), GREY, 1.0, silent)
    picture: Any = dataset[9].picture

    def fail() -> None:
        raise MienError("9 cannot be read", "Copy it again")

    picture.before = fail
    with pytest.raises(MienError, match="9 cannot be read"):
        open_crops(dataset, stage(CropSpec("box", 0.5), detector="haar"), GREY, 1.0, silent)
    picture.before = lambda: None
    done: list[tuple[int, int]] = []
    crops = open_crops(dataset, stage(CropSpec("box", 0.5), detector="haar"), GREY, 1.0, lambda *at: done.append(at))
    assert reads(dataset)[:8] == [1] * 8
    assert done[0] == (8, 10)
    assert done[-1] == (10, 10)
    np.testing.assert_array_equal(crops.pixels(crops.kept), whole.pixels(whole.kept))


def test_a_killed_process_leaves_what_it_has_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 4)
    monkeypatch.setattr(module, "_threads", lambda: 1)
    dataset = pictures(12)
    dataset[9].picture.before = lambda: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[attr-defined]
    child = multiprocessing.get_context("fork").Process(target=open_crops, args=(dataset, stage(), GREY, 1.0, silent))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    dataset[9].picture.before = lambda: None  # type: ignore[attr-defined]
    crops = open_crops(dataset, stage(), GREY, 1.0, silent)
    assert reads(dataset) == [0] * 8 + [1] * 4
    wanted = open_crops(pictures(12), stage(detector="haar"), RGB, 1.0, silent)
    assert len(crops.kept) == len(wanted.kept) == 12
    assert crops.pixels(crops.kept).any(axis=(1, 2, 3)).all()


def test_a_full_disk_is_named_and_the_next_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 4)
    dataset = pictures(8)
    calls = 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 7:  # three files are made, three written; then the pixels of the second block
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MienError, match="the disk is full"):
        open_crops(dataset, stage(), GREY, 1.0, silent)
    assert len(open_crops(dataset, stage(), GREY, 1.0, silent).kept) == 8
    assert reads(dataset) == [1] * 4 + [2] * 4


def test_processes_that_want_the_same_crops_wait_for_the_first(cache: Path) -> None:
    dataset = pictures(4)
    open_crops(dataset, stage(), GREY, 1.0, silent)
    (folder,) = cache.iterdir()
    for file in folder.glob("*.npy"):
        file.unlink()
    done = threading.Event()
    waiting = threading.Thread(target=lambda: (open_crops(dataset, stage(), GREY, 1.0, silent), done.set()))
    with sole_writer(folder):
        waiting.start()
        assert not done.wait(0.3)
    assert done.wait(20)
    waiting.join()


def test_a_damaged_cache_is_named(cache: Path) -> None:
    open_crops(pictures(3), stage(), GREY, 1.0, silent)
    (file,) = cache.glob("*/pixels.npy")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(MienError, match=r"pixels\.npy cannot be read.*Remove"):
        open_crops(pictures(3), stage(), GREY, 1.0, silent)


# ---- landmarks


@pytest.mark.parametrize("stored", [True, False])
def test_landmarks_are_kept_in_pixels_and_told_across_what_is_stored(
    stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not stored:
        monkeypatch.setattr(module, "LARGEST_BYTES", 0)
    samples = list(pictures(5))
    samples[3] = replace(samples[3], landmarks=None)
    dataset = SampleList("pictures", samples)
    crops = open_crops(dataset, stage(target="landmarks", loss="l1"), GREY, 1.0, silent)
    assert crops.landmarks is not None
    for one, sample in zip(crops.landmarks, samples, strict=True):
        np.testing.assert_array_equal(one, np.full((68, 2), np.nan) if sample.landmarks is None else sample.landmarks)
    np.testing.assert_allclose(
        crops.located(np.array([4])), to_crop(crops.landmarks[4:5], crops.squares[4:5]), atol=1e-6
    )
    # With room around them, crops are rounded to other pixels, by less than one of the picture's.
    wide = open_crops(dataset, stage(target="landmarks", loss="l1"), GREY, 1.5, silent)
    numbers = np.array([0, 1, 2, 4])
    apart = np.abs(wide.located(numbers) - crops.located(numbers)) * crops.squares[numbers, None, 2:]
    assert np.nanmax(apart) < 3  # both corners, and the side, are rounded


def test_nobody_reads_landmarks_that_are_not_learned(cache: Path) -> None:
    assert open_crops(pictures(3), stage(), GREY, 1.0, silent).landmarks is None
    assert not list(cache.glob("*/landmarks.npy"))
