"""What a study's folder holds, so that a command given again goes on with the same thing and with nothing else."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mien.errors import MienError
from trainer.data.output import whole_file
from trainer.personal.settings import Settings, Size
from trainer.stages.state import first_difference

_FILE = "study.json"
_MUST_BE_EQUAL = ("settings", "size", "data", "root", "general", "checkpoint_sha256", "learners")


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is run in a folder (study.json).

    Attributes:
        settings: of the study.
        size: of the study, and of the general model's recipe.
        data: `RENDERED`, or the root's name.
        root: absolute path of the data sets; None for renders.
        general: name of the recipe, without its folder; of a checkpoint, the run's folder and its place there.
        checkpoint: absolute path of the general model's folder; None where the recipe is trained here.
        checkpoint_sha256: of the checkpoint's weights; empty where there is none.
        people: who takes part.
        learners: settings of the ways of learning, by name.
        command: that was given last.
        machine: processor, cores and load at the start.
        versions: of Python, torch and mien.
    """

    settings: Settings
    size: Size
    data: str
    root: str | None
    general: str
    checkpoint: str | None = None
    checkpoint_sha256: str = ""
    people: tuple[str, ...] = ()
    learners: dict[str, dict[str, float]]
    command: str
    machine: str
    versions: dict[str, str]


def check_claim(folder: Path, wanted: Claim) -> Claim:
    """What is wanted, with machine and versions of what is there.

    Raises:
        MienError: the folder holds another study, or something else.
    """
    if not holds_study(folder):
        if strangers := sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")):
            raise MienError(f"{folder} is not empty ({strangers[0]})", "Name a new or empty folder with --out")
        return wanted
    found = read_claim(folder)
    kept = {name: getattr(found, name) for name in ("machine", "versions")}
    theirs, ours = (
        {name: msgspec.to_builtins(getattr(one, name)) for name in _MUST_BE_EQUAL} for one in (found, wanted)
    )
    if difference := first_difference(theirs, ours):
        raise MienError(
            f"{folder} holds another study: {difference}", "Name another folder with --out, or remove this one"
        )
    return msgspec.structs.replace(wanted, **kept)


def holds_study(folder: Path) -> bool:
    """Whether a study was begun in a folder."""
    return (folder / _FILE).is_file()


def read_claim(folder: Path) -> Claim:
    """What is run in a folder.

    Raises:
        MienError: nothing, or what says so is damaged.
    """
    file = folder / _FILE
    if not file.is_file():
        raise MienError(
            f"{folder} holds no study: {_FILE} is missing", "Name a folder that `mien-train personal` wrote"
        )
    try:
        return msgspec.json.decode(file.read_bytes(), type=Claim)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MienError(f"{file} cannot be read ({error})", "Remove the folder and run the study again") from error


def write_claim(folder: Path, claim: Claim) -> None:
    """Take a folder for a study, or renew what is said of it."""
    with whole_file(folder / _FILE) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(claim)) + b"\n")
