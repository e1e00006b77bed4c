"""Results as JSON lines: the same fields from `mien read --json` and from the recorder's emotions.jsonl."""

from __future__ import annotations

import math

import msgspec

from mien.errors import MienError
from mien.pipeline import FaceAffect


class FaceRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One face.

    Attributes:
        id: stable while the face is tracked.
        box: x, y, width, height in pixels of the image.
        landmarks: x, y in pixels, 5 or 68 points; empty when there are none.
        probabilities: by label, 0 to 1, smoothed over time in videos and live; classes the model lacks are absent.
        expression: the most probable label; empty when the model has no classes.
        confidence: its probability, 0 to 1, or null when the model has no classes.
        valence: -1 to 1, or null when the model has none.
        arousal: -1 to 1, or null.
        parts: by name of each part of the model, its own highest probability, 0 to 1, unsmoothed; left out without
            several.
    """

    id: str
    box: tuple[int, int, int, int]
    landmarks: list[tuple[float, float]]
    probabilities: dict[str, float]
    expression: str
    confidence: float | None
    valence: float | None
    arousal: float | None
    parts: dict[str, float] = {}


class FrameRecord(msgspec.Struct, frozen=True):
    """One image: `source` is its file or topic, `frame` its number there from 0, `time_s` its time in seconds."""

    source: str
    frame: int
    time_s: float
    faces: list[FaceRecord]

    def to_json(self) -> bytes:
        """One line of JSON without its end."""
        return msgspec.json.encode(self)


def face_record(
    face_id: str,
    box: tuple[float, float, float, float],
    landmarks: list[tuple[float, float]],
    probabilities: dict[str, float],
    expression: str,
    valence: float,
    arousal: float,
    parts: dict[str, float] | None = None,
) -> FaceRecord:
    """Round to what the numbers are worth; valence and arousal that are NaN become null, which JSON can say.

    Raises:
        MienError: another number is not finite.
    """
    numbers = [*box, *(number for point in landmarks for number in point), *probabilities.values()]
    numbers += (parts or {}).values()
    if not all(math.isfinite(number) for number in numbers):
        raise MienError(f"The result of face {face_id} has numbers that are not finite", "Report what published it")
    return FaceRecord(
        id=face_id,
        box=(round(box[0]), round(box[1]), round(box[2]), round(box[3])),
        landmarks=[(round(x, 1), round(y, 1)) for x, y in landmarks],
        probabilities={label: round(value, 4) for label, value in probabilities.items()},
        expression=expression,
        confidence=round(probabilities[expression], 4) if probabilities else None,
        valence=None if math.isnan(valence) else round(valence, 4),
        arousal=None if math.isnan(arousal) else round(arousal, 4),
        parts={name: round(value, 4) for name, value in (parts or {}).items()},
    )


def record_of(face: FaceAffect, labels: tuple[str, ...]) -> FaceRecord:
    """The record of a face from the pipeline."""
    points = [] if face.landmarks is None else [(float(x), float(y)) for x, y in face.landmarks]
    return face_record(
        face.face_id,
        (face.box.x, face.box.y, face.box.width, face.box.height),
        points,
        dict(zip(labels, face.probabilities.tolist(), strict=True)),
        face.expression,
        face.valence,
        face.arousal,
        dict(zip(face.part_names, face.part_confidences.tolist(), strict=True)),
    )
