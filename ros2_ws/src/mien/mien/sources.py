"""Pictures in time from files, folders, bags and webcams, all read the same way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np

from mien.errors import MienError, require
from mien.faces.detector import Image
from mien.images import ImageError, decode_compressed, decode_image, decode_picture

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
BAG_SUFFIXES = (".bag", ".db3", ".mcap")
FOLDER_RATE_HZ = 2.0  # well above the rate at which satisfaction would take pictures for a gap
_DEFAULT_RATE_HZ = 30.0  # of a video or webcam that does not tell its own
_DECODERS: dict[str, Callable[[Any], Image]] = {
    "sensor_msgs/msg/Image": decode_image,
    "sensor_msgs/msg/CompressedImage": decode_compressed,
}

Report = Callable[[MienError], None]


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Attributes:
        image: uint8, BGR (height, width, 3) or grey (height, width).
        source: the file, device or bag it is from.
        index: its place in the source, from 0; pictures that could not be read are counted.
        time_s: seconds since the source's first picture.
    """

    image: Image
    source: str
    index: int
    time_s: float


@dataclass(frozen=True)
class Source:
    """Something to iterate over, for its pictures in order.

    Files can be iterated over again and again, a webcam once, until the device is gone.

    Attributes:
        name: what it is, for people.
        rate_hz: its own rate; the mean one where the times between its pictures differ.
        frame_count: how many pictures it has, as far as its header knows; None for a webcam.
        live: whether the pictures show now and come at their own pace.
        read: starts from the beginning.
    """

    name: str
    rate_hz: float
    frame_count: int | None
    live: bool
    read: Callable[[], Iterator[Frame]]

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures; raises MienError if none could be read."""
        good = 0
        for frame in self.read():
            good += 1
            yield frame
        if not good:
            raise MienError(f"{self.name} gave no picture", "Give a source that other programs can show")


def _raise(problem: MienError) -> NoReturn:
    raise problem


def open_source(path: str | Path, topic: str = "", report: Report = _raise) -> Source:
    """Open a picture, folder of pictures, video, bag (ROS 1 or 2, sqlite3 or mcap) or webcam.

    Args:
        path: where it is; a number or /dev/video… means a webcam.
        topic: the bag's topic with images; empty: its first one.
        report: is told of each picture that cannot be read and is left out; by default it ends the reading.

    Raises:
        MienError: there is no such thing, or it cannot be read as any of these.
    """
    # Links like /dev/v4l/by-id/… name a camera for good.
    device = str(Path(path).resolve() if str(path).startswith("/dev/") else path)
    number = re.fullmatch(r"(?:/dev/video)?(\d+)", device)
    if number:
        return open_webcam(int(number[1]))
    try:
        return _open_file(Path(path), topic, report)
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror})", "Give this user the right to read it") from error


def _open_file(path: Path, topic: str, report: Report) -> Source:
    if not path.exists():
        raise MienError(
            f"{path} does not exist", "Give a picture, a folder of pictures, a video, a bag, or the number of a webcam"
        )
    if path.suffix.lower() in BAG_SUFFIXES or (path / "metadata.yaml").exists():
        return open_bag(path, topic, report)
    if path.is_dir():
        return open_folder(path, report)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return Source(str(path), FOLDER_RATE_HZ, 1, False, partial(_pictures, [path], report))
    return open_video(path, report)


def open_folder(path: Path, report: Report) -> Source:
    """The pictures right in a folder, in natural order (2.png before 10.png), FOLDER_RATE_HZ a second."""
    paths = sorted((file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES), key=_natural)
    if not paths:
        raise MienError(
            f"The folder {path} holds no pictures ({', '.join(PICTURE_SUFFIXES)})",
            "Give the folder that holds the pictures themselves",
        )
    return Source(str(path), FOLDER_RATE_HZ, len(paths), False, partial(_pictures, paths, report))


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort key by which numbers within names count as numbers."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts], path.name


def _pictures(paths: list[Path], report: Report) -> Iterator[Frame]:
    for index, path in enumerate(paths):
        try:
            yield Frame(decode_picture(path.read_bytes()), str(path), index, index / FOLDER_RATE_HZ)
        except ImageError as error:
            report(MienError(f"{path}: {error.problem}", error.remedy))
        except OSError as error:
            report(MienError(f"{path} cannot be read ({error.strerror})", "Give this user the right to read it"))


def open_video(path: Path, report: Report) -> Source:
    """A video in any format that OpenCV reads; its times are those of the file, also where its rate varies."""
    with closing(_Capture(str(path))) as capture:
        if capture.read() is None:
            raise MienError(
                f"{path} cannot be read as a video",
                f"Give a video (mp4, mkv, avi, …), a picture ({', '.join(PICTURE_SUFFIXES)}) or "
                f"a bag ({', '.join(BAG_SUFFIXES)})",
            )
        rate_hz, frame_count = capture.rate_hz, capture.frame_count
    return Source(str(path), rate_hz, frame_count, False, partial(_video, path, rate_hz, frame_count, report))


def _video(path: Path, rate_hz: float, frame_count: int | None, report: Report) -> Iterator[Frame]:
    index, time_s = 0, 0.0
    with closing(_Capture(str(path))) as capture:
        while (image := capture.read()) is not None:
            # Some files say nothing or go back in time: their pictures follow at the file's rate.
            stated_s = capture.position_s
            if index:
                time_s = stated_s if stated_s > time_s else time_s + 1 / rate_hz
            yield Frame(image, str(path), index, time_s)
            index += 1
    # The count in a header may be off by a few, which is no damage.
    if frame_count is not None and index < 0.9 * frame_count:
        problem = f"{path} ends after {index} of {frame_count} frames"
        report(MienError(problem, "It is damaged or was cut off: record or copy it again"))


def open_webcam(number: int) -> Source:
    """The camera /dev/video<number>, read as fast as it delivers."""
    name = f"/dev/video{number}"
    capture = _Capture(number)
    if capture.read() is None:
        capture.close()
        raise MienError(
            f"The webcam {name} gives no pictures",
            "Check that it is plugged in, that no other program uses it, and that you may read the device",
        )
    return Source(name, capture.rate_hz, None, True, partial(_webcam, name, capture))


def _webcam(name: str, capture: _Capture) -> Iterator[Frame]:
    start_s = time.monotonic()
    index = 0
    with closing(capture):
        while (image := capture.read()) is not None:
            yield Frame(image, name, index, time.monotonic() - start_s)
            index += 1


class _Capture:
    """OpenCV's reader of a video file or webcam."""

    def __init__(self, what: str | int) -> None:
        self._capture = cv2.VideoCapture(what)
        if isinstance(what, int):
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not one from a queue

    def read(self) -> Image | None:
        """The next picture; None at the end, and where nothing could be opened."""
        good, image = self._capture.read()
        return np.asarray(image, np.uint8) if good else None

    @property
    def position_s(self) -> float:
        """Time of the picture that was read last, seconds."""
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3

    @property
    def rate_hz(self) -> float:
        rate_hz = self._capture.get(cv2.CAP_PROP_FPS)
        return rate_hz if 0 < rate_hz <= 1000 else _DEFAULT_RATE_HZ

    @property
    def frame_count(self) -> int | None:
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        return count if count > 0 else None

    def close(self) -> None:
        self._capture.release()


