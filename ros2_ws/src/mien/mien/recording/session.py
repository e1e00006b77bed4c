"""A recording while it is made: files that grow, and at the end summary and report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mien.errors import MienError
from mien.faces.detector import Image
from mien.pipeline import FaceAffect
from mien.recording.lines import (
    EMOTIONS_FILE,
    SATISFACTION_FILE,
    LineWriter,
    RecordedFrame,
    RecordedSatisfaction,
)
from mien.recording.matching import StampMatcher
from mien.recording.reading import read_recording
from mien.recording.report import REPORT_FILE, render_report
from mien.recording.summary import SUMMARY_FILE, NodeFigures, summarise
from mien.recording.video import AnnotatedVideo
from mien.recording.worker import Worker

VIDEO_FILE = "annotated.mp4"
_FILES = (EMOTIONS_FILE, SATISFACTION_FILE, SUMMARY_FILE, REPORT_FILE, VIDEO_FILE, f".{VIDEO_FILE}.part")
# Lines are small and never to be lost: minutes may wait. Pictures are large: a second.
_LINES_WAITING, _PICTURES_WAITING = 10_000, 30


@dataclass(frozen=True)
class Result:
    """What the picture of one stamp shows."""

    time_s: float
    faces: Sequence[FaceAffect]
    labels: Sequence[str]


class Session:
    """One recording in one folder. Every method returns at once; threads do the work.

    Args:
        folder: where to; made if missing. An earlier recording there is removed.
        source: what is read, for people.
        source_note: more about it.
        with_pictures: whether pictures of people may be stored. Without, `add_image` must not be called.

    Raises:
        MienError: the folder cannot be written, or the module for videos is missing.
    """

    def __init__(self, folder: Path, source: str, source_note: str, with_pictures: bool) -> None:
        self.folder, self._source, self._source_note = folder, source, source_note
        self._started = datetime.now().astimezone().isoformat(timespec="seconds")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in _FILES:
                (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise MienError(f"{folder} cannot be written ({error.strerror})", "Choose another out_dir") from error
        self.unreadable = 0
        self.model: Mapping[str, str] = {}
        self.figures = NodeFigures()
        self._emotions = LineWriter(folder / EMOTIONS_FILE)
        self._satisfaction = LineWriter(folder / SATISFACTION_FILE)
        self._video = AnnotatedVideo(folder / VIDEO_FILE) if with_pictures else None
        self._matcher: StampMatcher[Callable[[], Image], Result] = StampMatcher(_PICTURES_WAITING)
        self._lines: Worker[RecordedFrame | RecordedSatisfaction] = Worker("lines", self._write_line, _LINES_WAITING)
        self._pictures: Worker[tuple[Callable[[], Image], Result]] = Worker(
            "pictures", self._write_picture, _PICTURES_WAITING
        )

    def add_frame(self, record: RecordedFrame) -> None:
        """Record the numbers of one frame."""
        self._lines.offer(record)

    def add_satisfaction(self, record: RecordedSatisfaction) -> None:
        """Record one satisfaction message."""
        self._lines.offer(record)

    def add_image(self, stamp_ns: int, decode: Callable[[], Image]) -> None:
        """Record the picture of a stamp, together with its result; `decode` is called by a thread, if at all."""
        self._draw(self._matcher.add_image(stamp_ns, decode))

    def add_result(self, stamp_ns: int, result: Result) -> None:
        """Give the result that is to be drawn into the picture of that stamp."""
        if self._video is not None:
            self._draw(self._matcher.add_result(stamp_ns, result))

    def close(self) -> None:
        """Write what waits, finish the video, and write summary and report."""
        self._lines.close()
        self._pictures.close()
        self._emotions.close()
        self._satisfaction.close()
        has_video = self._video is not None and self._video.close()
        samples = self._video.samples if self._video is not None else []
        recording = read_recording(self.folder)
        summary = summarise(
            recording, self.figures, self._source, self._source_note, self._started, self.model, self._own_figures()
        )
        _write_whole(self.folder / SUMMARY_FILE, summary.to_json())
        _write_whole(self.folder / REPORT_FILE, render_report(summary, recording, samples, has_video).encode())

    def _own_figures(self) -> dict[str, object]:
        figures: Counter[str] = Counter(lines_dropped=self._lines.dropped, lines_failed=self._lines.failed)
        figures["messages_unreadable"] = self.unreadable
        if self._video is not None:
            figures["pictures_written"] = self._pictures.handled
            figures["pictures_dropped"] = self._pictures.dropped
            figures["pictures_failed"] = self._pictures.failed
            figures["pictures_without_result"] = self._matcher.unpaired_images
            figures["results_without_picture"] = self._matcher.unpaired_results
        problems = [worker.problem for worker in (self._lines, self._pictures) if worker.problem]
        return {**figures, "problems": problems}

    def _draw(self, pair: tuple[Callable[[], Image], Result] | None) -> None:
        if pair is not None:
            self._pictures.offer(pair)

    def _write_line(self, record: RecordedFrame | RecordedSatisfaction) -> None:
        (self._emotions if isinstance(record, RecordedFrame) else self._satisfaction).write(record)

    def _write_picture(self, pair: tuple[Callable[[], Image], Result]) -> None:
        assert self._video is not None  # noqa: S101  pairs are made only for a video
        decode, result = pair
        self._video.write(result.time_s, decode(), result.faces, result.labels)


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all."""
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_bytes(data)
    unfinished.replace(path)
