"""One's own data as a csv file: a row for each picture, with whatever is known of it.

    picture,split,person,expression,valence,arousal,x,y,width,height,landmarks
    a/0001.jpg,train,anna,happiness,0.8,0.4,12,20,96,110,

Only `picture` (a path, from the csv file's folder) must be there; an empty field means unknown. `category`, `sequence`
and `frame` are further columns; `landmarks` are 68 points as x;y;x;y…
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from mien.bundle import CANONICAL_LABELS
from mien.errors import MienError
from mien.faces.detector import Box
from trainer.data.checks import check_people, look_up, picture_inside, read_rows, to_landmarks, to_number, wrong_row
from trainer.data.pictures import PictureFile
from trainer.data.sample import SPLITS, Sample, SampleList

_BOX = ("x", "y", "width", "height")
COLUMNS = (
    *("picture", "split", "person", "expression", "category", "valence", "arousal"),
    *(*_BOX, "landmarks", "sequence", "frame"),
)
_SPLITS = {name: name for name in SPLITS}
_LABELS = {label: label for label in CANONICAL_LABELS}


def open_table(file: Path) -> SampleList:
    """Open a csv file of pictures.

    Raises:
        MienError: the file cannot be read, a column is unknown, a field makes no sense, a picture is not there, the
            file has no row, or a person is in two splits.
    """
    samples: list[Sample] = []
    splits: dict[str, set[str]] = defaultdict(set)
    for number, row in read_rows(file, ["picture"]):
        unknown = [name for name in row if name not in COLUMNS]
        if unknown:
            raise MienError(f"{file} has the unknown column {unknown[0]!r}", f"Known are {', '.join(COLUMNS)}")
        sample = _sample(file, number, {name: value for name, value in row.items() if value})
        samples.append(sample)
        if sample.person is not None:
            splits[sample.person].add(sample.split)
    if not samples:
        raise MienError(f"{file} has no row", "Give it a row for each picture")
    check_people(file, splits)
    return SampleList(file.stem, samples)


def _sample(file: Path, number: int, row: dict[str, str]) -> Sample:
    def value(key: str) -> float | None:
        return to_number(row[key], key, file, number) if key in row else None

    affects = {key: value(key) for key in ("valence", "arousal")}
    for key, affect in affects.items():
        if affect is not None and not -1 <= affect <= 1:
            wrong_row(file, number, f"{key} is {row[key]}, which is not from -1 to 1")
    if "frame" in row and not row["frame"].isdecimal():
        wrong_row(file, number, f"frame is {row['frame']!r}, which is no whole number")
    path = picture_inside(file.parent, row.get("picture", ""), f"{file}, row {number}")
    if not path.is_file():
        wrong_row(file, number, f"the picture {path} is not there")
    return Sample(
        PictureFile(path),
        look_up(_SPLITS, row.get("split", "all"), "split", file, number),
        person=row.get("person"),
        expression=look_up(_LABELS, row["expression"], "expression", file, number) if "expression" in row else None,
        category=row.get("category"),
        valence=affects["valence"],
        arousal=affects["arousal"],
        box=_box(file, number, row),
        landmarks=to_landmarks(row["landmarks"].split(";"), f"{file}, row {number}") if "landmarks" in row else None,
        sequence=row.get("sequence"),
        frame=int(row["frame"]) if "frame" in row else None,
    )


def _box(file: Path, number: int, row: dict[str, str]) -> Box | None:
    given = [key for key in _BOX if key in row]
    if not given:
        return None
    if len(given) < len(_BOX):
        wrong_row(file, number, f"the box has only {', '.join(given)}")
    x, y, width, height = (to_number(row[key], key, file, number) for key in _BOX)
    if width <= 0 or height <= 0:
        wrong_row(file, number, "the box is empty")
    return Box(x, y, width, height)
