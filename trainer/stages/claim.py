"""What a run's folder holds, so that a command given again goes on with the same thing and with nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from mien.errors import MienError
from trainer.data.output import whole_file
from trainer.evaluate.suspects import SuspectList
from trainer.stages.recipe import Recipe
from trainer.stages.state import first_difference

RENDERED = "rendered"
"""Instead of a root: rendered people stand in for the data sets."""
_FILE = "run.json"

Precision = Literal["32", "bf16", "16"]


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is run in a folder (run.json).

    Attributes:
        recipe: as it is run, with the changes of its size.
        size: smoke or study.
        data: `RENDERED`, or the root's name.
        root: that was given, for the pictures of the report; None for renders.
        side: of rendered pictures, pixels.
        precision: of the arithmetic.
        without: pictures that are left out of the training.
        seeds: repetitions that were asked for last.
        folds: of each stage, None where its source has none; stages that were not asked for are missing.
        stands_in_for: the recipe's own network where another is trained.
        command: that was given last.
        machine: processor, cores and load at the start.
        versions: of Python, torch and mien.
    """

    recipe: Recipe
    size: Literal["smoke", "study"]
    data: str
    root: str | None
    side: int
    precision: Precision
    without: SuspectList
    seeds: int
    folds: dict[str, int | None] = {}
    stands_in_for: str | None
    command: str
    machine: str
    versions: dict[str, str]


_MUST_BE_EQUAL = ("size", "data", "side", "precision", "recipe", "without")


def check_claim(folder: Path, wanted: Claim) -> Claim:
    """Check that a folder is free, or holds the same run.

    Returns:
        What is wanted; machine, versions and folds are those of the run that is there.

    Raises:
        MienError: the folder holds another run, or something else; what differs is named.
    """
    if not (folder / _FILE).exists():
        if strangers := sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")):
            raise MienError(f"{folder} is not empty ({strangers[0]})", "Name a new or empty folder with --out")
        return wanted
    found = read_claim(folder)
    theirs, ours = ({key: msgspec.to_builtins(getattr(one, key)) for key in _MUST_BE_EQUAL} for one in (found, wanted))
    if difference := first_difference(theirs, ours):
        raise MienError(
            f"{folder} holds another run: {difference}", "Name another folder with --out, or remove this one"
        )
    return msgspec.structs.replace(wanted, machine=found.machine, versions=found.versions, folds=found.folds)


def write_claim(folder: Path, claim: Claim) -> None:
    """Take a folder for a run, or renew what is said of it."""
    with whole_file(folder / _FILE) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(claim)) + b"\n")


def read_claim(folder: Path) -> Claim:
    """What is run in a folder.

    Raises:
        MienError: nothing, or what says so is damaged.
    """
    file = folder / _FILE
    if not file.is_file():
        raise MienError(f"{folder} holds no run: {_FILE} is missing", "Name a folder that `mien-train run` wrote")
    try:
        return msgspec.json.decode(file.read_bytes(), type=Claim)
    except msgspec.MsgspecError as error:
        raise MienError(f"{file} cannot be read ({error})", "Remove the folder and run the recipe again") from error
