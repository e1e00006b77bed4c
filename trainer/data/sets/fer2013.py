"""FER2013, 35,887 grey faces of 48 × 48 pixels in one csv file, and FER+, which labels the same faces anew.

    fer2013.csv          emotion,pixels,Usage            or, as the same challenge also publishes it,
    icml_face_data.csv   emotion, Usage, pixels          (with blanks in the header)
    fer2013new.csv       Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF

`Usage` is Training (28,709), PublicTest (3,589) or PrivateTest (3,589): the splits train, validation and test. FER+ has
one row for each of FER2013's, in the same order, with the votes of ten people; a row without a name is not used. Its
label is the majority's, by the rule of FER+'s own training code: single votes are dropped, then one label must have
more than half of the votes left, and be neither `unknown` nor `NF` (no face).

Checked against readers of both files and FER+'s own scripts; the numbers are the challenge's. The pixels of a row are
read when they are needed.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mien.errors import MienError
from mien.faces.detector import Box
from trainer.data.checks import Source, check_samples, look_up, read_rows, to_number, wrong_row
from trainer.data.pictures import PixelText
from trainer.data.sample import Sample, SampleList

SOURCE = Source(
    "FER2013",
    "Kaggle (competition: Challenges in Representation Learning: Facial Expression Recognition Challenge)",
    "fer2013.csv or icml_face_data.csv",
)
PLUS_SOURCE = Source(
    "FER+", "Microsoft (repository: FERPlus), whose labels belong to FER2013's pictures", "fer2013new.csv beside them"
)
LABELS = {
    "0": "anger",
    "1": "disgust",
    "2": "fear",
    "3": "happiness",
    "4": "sadness",
    "5": "surprise",
    "6": "neutral",
}
SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
SIDE = 48
PUBLISHED = 35_887
_FACE = Box(0, 0, SIDE, SIDE)  # registered so that it fills the picture, as a detector's box does: none would find it


def open_fer2013(folder: Path) -> SampleList:
    """Open FER2013 with the labels of its challenge.

    Raises:
        MienError: the file is missing, a column is, a row is cut off or has an unknown label, or a split lacks a class.
    """
    file = SOURCE.first_file(folder, "fer2013.csv", "icml_face_data.csv")
    samples = [
        Sample(picture, split, expression=look_up(LABELS, code, "emotion", file, picture.row), box=_FACE)
        for picture, split, code in _read(file)
    ]
    check_samples(file, samples, list(LABELS.values()), list(SPLITS.values()))
    return SampleList("FER2013", samples, PUBLISHED)


def open_fer_plus(folder: Path) -> SampleList:
    """Open FER2013's pictures with FER+'s labels: 8 classes, by majority.

    Raises:
        MienError: as `open_fer2013`, or the two files do not have the same rows.
    """
    file = SOURCE.first_file(folder, "fer2013.csv", "icml_face_data.csv")
    labels = PLUS_SOURCE.first_file(folder, "fer2013new.csv")
    faces = list(_read(file))
    rows = list(read_rows(labels, ["Usage", "Image name", *VOTES]))
    if len(rows) != len(faces):
        raise MienError(
            f"{labels} has {len(rows)} rows, {file} has {len(faces)}", "Download the one that is cut off again"
        )
    samples, left_out = [], Counter[str]()
    for (picture, split, _), (number, row) in zip(faces, rows, strict=True):
        if look_up(SPLITS, row["Usage"], "Usage", labels, number) != split:
            wrong_row(labels, number, f"Usage is {row['Usage']}, but {file} says {split}")
        label = majority({name: to_number(row[name], name, labels, number) for name in VOTES})
        if not row["Image name"] or label == "NF":
            left_out["no face"] += 1
        elif label == "unknown":
            left_out["no majority, or unknown"] += 1
        else:
            samples.append(Sample(picture, split, expression=label, box=_FACE))
    check_samples(labels, samples, VOTES[:-2], list(SPLITS.values()))
    return SampleList("FER+", samples, left_out=left_out)


def majority(votes: dict[str, float]) -> str:
    """The label that most people gave, `unknown` where there is none; FER+'s own rule."""
    counted = {name: count for name, count in votes.items() if count > 1}
    best = max(counted, key=lambda name: counted[name], default="unknown")
    return best if best in counted and counted[best] > 0.5 * sum(counted.values()) else "unknown"


def _read(file: Path) -> Iterator[tuple[PixelText, str, str]]:
    """Picture, split and emotion of each row; the pixels are only counted."""
    try:
        with file.open("rb") as lines:
            header = [name.strip() for name in _fields(file, 0, lines.readline())]
            absent = [name for name in ("emotion", "pixels", "Usage") if name not in header]
            if absent:
                raise MienError(
                    f"{file} has no column {', '.join(absent)}, but {', '.join(header)}",
                    "Its first line must be emotion,pixels,Usage or emotion, Usage, pixels",
                )
            place = {name: header.index(name) for name in header}
            offset = lines.tell()
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    offset += len(line)
                    continue
                fields = _fields(file, number, line)
                if len(fields) != len(header):
                    wrong_row(file, number, f"it has {len(fields)} fields instead of {len(header)}")
                pixels = fields[place["pixels"]]
                count = len(pixels.split())
                if count != SIDE**2:
                    wrong_row(file, number, f"pixels are {count} numbers instead of {SIDE**2}")
                split = look_up(SPLITS, fields[place["Usage"]].strip(), "Usage", file, number)
                begin = offset + line.index(pixels.encode())
                yield PixelText(file, number, begin, len(pixels), SIDE), split, fields[place["emotion"]].strip()
                offset += len(line)
    except OSError as error:
        raise MienError(f"{file} cannot be read ({error.strerror})", "Copy or download that file again") from error


def _fields(file: Path, row: int, line: bytes) -> list[str]:
    try:
        return next(csv.reader([line.decode("utf-8-sig")]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise MienError(f"{file}, row {row} is no csv ({error})", "Copy or download that file again") from error
