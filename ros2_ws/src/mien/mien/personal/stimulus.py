"""Files that say what was shown when: time → class, or valence and arousal; they label moments without asking anyone.

Paper 002 (section 3.1) labels frames this way, one every four seconds.
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import msgspec

from mien.errors import MienError

_MAXIMUM_BYTES = 1 << 24
_MAXIMUM_S = 1e6
_FIELDS = "time_s, and expression or valence and arousal or both"


class StimulusLabel(msgspec.Struct, frozen=True):
    """What was shown at one time.

    Attributes:
        time_s: seconds after the beginning, 0 to 1e6.
        expression: a class label; empty when not said.
        valence: -1 to 1; NaN when not said, then arousal is too.
        arousal: -1 to 1.
    """

    time_s: float
    expression: str
    valence: float
    arousal: float


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    time_s: float
    expression: str = ""
    valence: float = math.nan
    arousal: float = math.nan


def read_stimulus(path: Path, every_s: float) -> list[StimulusLabel]:
    """Read a .csv (first line: names of the columns) or .json (a list of objects).

    Args:
        path: the file.
        every_s: at most one label in so many seconds, the first of each span; 0 keeps all.

    Returns:
        Labels in the order of time, one or more.

    Raises:
        MienError: the file cannot be read, or a line says nothing, too little or nonsense; the span is none.
    """
    if not 0 <= every_s <= _MAXIMUM_S:
        raise MienError(f"Labels cannot be taken every {every_s:g} s", f"Give seconds from 0 to {_MAXIMUM_S:g}")
    try:
        if path.stat().st_size > _MAXIMUM_BYTES:
            raise MienError(f"{path} is larger than {_MAXIMUM_BYTES} bytes", "Give fewer labels")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MienError(f"{path} cannot be read ({error})", "Give a .csv or .json file") from error
    rows = _json_rows(text, path) if path.suffix.lower() == ".json" else _csv_rows(text, path)
    labels = sorted(
        (_label(row, f"{path}, label {number}") for number, row in enumerate(rows, 1)), key=lambda one: one.time_s
    )
    if not labels:
        raise MienError(f"{path} has no labels", f"Give lines with {_FIELDS}")
    kept = labels[:1]
    for one in labels[1:]:
        if one.time_s - kept[-1].time_s >= every_s:
            kept.append(one)
    return kept


def _json_rows(text: str, path: Path) -> list[Any]:
    try:
        return msgspec.json.decode(text, type=list[Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise MienError(f"{path} is not a JSON list ({error})", f"Give a list of objects with {_FIELDS}") from error


def _csv_rows(text: str, path: Path) -> list[Any]:
    rows = csv.DictReader(io.StringIO(text), restkey="(more than the first line names)", skipinitialspace=True)
    try:
        return [{name: value for name, value in row.items() if value not in ("", None)} for row in rows]
    except csv.Error as error:
        raise MienError(f"{path} is not a table ({error})", f"Give lines with {_FIELDS}") from error


def _label(row: Any, where: str) -> StimulusLabel:
    try:
        found = msgspec.convert(row, _Row, strict=False)
    except msgspec.ValidationError as error:
        raise MienError(f"{where}: {error}", f"Give {_FIELDS}") from error
    said = not math.isnan(found.valence), not math.isnan(found.arousal)
    if not 0 <= found.time_s <= _MAXIMUM_S:
        raise MienError(f"{where}: time_s is {found.time_s}", f"Give seconds from 0 to {_MAXIMUM_S:g}")
    if said[0] != said[1] or not (said[0] or found.expression):
        raise MienError(f"{where} says too little", f"Give {_FIELDS}")
    if said[0] and not (-1 <= found.valence <= 1 and -1 <= found.arousal <= 1):
        raise MienError(f"{where}: valence and arousal are {found.valence} and {found.arousal}", "Give -1 to 1")
    return StimulusLabel(found.time_s, found.expression, found.valence, found.arousal)
