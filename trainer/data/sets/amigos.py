"""AMIGOS: people filmed from the front while they watch short films, with valence and arousal from three observers.

    External_Annotations.xlsx       one row for 20 seconds of one person and film
    Exp1_P01_face/P01_10_face.mov   person 1, film 10; anywhere below the folder

The columns UserID, Video_Number (1 to 16 are the short films), VideoID, Segment_Index, Valence_Annotator_1 … _3 and
Arousal_Annotator_1 … _3, the names of videos and the rule of the segments are those that public readers of the official
files use; the data set's own page confirms the two experiments, 40 people, 16 short films and three annotators. The
sheet itself was not seen. Segments: the first is the video's first 20 s; from 5 s on, where the film begins, each whole
20 s is one; the last 20 s of the video are one more.

Following paper 002, 3.1: one frame every 4 s, its label the mean of the three observers, in [-1, 1]. The observers'
scale already is that; a public reader names a few values beyond its ends, and these are set to the end. Where segments
overlap, a frame belongs to the regular one; frames before 5 s belong to the first, those after the regular ones to the
last. Paper 002's removal of frames without a visible face by hand is not reproduced. No frame is stored.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

from mien.errors import MienError, require
from trainer.data.checks import Source, wrong_row
from trainer.data.pictures import VideoMoment
from trainer.data.sample import Sample, SampleList

SOURCE = Source(
    "AMIGOS",
    "the Multimedia and Vision Group of Queen Mary University of London (page: AMIGOS)",
    "External_Annotations.xlsx and the frontal videos of the short-video experiment (Exp1_P01_face/P01_10_face.mov …)",
)
FRAME_EVERY_S = 4.0
SEGMENT_S = 20.0
FILM_BEGINS_S = 5.0
SHORT_FILMS = 16
ANNOTATORS = 3
_KEYS = ("UserID", "Video_Number", "VideoID", "Segment_Index")
_COLUMNS = {
    kind: [f"{kind}_Annotator_{number}" for number in range(1, ANNOTATORS + 1)] for kind in ("Valence", "Arousal")
}
_VIDEO = re.compile(r"P0*(\d+)_([A-Za-z0-9]+?)(?:_face)?\.(?:mov|mp4|avi)", re.IGNORECASE)
_BEYOND = 0.01
"""Share of values that may lie beyond [-1, 1]; more means another scale."""

Affect = tuple[float, float]


def open_amigos(folder: Path) -> SampleList:
    """Open AMIGOS's frontal recordings of short films: one frame every 4 s. It has no split of its own.

    Raises:
        MienError: the sheet or the videos are missing, a column or value is wrong, or a video does not have the
            segments that the sheet describes.
    """
    sheet = SOURCE.first_file(folder, "External_Annotations.xlsx")
    annotated = _annotations(sheet)
    left_out: Counter[str] = Counter()
    samples: list[Sample] = []
    videos = sorted(
        Path(place) / name
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if _VIDEO.fullmatch(name)
    )
    if not videos:
        raise SOURCE.missing(folder / "Exp1_P01_face" / "P01_10_face.mov")
    for path in videos:
        match = _VIDEO.fullmatch(path.name)
        key = (int(match.group(1)), match.group(2)) if match else (0, "")
        if key not in annotated:
            left_out["videos without an annotation of a short film"] += 1
            continue
        samples += _frames(path, key, annotated[key], sheet)
    if not samples:
        raise MienError(
            f"{sheet} describes none of the {len(videos)} videos below {folder}",
            "Put the recordings of the short-video experiment beside the sheet",
        )
    return SampleList("AMIGOS", samples, left_out=left_out)


def segment_of(time_s: float, duration_s: float) -> int:
    """Index, from 1, of the segment that a moment of a video belongs to."""
    regular = _regular_segments(duration_s)
    if time_s < FILM_BEGINS_S:
        return 1
    number = int((time_s - FILM_BEGINS_S) // SEGMENT_S)
    return 2 + min(number, regular)


def _regular_segments(duration_s: float) -> int:
    return max(0, int((duration_s - FILM_BEGINS_S) // SEGMENT_S))


def _frames(path: Path, key: tuple[int, str], segments: dict[int, Affect], sheet: Path) -> Iterator[Sample]:
    duration_s = _duration_s(path)
    # Containers round durations: a whole number of segments may come out a hair short.
    expected = {2 + _regular_segments(duration_s + slack) for slack in (-0.5, 0.0, 0.5)}
    if set(segments) not in [set(range(1, count + 1)) for count in expected]:
        raise MienError(
            f"{path} lasts {duration_s:.1f} s, which does not fit its segments {sorted(segments)} in {sheet}",
            "Download the video again; it may be cut off",
        )
    number = 0
    while number * FRAME_EVERY_S < duration_s:
        time_s = number * FRAME_EVERY_S
        valence, arousal = segments[min(segment_of(time_s, duration_s), len(segments))]
        yield Sample(
            VideoMoment(path, time_s),
            "all",
            person=f"P{key[0]:02d}",
            valence=valence,
            arousal=arousal,
            sequence=f"P{key[0]:02d}_{key[1]}",
            frame=number,
        )
        number += 1


def _duration_s(path: Path) -> float:
    video = cv2.VideoCapture(str(path))
    frames, rate_hz = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)
    video.release()
    if frames < 1 or rate_hz <= 0:
        raise MienError(f"{path} cannot be read as a video", "Copy or download that file again")
    return float(frames / rate_hz)


def _annotations(sheet: Path) -> dict[tuple[int, str], dict[int, Affect]]:
    """Mean valence and arousal by (person, film) and segment; of short films only."""
    result: dict[tuple[int, str], dict[int, Affect]] = defaultdict(dict)
    values = beyond = 0
    for number, row in _rows(sheet):
        person, film, segment = (_integer(row[key], key, sheet, number) for key in (_KEYS[0], _KEYS[1], _KEYS[3]))
        if film > SHORT_FILMS:
            continue
        scores = {
            kind: [_score(row[name], name, sheet, number) for name in columns] for kind, columns in _COLUMNS.items()
        }
        values += 2 * ANNOTATORS
        beyond += sum(abs(value) > 1 for ratings in scores.values() for value in ratings)
        means = [
            sum(max(-1.0, min(1.0, value)) for value in scores[kind]) / ANNOTATORS for kind in ("Valence", "Arousal")
        ]
        key = (person, str(row["VideoID"]).strip())
        if segment in result[key]:
            wrong_row(sheet, number, f"segment {segment} of person {person} and film {key[1]} is there twice")
        result[key][segment] = (means[0], means[1])
    if not result:
        raise MienError(f"{sheet} has no row of a short film", "Download the sheet again")
    if beyond > _BEYOND * values:
        raise MienError(
            f"{sheet}: {beyond} of {values} ratings lie beyond -1 to 1", "Bring the observers' ratings to -1 … 1"
        )
    return result


def _rows(sheet: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    openpyxl: Any = require("openpyxl", "data")
    try:
        book = openpyxl.load_workbook(sheet, read_only=True, data_only=True)
    except Exception as error:  # whatever openpyxl, or the zip and XML readers below it, make of damage
        raise MienError(f"{sheet} cannot be read ({error})", "Copy or download that file again") from error
    try:
        rows = book.worksheets[0].iter_rows(values_only=True)
        header = [str(name).strip() for name in next(rows, ())]
        wanted = [*_KEYS, *(name for columns in _COLUMNS.values() for name in columns)]
        absent = [name for name in wanted if name not in header]
        if absent:
            raise MienError(f"{sheet} has no column {', '.join(absent)}", f"It must name {', '.join(wanted)}")
        for number, row in enumerate(rows, 1):
            if any(value is not None for value in row):
                yield number, dict(zip(header, row, strict=False))
    finally:
        book.close()


def _integer(value: Any, key: str, sheet: Path, row: int) -> int:
    if not isinstance(value, (int, float)) or value != int(value):
        wrong_row(sheet, row, f"{key} is {value!r}, which is no whole number")
    return int(value)


def _score(value: Any, key: str, sheet: Path, row: int) -> float:
    if not isinstance(value, (int, float)):
        wrong_row(sheet, row, f"{key} is {value!r}, which is no number")
    return float(value)
