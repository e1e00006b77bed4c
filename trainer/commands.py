"""`mien-train run, recipes, evaluate, report, bench`: from a recipe to trained stages and their report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import cyclopts
import msgspec

Json = Annotated[bool, cyclopts.Parameter(name="--json", negative="")]
Positive = Annotated[int, cyclopts.Parameter(validator=cyclopts.validators.Number(gte=1))]
Precision = Literal["32", "bf16", "16"]


def run(
    recipe: str,
    *,
    data: str,
    size: Literal["smoke", "study"] = "smoke",
    out: Path | None = None,
    jobs: Positive = 1,
    seeds: Positive | None = None,
    precision: Precision = "32",
    without: Path | None = None,
    only: Annotated[list[str] | None, cyclopts.Parameter(consume_multiple=True, negative="")] = None,
    as_json: Json = False,
) -> None:
    """Train the stages of a recipe, test them, and write the report; given again, it goes on where it stopped.

    Args:
        recipe: name of a built-in recipe (`mien-train recipes` lists them), or a yaml file of your own.
        data: folder that holds the data sets, each in a folder of its name; or `rendered`: rendered faces stand in.
        size: smoke takes minutes, study may take hours.
        out: folder for everything; by default out/RECIPE-DATA-SIZE.
        jobs: processes that train stages side by side.
        seeds: repetitions; by default as the recipe has it.
        precision: of the arithmetic: 32, or mixed with bf16 or 16 bits.
        without: suspects.json of a report: leave those pictures out of the training.
        only: stages that are wanted, with what they start from; by default all.
        as_json: print the result as JSON instead of tables.
    """


def recipes(*, as_json: Json = False) -> None:
    """List the built-in recipes.

    Args:
        as_json: print JSON instead of a table.
    """


def evaluate(checkpoint: Path, dataset: str, path: Path, *, as_json: Json = False) -> None:
    """Measure a trained network on a data set.

    Args:
        checkpoint: folder of a job, or its checkpoint.
        dataset: name of the data set, as for `data describe`.
        path: its folder, or the csv file.
        as_json: print JSON instead of tables.
    """


def report(folder: Path) -> None:
    """Write the report of a run again, from what is stored.

    Args:
        folder: that `run` wrote into.
    """


def bench(*, as_json: Json = False) -> None:
    """Measure the speed of training beside a bare loop.

    Args:
        as_json: print JSON instead of a table.
    """


def print_json(value: object) -> None:
    """Print as JSON that people can read."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
