"""Writes the report of a run."""

from __future__ import annotations

from pathlib import Path

import msgspec

from trainer.data.output import output_errors, whole_file
from trainer.evaluate.report.gallery import PictureOf
from trainer.stages.recipe import Recipe
from trainer.stages.result import RecipeResult


def write_report(result: RecipeResult, recipe: Recipe, folder: Path, picture: PictureOf | None = None) -> Path:
    """Write report.html (self-contained), report.json and report.md into the run's folder.

    Args:
        result: what the run gave.
        recipe: as it was run, with the changes of its size.
        folder: of the run; the predictions that `result` names are read from it where they are there.
        picture: gives the pixels of a picture for the gallery of errors; None leaves them out.

    Returns:
        The path of report.html.

    Raises:
        MienError: the folder cannot be written, or the recipe is not that of the result.
    """
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "report.json") as path:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    return folder / "report.html"
