"""Where a sample's picture is, without reading it: a file, part of a file, pixels, or a moment of a video."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.detector import Image
from mien.images import ImageError, decode_picture
from mien.sources import PICTURE_SUFFIXES

ANOTHER_COPY = "Copy or download that file again"

# What is wrong with a picture is said once, in our own error.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class Picture(Protocol):
    """A picture that is read when it is asked for, and every time anew."""

    @property
    def path(self) -> Path | None:
        """The file that it is, or is in; None where it is in memory."""
        ...

    @property
    def name(self) -> str:
        """What it is called in errors, such as a path."""
        ...

    def encoded(self) -> tuple[str, bytes]:
        """Suffix, as ".png", and content of a picture file; raises MienError."""
        ...

    def read(self) -> Image:
        """The picture, uint8 BGR (height, width, 3); raises MienError, which names it."""
        ...

    def file_size(self) -> int:
        """Bytes of the file that it is, or is in; raises MienError, which names it."""
        ...


def check_suffix(name: str, suffix: str) -> None:
    """Check that a suffix, as ".png", is a picture file's; raises MienError, which names the picture."""
    if suffix.lower() not in PICTURE_SUFFIXES:
        raise MienError(f"{name} is no picture file", f"Pictures end in {', '.join(PICTURE_SUFFIXES)}")


def file_facts(path: Path) -> os.stat_result:
    """Size and times of a file; raises MienError, which names it."""
    try:
        return path.stat()
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror})", ANOTHER_COPY) from error


def _decode(name: str, data: bytes) -> Image:
    try:
        return decode_picture(data)
    except ImageError as error:
        raise MienError(f"{name} cannot be read: {error.problem}", ANOTHER_COPY) from error


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture in a file of its own."""

    path: Path

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    def encoded(self) -> tuple[str, bytes]:
        """Suffix and content of the file; raises MienError."""
        try:
            return self.path.suffix.lower(), self.path.read_bytes()
        except OSError as error:
            raise MienError(f"{self.path} cannot be read ({error.strerror})", ANOTHER_COPY) from error

    def read(self) -> Image:
        """The picture, uint8 BGR (height, width, 3); raises MienError."""
        return _decode(self.name, self.encoded()[1])

    def file_size(self) -> int:
        """Bytes of the file; raises MienError."""
        return file_facts(self.path).st_size


@dataclass(frozen=True, slots=True)
class PictureBytes:
    """A picture file's content in memory."""

    name: str
    suffix: str
    data: bytes

    @property
    def path(self) -> None:
        """It is in no file."""

    def encoded(self) -> tuple[str, bytes]:
        """Suffix and content."""
        return self.suffix, self.data

    def read(self) -> Image:
        """The picture, uint8 BGR (height, width, 3); raises MienError."""
        return _decode(self.name, self.data)

    def file_size(self) -> int:
        """Bytes of the content."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class PixelText:
    """A square grey picture written as numbers in one field of a line of a csv file (FER2013).

    Attributes:
        path: the file.
        row: number of the line below the header, from 1.
        offset: where the field begins in the file, bytes.
        length: of the field, bytes.
        side: width and height, pixels.
    """

    path: Path
    row: int
    offset: int
    length: int
    side: int

    @property
    def name(self) -> str:
        """File and row."""
        return f"{self.path}, row {self.row}"

    def encoded(self) -> tuple[str, bytes]:
        """The picture as PNG; raises MienError."""
        return ".png", encode_png(self._grey())

    def read(self) -> Image:
        """The picture, uint8 BGR (height, width, 3); raises MienError."""
        return np.asarray(cv2.cvtColor(self._grey(), cv2.COLOR_GRAY2BGR), np.uint8)

    def file_size(self) -> int:
        """Bytes of the file; raises MienError."""
        return file_facts(self.path).st_size

    def _grey(self) -> NDArray[np.uint8]:
        try:
            values = np.array(read_part(self.path, self.offset, self.length).split(), np.int64)
        except ValueError as error:
            raise MienError(f"{self.name}: pixels hold something that is no number", ANOTHER_COPY) from error
        if len(values) != self.side**2 or values.min() < 0 or values.max() > 255:
            raise MienError(f"{self.name}: pixels are not {self.side**2} numbers from 0 to 255", ANOTHER_COPY)
        return values.astype(np.uint8).reshape(self.side, self.side)


@dataclass(frozen=True, slots=True)
class Base64Part:
    """A JPEG file as base64 text within a larger file (MS-Celeb-1M)."""

    path: Path
    row: int
    offset: int
    length: int

    @property
    def name(self) -> str:
        """File and row."""
        return f"{self.path}, row {self.row}"

    def encoded(self) -> tuple[str, bytes]:
        """Suffix and content of the JPEG; raises MienError."""
        try:
            return ".jpg", base64.b64decode(read_part(self.path, self.offset, self.length), validate=True)
        except binascii.Error as error:
            raise MienError(f"{self.name}: the picture is not base64 text ({error})", ANOTHER_COPY) from error

    def read(self) -> Image:
        """The picture, uint8 BGR (height, width, 3); raises MienError."""
        return _decode(self.name, self.encoded()[1])

    def file_size(self) -> int:
        """Bytes of the file; raises MienError."""
        return file_facts(self.path).st_size


@dataclass(frozen=True, slots=True)
class FilePart:
    """A picture file's content within a larger, uncompressed file (a shard).

    Attributes:
        path: the larger file.
        key: what the picture is called in it.
        suffix: of the picture file, as ".png".
        offset: where it begins, bytes.
        length: bytes.
    """

    path: Path
    key: str
    suffix: str
    offset: int
    length: int

    @property
    def name(self) -> str:
        """File and key."""
        return f"{self.path}, {self.key}"

    def encoded(self) -> tuple[str, bytes]:
        """Suffix and content; raises MienError."""
        return self.suffix, read_part(self.path, self.offset, self.length)

    def read(self) -> Image:
        """The picture, uint8 BGR (height, width, 3); raises MienError."""
        return _decode(self.name, self.encoded()[1])

    def file_size(self) -> int:
        """Bytes of the content."""
        return self.length


@dataclass(frozen=True, slots=True)
class VideoMoment:
    """One frame of a video: the one shown at a time, to within a frame."""

    path: Path
    time_s: float

    @property
    def name(self) -> str:
        """File and time."""
        return f"{self.path} at {self.time_s:g} s"

    def encoded(self) -> tuple[str, bytes]:
        """The frame as PNG; raises MienError."""
        return ".png", encode_png(self.read())

    def read(self) -> Image:
        """The frame, uint8 BGR (height, width, 3); raises MienError."""
        video = cv2.VideoCapture(str(self.path))
        try:
            video.set(cv2.CAP_PROP_POS_MSEC, 1000 * self.time_s)
            _, frame = video.read()
        finally:
            video.release()
        if frame is None:
            raise MienError(f"{self.name} cannot be decoded", ANOTHER_COPY)
        return np.asarray(frame, np.uint8)

    def file_size(self) -> int:
        """Bytes of the file; raises MienError."""
        return file_facts(self.path).st_size


def encode_png(image: Image) -> bytes:
    """A picture, uint8 BGR or grey, as a PNG file."""
    return bytes(cv2.imencode(".png", image)[1])


def read_part(path: Path, offset: int, length: int) -> bytes:
    """Part of a file; raises MienError, which names it."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror})", ANOTHER_COPY) from error
