"""What the network of a checkpoint was trained on, from the run that the checkpoint lies in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import msgspec

from mien.errors import MienError
from trainer.data.batches import Examples
from trainer.data.sample import Tell
from trainer.stages.claim import Claim, read_claim
from trainer.stages.material import Material
from trainer.stages.recipe import Stage

_PLACE = re.compile(r"seed(\d+)/([a-z][a-z0-9_]*)(?:/fold(\d+))?")
"""Of a job within its run."""


class Place(NamedTuple):
    """Which job of a run left a checkpoint.

    Attributes:
        claim: of the run.
        name: of the run's folder, and the job's folder in it, as "default-rendered-study/seed0/whole_1".
        stage: name in the recipe.
        seed: of the repetition.
        fold: its number; 0 where there are none.
    """

    claim: Claim
    name: str
    stage: str
    seed: int
    fold: int


class TrainedOn(NamedTuple):
    """The stage that left a checkpoint, the seed of its repetition, and its training part."""

    stage: Stage
    seed: int
    train: Examples


def find_place(checkpoint: Path) -> Place:
    """Find the job that left a checkpoint.

    Raises:
        MienError: it lies in no run.
    """
    whole = checkpoint.resolve()
    for run in whole.parents:
        place = _PLACE.fullmatch(whole.relative_to(run).as_posix())
        if place is not None and (run / "run.json").is_file():
            claim = read_claim(run)
            if place[2] in claim.recipe.stages:
                return Place(claim, f"{run.name}/{place[0]}", place[2], int(place[1]), int(place[3] or 0))
    raise MienError(
        f"{checkpoint} lies in no run, which would say on what pictures it was trained",
        "Name it in the folder of its run, where `mien-train run` left it",
    )


def trained_on(checkpoint: Path, tell: Tell) -> TrainedOn:
    """The training part of the stage that left a checkpoint.

    Args:
        checkpoint: folder of a checkpoint, in the folder of its run.
        tell: told how many pictures of the data are rendered or cut, where they are not yet.

    Raises:
        MienError: the checkpoint lies in no run, or its data cannot be had.
    """
    place = find_place(checkpoint)
    claim = place.claim
    # Of tests on other data nothing is wanted here.
    stage = msgspec.structs.replace(claim.recipe.stages[place.stage], tests=())
    recipe = msgspec.structs.replace(claim.recipe, stages={**claim.recipe.stages, place.stage: stage})
    material = Material(recipe, None if claim.root is None else Path(claim.root), claim.side, claim.without)
    material.prepare([place.stage], place.seed + 1, tell)
    return TrainedOn(stage, place.seed, material.part(place.stage, place.seed, place.fold).train)