def open_bag(path: Path, topic: str, report: Report) -> Source:
    """One topic of a ROS 1 or ROS 2 bag; an empty topic means the first one with Image or CompressedImage messages.

    Its times are those of recording.
    """
    with _bag_reader(path) as reader:
        images = [connection for connection in reader.connections if connection.msgtype in _DECODERS]
        topics = list(dict.fromkeys(connection.topic for connection in images))
        if not topics or (topic and topic not in topics):
            raise MienError(
                f"The bag {path} has no images" + (f" on the topic {topic}" if topic else ""),
                f"Its topics with images are: {', '.join(topics)}" if topics else "Give a bag with image topics",
            )
        topic = topic or topics[0]
        count = sum(connection.msgcount for connection in images if connection.topic == topic)
        duration_s = reader.duration / 1e9
    rate_hz = (count - 1) / duration_s if count > 1 and duration_s > 0 else _DEFAULT_RATE_HZ
    return Source(f"{path}, topic {topic}", rate_hz, count, False, partial(_bag, path, topic, report))


def _bag(path: Path, topic: str, report: Report) -> Iterator[Frame]:
    with _bag_reader(path) as reader:
        connections = [connection for connection in reader.connections if connection.topic == topic]
        start_ns: int | None = None
        for index, (connection, time_ns, data) in enumerate(reader.messages(connections)):
            start_ns = time_ns if start_ns is None else start_ns
            try:
                image = _DECODERS[connection.msgtype](reader.deserialize(data, connection.msgtype))
            except ImageError as error:
                report(MienError(f"{path}, topic {topic}, message {index}: {error.problem}", error.remedy))
                continue
            yield Frame(image, str(path), index, (time_ns - start_ns) / 1e9)


@contextmanager
def _bag_reader(path: Path) -> Iterator[Any]:
    """The `rosbags` reader of a bag, whose many kinds of errors become MienErrors."""
    highlevel, typesys = require("rosbags.highlevel", "ros"), require("rosbags.typesys", "ros")
    try:
        # Old ROS 2 bags do not say what their messages look like; images have not changed since Humble.
        with highlevel.AnyReader([path], default_typestore=typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)) as reader:
            yield reader
    except MienError:
        raise
    except Exception as error:  # its parsers let through whatever damaged bytes lead to
        raise MienError(
            f"The bag {path} cannot be read ({type(error).__name__}: {error})",
            "Give a bag folder, .mcap, .db3 or .bag file; one that was cut off can be mended with: ros2 bag reindex",
        ) from error
