"""Faces cut out of a data set once, by the robot's own code, and kept in the cache folder as pixels.

    crops/<name>-<key>/states.npy     what became of each sample: 0 not done yet, 1 a face, others `REASONS`
    crops/<name>-<key>/squares.npy    float32 (N, 4): the face's square, pixels: x, y, width, height
    crops/<name>-<key>/pixels.npy     uint8 (N, H, W, C); absent where it would be larger than `LARGEST_BYTES`: then
                                      each picture is decoded whenever it is wanted
    crops/<name>-<key>/landmarks.npy  float32 (N, 68, 2): pixels, NaN where unknown; only where they are to be learned

The key follows from the pictures' names and boxes, size and time of change of their files, landmarks where they are
used, the crop, the detector, the size, the contrast and `VERSION`. Samples are done in blocks; whatever stops the work,
finished blocks stay, and the next run goes on from there.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from mien.bundle import InputSpec
from mien.errors import MienError
from mien.faces.crop import TILES, cut, enhance_contrast, to_crop
from mien.faces.detector import Box, Image
from mien.models.cache import cache_folder
from trainer.data.enhanced import enhance_picture
from trainer.data.face_squares import NO_FACE, NO_LANDMARKS, FaceSquares, Missing
from trainer.data.output import output_errors, sole_writer, whole_file
from trainer.data.pictures import file_facts
from trainer.data.sample import LANDMARKS, Dataset, Sample, Tell
from trainer.stages.recipe import Stage

VERSION = 2
"""Count up whenever the same samples give other pixels."""
LARGEST_BYTES = 20 * 10**9
REASONS = {2: NO_FACE, 3: NO_LANDMARKS}
"""Why a sample has no crop, by its state."""

_FACE = 1
_BLOCK = 256
_REMEMBERED_FILES = 1024

_contents: WeakKeyDictionary[Dataset, tuple[str, str]] = WeakKeyDictionary()
"""Digests of the data sets that this process has looked at: a pass over millions of files for each crop is too many."""


@dataclass(frozen=True)
class Crops:
    """The faces of a data set.

    Attributes:
        dataset: whose they are.
        spec: of the network's input; its channels are those of the pixels.
        size: height and width of the crops as they are stored, pixels, the room around the input included.
        is_whole: whether pictures are used whole.
        states: uint8 (N,), 1 where there is a face.
        squares: float32 (N, 4), what the input shows of each picture.
        stored: uint8 (N, height, width, C), or None: decoded each time.
        landmarks: float32 (N, 68, 2), pixels of the picture, NaN where unknown; None where they are not learned.
        is_enhanced: whether squares and landmarks are in pictures that `trainer.data.enhanced` has changed.
    """

    dataset: Dataset
    spec: InputSpec
    size: tuple[int, int]
    is_whole: bool
    states: NDArray[np.uint8]
    squares: NDArray[np.float32]
    stored: NDArray[np.uint8] | None
    landmarks: NDArray[np.float32] | None = None
    is_enhanced: bool = False

    @property
    def kept(self) -> NDArray[np.intp]:
        """Numbers of the samples that have a crop, ascending."""
        return np.flatnonzero(self.states == _FACE)

    @property
    def unusable(self) -> dict[str, NDArray[np.intp]]:
        """Numbers of the samples that have none, by reason."""
        return {missing.reason: np.flatnonzero(self.states == state) for state, missing in REASONS.items()}

    @property
    def left_out(self) -> dict[str, int]:
        """How many samples have none, by reason."""
        return {reason: len(numbers) for reason, numbers in self.unusable.items() if len(numbers)}

    def pixels(self, numbers: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Crops of samples.

        Args:
            numbers: (B,), of samples in `kept`.

        Returns:
            uint8 (B, height, width, C), channels in the order of `spec`.

        Raises:
            MienError: they are decoded each time, and one cannot be read.
        """
        if self.stored is not None:
            return np.asarray(self.stored[numbers])
        with ThreadPoolExecutor(_threads()) as pool:
            crops = list(pool.map(self._decode, numbers.tolist()))
        return np.stack(crops) if crops else np.empty((0, *self.size, self.spec.depth), np.uint8)

    def located(self, numbers: NDArray[np.intp]) -> NDArray[np.float32]:
        """Landmarks of samples across the input, to the pixel where the crops as they are stored show them.

        Args:
            numbers: (B,), of samples in `kept`; their landmarks are to be learned, from crops that are no whole
                pictures.

        Returns:
            float32 (B, 68, 2), x and y, 0 to 1 in what the input shows, NaN where unknown.
        """
        if self.landmarks is None or self.is_whole:
            raise ValueError("There are no landmarks in these crops")
        shown = [_with_room(Box(*square), self.spec, self.size) for square in self.squares[numbers].tolist()]
        stored = np.array([(one.x, one.y, one.width, one.height) for one in shown]).reshape(-1, 4)
        scale = np.array([self.size[1] / self.spec.width, self.size[0] / self.spec.height])
        return np.asarray((to_crop(self.landmarks[numbers], stored) - 0.5) * scale + 0.5, np.float32)

    def _decode(self, number: int) -> NDArray[np.uint8]:
        _, image = _look(self.dataset[number], self.is_enhanced)
        return _cut(image, Box(*self.squares[number].tolist()), self.is_whole, self.spec, self.size)


