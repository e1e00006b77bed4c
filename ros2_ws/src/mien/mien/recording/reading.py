"""A recording read back from its JSON lines, as series over time for summary and report."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from mien.recording.lines import EMOTIONS_FILE, SATISFACTION_FILE, RecordedFrame, RecordedSatisfaction

Record = TypeVar("Record")
LONGEST_STEP_S = 1.0
"""A face counts as seen until its next frame, but no longer than this after its last."""


@dataclass
class FaceSeries:
    """One face over time; all arrays have one entry per frame that shows it, probabilities one per label and frame."""

    time_s: array[float] = field(default_factory=lambda: array("d"))
    probabilities: array[float] = field(default_factory=lambda: array("f"))
    valence: array[float] = field(default_factory=lambda: array("f"))
    arousal: array[float] = field(default_factory=lambda: array("f"))
    labels: tuple[str, ...] = ()

    def add(self, time_s: float, probabilities: dict[str, float], valence: float | None, arousal: float | None) -> None:
        """Append one frame."""
        self.labels = self.labels or tuple(probabilities)
        self.time_s.append(time_s)
        self.probabilities.extend(probabilities.get(label, 0.0) for label in self.labels)
        self.valence.append(np.nan if valence is None else valence)
        self.arousal.append(np.nan if arousal is None else arousal)

    def probability_table(self) -> NDArray[np.float32]:
        """float32 (frames, labels)."""
        return np.frombuffer(self.probabilities, np.float32).reshape(len(self.time_s), len(self.labels))

    def durations_s(self) -> NDArray[np.float64]:
        """float64 (frames,): how long each frame stands for, seconds."""
        times = np.frombuffer(self.time_s, np.float64)
        steps = np.clip(np.diff(times), 0, LONGEST_STEP_S)
        return np.append(steps, np.median(steps) if len(steps) else 0.0)

    def expression_seconds(self) -> dict[str, float]:
        """Seconds for which each expression was the most probable one, by label; the longest first.

        Empty for a model without classes.
        """
        if not self.labels:
            return {}
        best, durations = self.probability_table().argmax(axis=1), self.durations_s()
        seconds = {label: float(durations[best == i].sum()) for i, label in enumerate(self.labels)}
        frames = {label: int((best == i).sum()) for i, label in enumerate(self.labels)}
        # A face seen in one frame has no seconds, but an expression.
        return dict(sorted(seconds.items(), key=lambda item: (-item[1], -frames[item[0]])))


@dataclass
class SatisfactionSeries:
    """Satisfaction of one face with one subject, one entry per message."""

    time_s: array[float] = field(default_factory=lambda: array("d"))
    score: array[float] = field(default_factory=lambda: array("f"))
    last: RecordedSatisfaction | None = None


@dataclass
class Recording:
    """Everything read from a recording's folder.

    Attributes:
        times_s: of all frames, relative to the first.
        latency_ms: of all frames.
        faces: by id, in order of appearance.
        satisfaction: by face id (or person id, in a summary of a person) and subject.
    """

    times_s: array[float] = field(default_factory=lambda: array("d"))
    latency_ms: array[float] = field(default_factory=lambda: array("f"))
    faces: dict[str, FaceSeries] = field(default_factory=lambda: defaultdict(FaceSeries))
    satisfaction: dict[tuple[str, str], SatisfactionSeries] = field(
        default_factory=lambda: defaultdict(SatisfactionSeries)
    )

    @property
    def duration_s(self) -> float:
        """From the first to the last frame, seconds; 0 for fewer than two."""
        return max(self.times_s) - min(self.times_s) if self.times_s else 0.0


def read_recording(folder: Path) -> Recording:
    """Read emotions.jsonl and satisfaction.jsonl."""
    recording = Recording()
    for frame in _records(folder / EMOTIONS_FILE, msgspec.json.Decoder(RecordedFrame)):
        recording.times_s.append(frame.time_s)
        recording.latency_ms.append(frame.latency_ms)
        for face in frame.faces:
            recording.faces[face.id].add(frame.time_s, face.probabilities, face.valence, face.arousal)
    for record in _records(folder / SATISFACTION_FILE, msgspec.json.Decoder(RecordedSatisfaction)):
        series = recording.satisfaction[record.face_id or record.person_id, record.subject]
        series.time_s.append(record.time_s)
        series.score.append(record.score)
        series.last = record
    return recording


def _records(path: Path, decoder: msgspec.json.Decoder[Record]) -> Iterator[Record]:
    with path.open("rb") as lines:
        for line in lines:
            yield decoder.decode(line)
