"""The recording's numbers: one JSON line per frame in emotions.jsonl and per message in satisfaction.jsonl."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from mien.errors import MienError
from mien.records import FrameRecord

EMOTIONS_FILE = "emotions.jsonl"
SATISFACTION_FILE = "satisfaction.jsonl"

Level = Literal["unknown", "dissatisfied", "neutral", "satisfied"]


class RecordedFrame(FrameRecord, frozen=True):
    """A frame as it was published.

    Attributes:
        stamp: of the image, seconds with all nine decimals; `time_s` is relative to the recording's first frame.
        frame_id: of the image.
        camera: topic of the image.
        latency_ms: from the image's arrival at the perception node to its result, milliseconds.
    """

    stamp: msgspec.Raw
    frame_id: str
    camera: str
    latency_ms: float


class RecordedSatisfaction(msgspec.Struct, frozen=True):
    """A Satisfaction message; its fields have the same meaning there."""

    stamp: msgspec.Raw
    time_s: float
    subject: str
    face_id: str
    person_id: str
    score: float
    level: Level
    confidence: float
    trend: float
    duration_s: float
    observed_s: float
    present: bool


class LineWriter:
    """Appends JSON lines so that a process killed at any moment leaves whole lines.

    Raises:
        MienError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            # Unbuffered: a line is in the system's hands, and so survives this process, once write() returns.
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise MienError(f"{path} cannot be written ({error.strerror})", "Choose another out_dir") from error
        self._end = 0

    def write(self, record: msgspec.Struct) -> None:
        """Append a record; on a full disk the file ends with the last whole line and OSError is raised."""
        line = msgspec.json.encode(record) + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError("the disk is full")
        except OSError:
            self._file.truncate(self._end)
            self._file.seek(self._end)
            raise
        self._end += len(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