class _Done(NamedTuple):
    """What became of a sample."""

    state: int
    square: Box = Box(0, 0, 0, 0)
    pixels: NDArray[np.uint8] | None = None
    points: NDArray[np.float32] | None = None


def open_crops(dataset: Dataset, stage: Stage, spec: InputSpec, room: float, tell: Tell | None) -> Crops:
    """Cut all faces of a data set, or find them in the cache; processes that ask for the same ones wait for the first.

    Args:
        dataset: whose faces.
        stage: says crop, detector, contrast and where landmarks come from; pictures of a `category` are used whole.
        spec: of the network's input, with the stage's contrast.
        room: side of the stored crops in sides of the input, from 1: `Preset.room` of the augmentation. The input lies
            exactly in the middle; with 1 it has the robot's own pixels, with more the same to within resampling.
        tell: told how many samples are done; None = nothing is cut.

    Raises:
        MienError: not one sample has a face, a picture cannot be read, the detector or the landmark model cannot be
            had, or the disk is full; what is done stays. Or they are not all there, and nothing is to be cut.
    """
    finder, size = FaceSquares(stage), stored_size(spec, room)
    shape = (len(dataset), *size, spec.depth)
    is_annotated = stage.target == "landmarks"
    folder = cache_folder() / "crops" / _key(dataset, finder, spec, shape)
    if not _is_complete(folder):
        if tell is None:
            raise MienError(f"{dataset.name}: not all faces are cut out yet", "Run the recipe again: it cuts them")
        with sole_writer(folder, wait=True), output_errors(folder):
            _create(folder, shape, is_annotated)
            _fill(folder, dataset, finder, spec, size, tell)
    is_stored = (folder / "pixels.npy").is_file()
    crops = Crops(
        dataset,
        spec,
        size,
        finder.is_whole,
        np.array(_open(folder / "states.npy")),
        _open(folder / "squares.npy"),
        _open(folder / "pixels.npy") if is_stored else None,
        _open(folder / "landmarks.npy") if is_annotated else None,
        finder.is_enhanced,
    )
    if not len(crops.kept):
        reasons = ", ".join(f"{count} × {reason}" for reason, count in crops.left_out.items())
        raise MienError(
            f"{dataset.name}: none of its {len(dataset)} pictures has a face that can be cut out ({reasons})",
            "Set another crop, another detector, or landmarks: model in the recipe",
        )
    return crops


def stored_size(spec: InputSpec, room: float) -> tuple[int, int]:
    """Height and width of stored crops, pixels: so many sides of the input, with as much on the left as on the right.

    Args:
        spec: of the network's input.
        room: from 1.
    """
    return spec.height + 2 * round(spec.height * (room - 1) / 2), spec.width + 2 * round(spec.width * (room - 1) / 2)


def _look(sample: Sample, is_enhanced: bool) -> tuple[Sample, Image]:
    """A picture in which faces are found and cut out, and its labels there."""
    image = sample.picture.read()
    return enhance_picture(sample, image) if is_enhanced else (sample, image)


def _cut(image: Image, square: Box, is_whole: bool, spec: InputSpec, size: tuple[int, int]) -> NDArray[np.uint8]:
    """What `mien.faces.crop.write_crop` shows, uint8 (height, width, C), with the room around it."""
    height, width = size
    if is_whole:
        square = Box(0, 0, image.shape[1], image.shape[0])
    crop = cut(image, _with_room(square, spec, size), width, height)
    if spec.channels == "grey":
        grey = np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), np.uint8)
        if spec.contrast != "none":  # with room around it, parts are as large, but lie elsewhere
            grey = enhance_contrast(grey, round(TILES * height / spec.height))
        return grey[..., None]
    return crop[:, :, ::-1] if spec.channels == "rgb" else crop


def _with_room(square: Box, spec: InputSpec, size: tuple[int, int]) -> Box:
    """What is stored of a picture whose `square` the input shows."""
    if size == (spec.height, spec.width):
        return square
    x, y = square.center
    wide, high = square.width * size[1] / spec.width, square.height * size[0] / spec.height
    return Box(x - wide / 2, y - high / 2, wide, high)


