"""A lesson: a video of one person is labelled in some spans, and what that changes is measured in others."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError

LABELS_PER_SPAN = 5
APART_S = 0.5
"""Frames nearer than this to a labelled moment are not held out: neighbours in time look alike."""
EVERYTHING = "all"

_Seconds = Annotated[float, msgspec.Meta(ge=0)]


class LabelledSpan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the person expresses from `start_s` to `end_s`; labels are given there, or only measured (`held_out`)."""

    start_s: _Seconds
    end_s: _Seconds
    expression: str
    held_out: bool


class SpanLabels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Labels of a video: `about` says whose they are, for people; the spans do not overlap."""

    about: str
    spans: list[LabelledSpan]

    def span_at(self, time_s: float) -> LabelledSpan | None:
        """The span that a frame is in."""
        return next((span for span in self.spans if span.start_s <= time_s <= span.end_s), None)

    def is_to_learn(self, time_s: float) -> bool:
        """Whether a frame is in a span that is labelled for the robot."""
        span = self.span_at(time_s)
        return span is not None and not span.held_out

    def moments_s(self) -> list[float]:
        """When labels are given, in order: in the middle of equal parts of the spans that are not held out."""
        parts = (np.arange(LABELS_PER_SPAN) + 0.5) / LABELS_PER_SPAN
        learned = (span for span in self.spans if not span.held_out)
        return sorted(
            float(moment) for span in learned for moment in np.interp(parts, (0, 1), (span.start_s, span.end_s))
        )


def read_span_labels(path: Path) -> SpanLabels:
    """Read a JSON file.

    Raises:
        MienError: it cannot be read, or says something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=SpanLabels)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MienError(f"{path} has no labelled spans ({error})", "Give a file like demo_video_labels.json") from error


class TrueLabel(msgspec.Struct, frozen=True):
    """Mean probability of the true label over held-out frames, 0 to 1, with the base head and the personal one."""

    frames: int
    before: float
    after: float


class Learned(msgspec.Struct, frozen=True):
    """What labels changed for the person on screen.

    Attributes:
        about: whose labels these are.
        labels: how many were given.
        heads: how many heads were learned from them, one after the other.
        label_to_output_ms: from a label to the first image that its new head answered for: median and max; empty when
            no label changed the head.
        held_out: by expression, and over `EVERYTHING`.
        forgotten_samples: labelled moments that were removed at the end.
        forgotten_heads: heads that were.
    """

    about: str
    labels: int
    heads: int
    label_to_output_ms: dict[str, float]
    held_out: dict[str, TrueLabel]
    forgotten_samples: int
    forgotten_heads: int


@dataclass
class Lesson:
    """What was seen in a lesson.

    Attributes:
        labels: of the video.
        moments_s: when labels were given, in the video's time.
        label_to_output_ms: of each label that changed the head.
        before: probability of the true label by the video's time, with the base head; of frames that show the face.
        after: with the personal head.
        forgotten_samples, forgotten_heads: how much was removed at the end.
    """

    labels: SpanLabels
    moments_s: list[float] = field(default_factory=list)
    label_to_output_ms: list[float] = field(default_factory=list)
    before: dict[float, float] = field(default_factory=dict)
    after: dict[float, float] = field(default_factory=dict)
    forgotten_samples: int = 0
    forgotten_heads: int = 0

    def summarise(self) -> Learned:
        """The figures; over the frames that showed the face both times."""
        shown = sorted(self.before.keys() & self.after.keys())
        rows: dict[str, list[tuple[float, float]]] = {}
        for time_s in shown:
            span = self.labels.span_at(time_s)
            apart_s = min((abs(time_s - moment) for moment in self.moments_s), default=math.inf)
            if span is not None and span.held_out and apart_s >= APART_S:
                rows.setdefault(span.expression, []).append((self.before[time_s], self.after[time_s]))
        tables = {expression: np.array(pairs, np.float64) for expression, pairs in rows.items()}
        if len(tables) > 1:
            tables[EVERYTHING] = np.concatenate(list(tables.values()))
        times = self.label_to_output_ms
        return Learned(
            about=self.labels.about,
            labels=len(self.moments_s),
            heads=len(times),
            label_to_output_ms={"median": _rounded(np.median(times)), "max": _rounded(max(times))} if times else {},
            held_out={name: _true_label(table) for name, table in tables.items()},
            forgotten_samples=self.forgotten_samples,
            forgotten_heads=self.forgotten_heads,
        )


def _true_label(table: NDArray[np.float64]) -> TrueLabel:
    before, after = table.mean(axis=0)
    return TrueLabel(len(table), round(float(before), 4), round(float(after), 4))


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 2)
