"""Labelled faces inside published packages: a manifest names picture or video frame, box, label and person.

The pictures stay in the cache folder; nothing of them is stored elsewhere. For measuring only, never for training.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import cv2
import msgspec
import numpy as np

from mien.errors import MienError
from mien.faces.detector import Box, Image
from mien.models.archives import extract_from_archive
from mien.models.cache import cache_folder
from mien.models.catalogue import Archive

COLUMNS = ["registry", "package", "version", "archive_path", "frame", "x", "y", "w", "h", "label", "subject", "split"]


class LabelledFace(NamedTuple):
    """One row of a manifest.

    Attributes:
        row: its number, from 1, the header not counted.
        archive: the package that holds the picture or video.
        path: inside the archive.
        frame: of a video, from 0; None for a picture.
        box: pixels.
        label: a canonical label.
        person: the same for the same person.
        split: name of the split.
    """

    row: int
    archive: Archive
    path: str
    frame: int | None
    box: Box
    label: str
    person: str
    split: str


class LeftOut(NamedTuple):
    """Faces that could not be had, and why."""

    archive: str
    faces: int
    why: str


def read_face_manifest(path: Path) -> list[LabelledFace]:
    """Read a manifest of labelled faces (.csv).

    Raises:
        MienError: it is missing, has other columns, or a row has a field that makes no sense; the row is named.
    """
    known = _known_archives()
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != COLUMNS:
                raise MienError(
                    f"{path} has the columns {reader.fieldnames}", f"A manifest of faces has: {', '.join(COLUMNS)}"
                )
            return [_face(path, number, row, known) for number, row in enumerate(reader, 1)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MienError(f"{path} cannot be read ({error})", "Give the path of a manifest of faces (.csv)") from error


def load_images(faces: Sequence[LabelledFace]) -> Iterator[tuple[LabelledFace, Image | MienError]]:
    """Each face with its picture, uint8 BGR, or with the reason why there is none; grouped by package and file.

    Packages are fetched into the cache the first time.
    """
    groups: dict[Archive, dict[str, list[LabelledFace]]] = defaultdict(lambda: defaultdict(list))
    for face in faces:
        groups[face.archive][face.path].append(face)
    for archive, by_path in groups.items():
        files = {path: _cached_member(archive, path) for path in by_path}
        absent = {path: file for path, file in files.items() if not file.is_file()}
        try:
            if absent:
                extract_from_archive(archive, absent)
        except MienError as error:
            yield from ((face, error) for members in by_path.values() for face in members)
            continue
        for path, members in by_path.items():
            yield from _read(files[path], members)


def summarise(left_out: Sequence[tuple[LabelledFace, str]]) -> list[LeftOut]:
    """Count the faces left out, by package and reason."""
    counts = Counter((str(face.archive), why) for face, why in left_out)
    return [LeftOut(archive, count, why) for (archive, why), count in counts.items()]


def _known_archives() -> dict[Archive, Archive]:
    """Archives with their checksums, by the same archive without."""
    data = resources.files("trainer.evaluate").joinpath("archives.json").read_bytes()
    return {
        msgspec.structs.replace(known, sha256=None): known for known in msgspec.json.decode(data, type=list[Archive])
    }


def _face(manifest: Path, number: int, row: dict[str, str], known: dict[Archive, Archive]) -> LabelledFace:
    try:
        # Source archives keep everything below name-version/; wheels and npm archives do not.
        is_source = _normal(row["archive_path"].split("/")[0]) == _normal(f"{row['package']}-{row['version']}")
        fields = {name: row[name] for name in ("registry", "package", "version")}
        archive = msgspec.convert({**fields, "is_source": is_source}, Archive)
        x, y, width, height = (int(row[side]) for side in ("x", "y", "w", "h"))
        frame = int(row["frame"]) if row["frame"] else None
        if width < 1 or height < 1 or (frame is not None and frame < 0):
            raise ValueError("empty box or negative frame")
    except (ValueError, TypeError, AttributeError, msgspec.ValidationError) as error:
        raise MienError(f"{manifest}, row {number}: {error}", "Correct the row") from error
    box = Box(x, y, width, height)
    return LabelledFace(
        number, known.get(archive, archive), row["archive_path"], frame, box, row["label"], row["subject"], row["split"]
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _cached_member(archive: Archive, path: str) -> Path:
    """Where a file of a package is kept: flat, so that no path of a manifest can leave the folder."""
    package = quote(f"{archive.registry}-{archive.package}-{archive.version}", safe="")
    return cache_folder() / "packages" / package / quote(path, safe="")


def _read(file: Path, faces: Sequence[LabelledFace]) -> Iterator[tuple[LabelledFace, Image | MienError]]:
    for frame, image in _decode(file, {face.frame for face in faces}):
        where = str(file) if frame is None else f"Frame {frame} of {file}"
        unreadable = MienError(f"{where} cannot be decoded", "Delete the file and try again")
        yield from ((face, unreadable if image is None else image) for face in faces if face.frame == frame)


def _decode(file: Path, wanted: set[int | None]) -> Iterator[tuple[int | None, Image | None]]:
    """The picture itself (None) and frames of a video by number, or None where there is none."""
    if None in wanted:
        yield None, _pixels(cv2.imread(str(file), cv2.IMREAD_COLOR))
    frames = wanted - {None}
    video = cv2.VideoCapture(str(file)) if frames else None
    number = 0
    # Frames are counted as they are decoded: seeking by number is not exact in every codec.
    while video is not None and frames and video.grab():
        if number in frames:
            frames.remove(number)
            yield number, _pixels(video.retrieve()[1])
        number += 1
    yield from ((frame, None) for frame in frames)


def _pixels(image: Any) -> Image | None:
    """OpenCV's answer with its proper type."""
    return None if image is None else np.asarray(image, np.uint8)