def _fill(
    folder: Path, dataset: Dataset, finder: FaceSquares, spec: InputSpec, size: tuple[int, int], tell: Tell
) -> None:
    """Do what is still to do, block by block: the pixels first, because a state promises that they are there."""
    states, squares = np.array(_open(folder / "states.npy")), np.array(_open(folder / "squares.npy"))
    state_of = {missing: state for state, missing in REASONS.items()}
    is_stored, is_annotated = ((folder / f"{name}.npy").is_file() for name in ("pixels", "landmarks"))

    def work(number: int) -> _Done:
        sample = dataset[number]
        image: Image | None = None
        if is_stored or finder.needs_picture(sample):
            sample, image = _look(sample, finder.is_enhanced)
        square = finder.find(sample, image)
        if isinstance(square, Missing):
            return _Done(state_of[square])
        points = finder.landmarks(sample, image) if is_annotated else None
        if not is_stored or image is None:
            return _Done(_FACE, square, points=points)
        return _Done(_FACE, square, _cut(image, square, finder.is_whole, spec, size), points)

    to_do = np.flatnonzero(states == 0)
    with ThreadPoolExecutor(_threads()) as pool:  # decoding and searching let other threads run
        for begin in range(0, len(to_do), _BLOCK):
            tell(len(states) - len(to_do) + begin, len(states))
            block = to_do[begin : begin + _BLOCK].tolist()
            done = dict(zip(block, pool.map(work, block), strict=True))
            for number, one in done.items():
                states[number] = one.state
                squares[number] = one.square.x, one.square.y, one.square.width, one.square.height
            first, last = block[0], block[-1] + 1
            if is_stored:
                _write(folder / "pixels.npy", ((n, one.pixels) for n, one in done.items() if one.pixels is not None))
            if is_annotated:
                unknown = np.full((LANDMARKS, 2), np.nan, np.float32)
                points = ((n, unknown if one.points is None else one.points) for n, one in done.items())
                _write(folder / "landmarks.npy", points)
            _write(folder / "squares.npy", [(first, squares[first:last])])
            _write(folder / "states.npy", [(first, states[first:last])])
    tell(len(states), len(states))


def _threads() -> int:
    return min(8, os.cpu_count() or 1)


def _key(dataset: Dataset, finder: FaceSquares, spec: InputSpec, shape: tuple[int, ...]) -> str:
    if dataset not in _contents:
        _contents[dataset] = _digests(dataset)
    pictures, landmarks = _contents[dataset]
    contrast = () if spec.contrast == "none" else (f"{spec.contrast}, OpenCV {cv2.__version__}",)
    settings = (dataset.name, finder.settings, spec.channels, spec.height, spec.width, shape, VERSION, *contrast)
    used = (pictures, landmarks if finder.uses_landmarks_of_data else "", settings)
    name = re.sub(r"[^a-z0-9]+", "-", dataset.name.lower())
    return f"{name[:60]}-{hashlib.sha256(msgspec.json.encode(used)).hexdigest()[:16]}"


def _digests(dataset: Dataset) -> tuple[str, str]:
    """Of pictures and boxes, and of landmarks."""
    # Many pictures may be in one file; of as many files as pictures, not all are to be remembered.
    facts = lru_cache(_REMEMBERED_FILES)(file_facts)
    pictures, landmarks = hashlib.sha256(), hashlib.sha256()
    for sample in dataset:
        picture = sample.picture
        if picture.path is None:
            content = hashlib.sha256(picture.encoded()[1]).hexdigest()
        else:
            file = facts(picture.path)
            content = f"{file.st_size} {file.st_mtime_ns}"
        pictures.update(f"{picture.name}\0{content}\0{sample.box}\0".encode())
        landmarks.update(b"none" if sample.landmarks is None else sample.landmarks.tobytes())
    return pictures.hexdigest(), landmarks.hexdigest()


def _create(folder: Path, shape: tuple[int, ...], is_annotated: bool) -> None:
    """Make the files, empty. Pixels take room on the disk only as they are written."""
    files: dict[str, tuple[type[np.generic], tuple[int, ...]]]
    files = {"states": (np.uint8, shape[:1]), "squares": (np.float32, (shape[0], 4)), "pixels": (np.uint8, shape)}
    if is_annotated:
        files["landmarks"] = (np.float32, (shape[0], LANDMARKS, 2))
    if np.prod(shape, dtype=np.int64) > LARGEST_BYTES:
        del files["pixels"]
    for name, (kind, size) in reversed(files.items()):  # states last: they say that all are there
        if not (folder / f"{name}.npy").is_file():
            with whole_file(folder / f"{name}.npy") as partial:
                np.lib.format.open_memmap(partial, mode="w+", dtype=kind, shape=size)


def _is_complete(folder: Path) -> bool:
    file = folder / "states.npy"
    return file.is_file() and bool(np.all(_open(file)))


def _open(file: Path) -> np.memmap[Any, np.dtype[Any]]:
    try:
        return np.lib.format.open_memmap(file, mode="r")
    except (OSError, ValueError) as error:
        raise MienError(
            f"{file} cannot be read ({error})", f"Remove {file.parent} and give the same command again"
        ) from error


def _write(file: Path, rows: Iterable[tuple[int, NDArray[Any]]]) -> None:
    """Write rows of an array's file in place. Not through the memory map: a full disk would end the process."""
    there = _open(file)
    with file.open("r+b") as out:
        for number, row in rows:
            out.seek(there.offset + number * there[0].nbytes)
            out.write(np.ascontiguousarray(row).tobytes())
        out.flush()
        os.fsync(out.fileno())
