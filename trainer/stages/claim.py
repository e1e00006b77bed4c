"""What a run's folder holds, so that a command given again goes on with the same thing and with nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from mien.errors import MienError
from trainer.data.output import whole_file
from trainer.evaluate.suspects import SuspectList
from trainer.stages.job_result import JOB_FILE
from trainer.stages.recipe import Recipe
from trainer.stages.state import STATE_FILE, first_difference

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
        root: absolute path of the data sets: two folders of one name are two runs; None for renders.
        side: of rendered pictures, pixels.
        precision: of the arithmetic.
        without: pictures that are left out of the training.
        seeds: repetitions that were asked for last.
        folds: of each stage, None where its source has none; stages that were not asked for are missing.
        stands_in_for: the recipe's own network where another is trained.
        command: that was given last.
        machine: processor, cores and load at the start.
        ways: in which jobs have been done: how many side by side, with how many threads.
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
    ways: tuple[str, ...] = ()


_MUST_BE_EQUAL = ("size", "data", "root", "side", "precision", "without")


def check_claim(folder: Path, wanted: Claim) -> tuple[Claim, list[Path]]:
    """Check that a folder is free, or that what is finished there belongs to the same run.

    Tables and trends may change at any time, and stages that are not finished: what is finished of a stage counts as
    long as the stage, its sources, its network and all that it starts from are the same.

    Returns:
        What is wanted; machine, versions, ways and folds are those of the run that is there. And the folders of jobs
        that were begun, but whose stage has changed: they must be begun anew.

    Raises:
        MienError: the folder holds another run, a finished stage that has changed, or something else; what differs is
            named. Nothing is removed.
    """
    if not (folder / _FILE).exists():
        if strangers := sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")):
            raise MienError(f"{folder} is not empty ({strangers[0]})", "Name a new or empty folder with --out")
        return wanted, []
    found = read_claim(folder)
    theirs, ours = (
        {"recipe": one.recipe.name} | {key: msgspec.to_builtins(getattr(one, key)) for key in _MUST_BE_EQUAL}
        for one in (found, wanted)
    )
    if difference := first_difference(theirs, ours):
        raise MienError(
            f"{folder} holds another run: {difference}", "Name another folder with --out, or remove this one"
        )
    changes = {
        name: why
        for name in wanted.recipe.stages
        if (why := _difference(found.recipe, wanted.recipe, name)) is not None
    }
    finished = [name for name in changes if any(folder.glob(f"seed*/{name}/**/{JOB_FILE}"))]
    if finished:
        raise MienError(
            f"{folder}: the stage {finished[0]} was trained otherwise ({changes[finished[0]]})",
            f"Remove {', '.join(str(folder / 'seed*' / name) for name in finished)} to train"
            f" {'it' if len(finished) == 1 else 'them'} anew, or name another folder with --out",
        )
    begun = [state.parent for name in changes for state in folder.glob(f"seed*/{name}/**/{STATE_FILE}")]
    folds = {name: count for name, count in found.folds.items() if name in wanted.recipe.stages.keys() - changes.keys()}
    kept = {name: getattr(found, name) for name in ("machine", "versions", "ways")}
    return msgspec.structs.replace(wanted, **kept, folds=folds), begun


def _difference(found: Recipe, wanted: Recipe, stage: str) -> str | None:
    """What differs in a stage, or in what it starts from; None where nothing does."""
    if stage not in found.stages:
        return "the recipe had no such stage"
    return first_difference(_chain(found, stage), _chain(wanted, stage)) or None


def _chain(recipe: Recipe, name: str) -> dict[str, Any]:
    """All that the network and the tests of a stage follow from: itself, what it starts from, and their sources."""
    stages: dict[str, Any] = {}
    sources: dict[str, Any] = {}
    used = list(recipe.stages[name].tests)
    while name in recipe.stages:
        stage = recipe.stages[name]
        stages[name] = msgspec.to_builtins(stage) | {"architecture": stage.architecture or recipe.architecture}
        if len(stages) > 1:
            del stages[name]["tests"]  # where others are tested does not matter
        used.append(stage.data)
        name = stage.start
    for source in used:
        for part in (source, *recipe.sources[source].more):
            sources[part] = msgspec.to_builtins(recipe.sources[part])
    return {"stages": stages, "sources": sources}


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
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MienError(f"{file} cannot be read ({error})", "Remove the folder and run the recipe again") from error
