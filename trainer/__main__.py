"""Command line of the host side: python -m trainer COMMAND."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import cyclopts
import msgspec
from rich.console import Console
from rich.table import Table

from mien.bundle import open_bundle
from mien.errors import MienError
from mien.models.default_bundle import default_bundle
from trainer import commands
from trainer.data.commands import app as data
from trainer.evaluate.evaluation import FaceEvaluation, evaluate_on_faces

app = cyclopts.App(name="mien-train", version=version("mien"), help="Train and measure models for mien.")
app.command(data)
for command in (
    commands.run,
    commands.personal,
    commands.recipes,
    commands.architectures,
    commands.evaluate,
    commands.report,
    commands.explain,
    commands.bench,
):
    app.command(command)


@app.command
def evaluate_faces(
    manifest: Path,
    *,
    bundle: Path | None = None,
    as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
) -> None:
    """Measure a bundle on labelled faces that published packages carry.

    Args:
        manifest: .csv that names picture, box, label and person of each face.
        bundle: folder or .zip; without it the default bundle.
        as_json: print JSON instead of tables.
    """
    result = evaluate_on_faces(manifest, open_bundle(bundle or default_bundle()))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
    else:
        _show(result)


def _show(result: FaceEvaluation) -> None:
    console = Console()
    base = f"{result.data}, split {', '.join(result.splits)}, {result.people} people, {result.faces} faces"
    console.print(f"model {result.model}\ndata {base}", soft_wrap=True, highlight=False)
    for part in result.left_out:
        console.print(f"left out: {part.faces} faces of {part.archive}: {part.why}", soft_wrap=True, highlight=False)
    console.print(f"accuracy {result.accuracy:.3f} ({base})", soft_wrap=True, highlight=False)
    console.print(f"mean over people {result.mean_over_people:.3f} ({base})", soft_wrap=True, highlight=False)
    console.print(f"confusion, rows = true, columns = predicted ({base})", soft_wrap=True, highlight=False)
    table = Table("", *result.labels, "faces", "recall", box=None, padding=(0, 1, 0, 0))
    for label, row in zip(result.labels, result.confusion, strict=True):
        share = f"{result.recall[label]:.2f}" if label in result.recall else "–"
        table.add_row(label, *map(str, row), str(sum(row)), share)
    console.print(table)


def main() -> None:
    """Run the command line; what a user can mend is said in one line, without a traceback."""
    try:
        app()
    except MienError as error:
        sys.exit(f"mien-train: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
