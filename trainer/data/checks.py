"""What the loaders share: errors for data that are missing or wrong, and the checks done when a data set is opened."""

from __future__ import annotations

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePath
from typing import NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from trainer.data.pictures import check_suffix
from trainer.data.sample import LANDMARKS, Sample

Value = TypeVar("Value")


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        title: its name.
        owner: whom to ask for it.
        layout: what its folder has to hold.
    """

    title: str
    owner: str
    layout: str

    def missing(self, path: Path) -> MienError:
        """What to say where a file or folder of the data set is not there."""
        return MienError(
            f"{path} is missing, so this is not {self.title}",
            f"Request the data set from {self.owner}, unpack it, and name the folder that holds {self.layout}",
        )

    def first_folder(self, root: Path, *names: str) -> Path:
        """The first of these folders below the root that exists.

        Raises:
            MienError: none does; it says what to request from whom.
        """
        for name in names:
            if (root / name).is_dir():
                return root / name
        raise self.missing(root / names[0])

    def first_file(self, root: Path, *names: str) -> Path:
        """The first of these files below the root that exists; raises MienError as `first_folder` does."""
        for name in names:
            if (root / name).is_file():
                return root / name
        raise self.missing(root / names[0])


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, sorted by name; hidden ones, as some archives carry, do not count."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def read_rows(
    path: Path,
    columns: Collection[str],
    fallback: list[str] | None = None,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Number, from 1, and named fields of each row of a csv file below its header; blank lines and blanks are dropped.

    Args:
        path: the file.
        columns: those that must be there; others may be.
        fallback: names of the columns of a file that has no header; without it a header is demanded.

    Raises:
        MienError: the file cannot be read, a column is missing, or a row has too few or too many fields.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            header = [name.strip() for name in next(reader, [])]
            rows: Iterable[list[str]] = reader
            if fallback and len(header) == len(fallback) and not set(header) & set(columns):
                header, rows = fallback, chain([header], reader)
            absent = [name for name in columns if name not in header]
            if absent:
                raise MienError(
                    f"{path} has no column {', '.join(absent)}, but {', '.join(header) or 'nothing'}",
                    f"Its first line must name the columns {', '.join(columns)}",
                )
            for number, row in enumerate(rows, 1):
                if not row:
                    continue
                if len(row) != len(header):
                    wrong_row(path, number, f"it has {len(row)} fields instead of {len(header)}")
                yield number, {name: value.strip() for name, value in zip(header, row, strict=True)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MienError(f"{path} cannot be read ({error})", "Copy or download that file again") from error


def wrong_row(path: Path, row: int, problem: str) -> NoReturn:
    """Raise the MienError for a row."""
    raise MienError(
        f"{path}, row {row}: {problem}", "The file is cut off or changed: download it again, or mend the row"
    )


def picture_inside(folder: Path, name: str, where: str) -> Path:
    """The path of a picture that a file of labels names.

    Args:
        folder: what the name starts from.
        name: relative path.
        where: file and row, for the error.

    Raises:
        MienError: the path leads out of the folder, or is no picture file's.
    """
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts:
        raise MienError(f"{where}: {name} is not inside {folder}", f"Name pictures by their path from {folder}")
    check_suffix(f"{where}: {name!r}", path.suffix)
    return folder / path


def look_up(table: Mapping[str, Value], text: str, key: str, path: Path, row: int | None = None) -> Value:
    """What a label stands for.

    Raises:
        MienError: the label is unknown.
    """
    if text not in table:
        where = f"{path}, row {row}" if row else str(path)
        known = ", ".join(map(str, table))
        raise MienError(f"{where}: {key} is {text!r}, which is no known label", f"Known are: {known}")
    return table[text]


def to_number(text: str, key: str, path: Path, row: int) -> float:
    """A finite number in a field; raises MienError, which names it."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        wrong_row(path, row, f"{key} is {text!r}, which is no number")
    return value


def to_landmarks(values: NDArray[np.floating] | list[str], where: str) -> NDArray[np.float32]:
    """68 points, float32 (68, 2), from x0, y0, x1, y1 and so on.

    Raises:
        MienError: there are more or fewer, or one is no finite number.
    """
    try:
        points = np.asarray(values, np.float32)
    except ValueError:
        points = np.empty(0, np.float32)
    if points.size != 2 * LANDMARKS or not np.isfinite(points).all():
        raise MienError(f"{where}: landmarks are not {LANDMARKS} points", "Copy or download that file again")
    return points.reshape(LANDMARKS, 2)


def check_classes(where: Path, expressions: Mapping[str, Collection[str]], classes: Collection[str]) -> None:
    """Check that each split has every class.

    Args:
        where: the data set's folder or file.
        expressions: expressions that each split has.
        classes: those that each split must have.

    Raises:
        MienError: a split is empty or lacks a class.
    """
    for split, found in expressions.items():
        if not found:
            raise MienError(f"{where}: the split {split} is empty", "Unpack the data set again, all of its parts")
        absent = [name for name in classes if name not in found]
        if absent:
            raise MienError(
                f"{where}: the split {split} has no sample of {', '.join(absent)}",
                "Unpack the data set again, all of its parts",
            )


def check_samples(where: Path, samples: Collection[Sample], classes: Collection[str], splits: Collection[str]) -> None:
    """Check that each of the splits has every class, and that nobody is in two of them; raises MienError."""
    found: dict[str, Counter[str]] = {split: Counter() for split in splits}
    people: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        found[sample.split][sample.expression or ""] += 1
        if sample.person is not None:
            people[sample.person].add(sample.split)
    check_classes(where, found, classes)
    check_people(where, people)


def check_people(where: Path | str, splits_of_person: Mapping[str, Collection[str]]) -> None:
    """Check that nobody is in two splits; raises MienError."""
    shared = sorted(person for person, splits in splits_of_person.items() if len(splits) > 1)
    if shared:
        raise MienError(
            f"{where}: {len(shared)} people are in more than one split, first {shared[0]} "
            f"({', '.join(sorted(splits_of_person[shared[0]]))})",
            "Put all pictures of a person into one split",
        )
