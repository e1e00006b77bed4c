"""summary.json: what came in, what became of it, how long it took, and what the faces expressed."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from mien.recording.lesson import Learned
from mien.recording.reading import FaceSeries, Recording

SUMMARY_FILE = "summary.json"
_PACKAGES = ("mien", "numpy", "opencv-python-headless", "onnxruntime", "av", "ros-kilted-rclpy")


class FaceSummary(msgspec.Struct, frozen=True):
    """One face: its id, when it was first and last seen, how many frames and seconds, and its expressions' seconds."""

    id: str
    first_s: float
    last_s: float
    frames: int
    seconds: float
    expression_seconds: dict[str, float]
    mean_valence: float | None
    mean_arousal: float | None


class SatisfactionSummary(msgspec.Struct, frozen=True):
    """The last satisfaction of one face (or person) with one subject; `mean_score` is over all its messages."""

    id: str
    subject: str
    score: float
    mean_score: float
    level: str
    confidence: float
    duration_s: float
    observed_s: float


class Summary(msgspec.Struct, frozen=True):
    """The contents of summary.json.

    Attributes:
        source: what was read; `source_note` says more about it.
        started: when the recording began, ISO 8601 with time zone.
        duration_s: from the first to the last image, by their stamps.
        frames_in: images that arrived at the perception node; = `frames_processed` + all of `frames_dropped`. These
            three are null when the node never said so on /diagnostics.
        frames_processed: images whose result was published.
        frames_dropped: images without a result, by reason.
        frames_recorded: lines in emotions.jsonl.
        fps: results per second of the images' own time.
        latency_ms: from an image's arrival at the node to its result: median, p99 and max.
        stages_ms: median and p99 of the node's stages over its newest images, as it reported them last.
        faces: the longest seen first.
        expression_seconds: over all faces.
        satisfaction: per face or person and subject.
        model: name, sha256 and what the node said about its runtime.
        recorder: lines and pictures written, dropped or failed, and messages that could not be read.
        versions: of Python, ROS and packages.
        learned: what labels changed, where a lesson followed.
    """

    source: str
    source_note: str
    started: str
    duration_s: float
    frames_in: int | None
    frames_processed: int | None
    frames_dropped: dict[str, int] | None
    frames_recorded: int
    fps: float
    latency_ms: dict[str, float]
    stages_ms: dict[str, dict[str, float]]
    faces: list[FaceSummary]
    expression_seconds: dict[str, float]
    satisfaction: list[SatisfactionSummary]
    model: dict[str, str]
    recorder: dict[str, Any]
    versions: dict[str, str]
    learned: Learned | None = None

    def to_json(self) -> bytes:
        """Readable JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


class NodeFigures(msgspec.Struct, frozen=True):
    """What the perception node says of itself on /diagnostics; fields as in Summary."""

    frames_in: int | None = None
    frames_processed: int | None = None
    frames_dropped: dict[str, int] | None = None
    stages_ms: dict[str, dict[str, float]] = {}
    model: dict[str, str] = {}


def node_figures(frames: Mapping[str, str], model: Mapping[str, str]) -> NodeFigures:
    """From the key → value pairs of the node's statuses `frames` and `model`.

    Raises:
        KeyError, ValueError: a figure is missing or is no number.
    """
    stages: dict[str, dict[str, float]] = {}
    for key, value in frames.items():
        name, _, statistic = key.partition("_ms.")
        if statistic and name != "latency":  # that one is taken from all frames
            stages.setdefault(name, {})[statistic] = float(value)
    return NodeFigures(
        frames_in=int(frames["frames_in"]),
        frames_processed=int(frames["frames_processed"]),
        frames_dropped={
            key.partition(".")[2]: int(value) for key, value in frames.items() if key.startswith("dropped.")
        },
        stages_ms=stages,
        model=dict(model),
    )


def summarise(
    recording: Recording,
    figures: NodeFigures,
    source: str,
    source_note: str,
    started: str,
    model: Mapping[str, str],
    recorder: Mapping[str, Any],
) -> Summary:
    """Sum a recording up; arguments as in Summary."""
    faces = [_face(face_id, series) for face_id, series in recording.faces.items()]
    seconds: Counter[str] = Counter()
    for face in faces:
        seconds.update(face.expression_seconds)
    duration_s = recording.duration_s
    return Summary(
        source=source,
        source_note=source_note,
        started=started,
        duration_s=round(duration_s, 3),
        frames_in=figures.frames_in,
        frames_processed=figures.frames_processed,
        frames_dropped=figures.frames_dropped,
        frames_recorded=len(recording.times_s),
        fps=round((len(recording.times_s) - 1) / duration_s, 2) if duration_s else 0.0,
        latency_ms=_latency(recording),
        stages_ms=figures.stages_ms,
        faces=sorted(faces, key=lambda face: -face.seconds),
        expression_seconds={label: round(value, 2) for label, value in seconds.most_common()},
        satisfaction=_satisfaction(recording),
        model={**model, **figures.model},
        recorder=dict(recorder),
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Versions of what makes a difference to the numbers."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if "ROS_DISTRO" in os.environ:
        found["ros"] = os.environ["ROS_DISTRO"]
    return found


def _latency(recording: Recording) -> dict[str, float]:
    if not recording.latency_ms:
        return {}
    values = np.frombuffer(recording.latency_ms, np.float32)
    figures = {"median": np.median(values), "p99": np.percentile(values, 99), "max": values.max()}
    return {name: round(float(value), 2) for name, value in figures.items()}


def _face(face_id: str, series: FaceSeries) -> FaceSummary:
    return FaceSummary(
        id=face_id,
        first_s=round(min(series.time_s), 3),
        last_s=round(max(series.time_s), 3),
        frames=len(series.time_s),
        seconds=round(float(series.durations_s().sum()), 2),
        expression_seconds={label: round(value, 2) for label, value in series.expression_seconds().items()},
        mean_valence=_mean(series.valence),
        mean_arousal=_mean(series.arousal),
    )


def _mean(values: Any) -> float | None:
    known = np.frombuffer(values, np.float32)
    known = known[~np.isnan(known)]
    return round(float(known.mean()), 3) if len(known) else None


def _satisfaction(recording: Recording) -> list[SatisfactionSummary]:
    return [
        SatisfactionSummary(
            id=who,
            subject=subject,
            score=series.last.score,
            mean_score=round(float(np.mean(series.score)), 3),
            level=series.last.level,
            confidence=series.last.confidence,
            duration_s=series.last.duration_s,
            observed_s=series.last.observed_s,
        )
        for (who, subject), series in recording.satisfaction.items()
        if series.last is not None
    ]
