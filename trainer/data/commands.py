"""`mien-train data`: look at data sets, and pack them for training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import cyclopts
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from mien.bundle import CANONICAL_LABELS
from trainer.data.catalogue import open_dataset
from trainer.data.sample import Description
from trainer.data.shards import RECORDS_PER_SHARD, Tell, write_shards

app = cyclopts.App(name="data", help="Look at data sets, render faces, and pack data for training.")
Json = Annotated[bool, cyclopts.Parameter(name="--json", negative="")]


@app.command
def describe(name: str, path: Path, *, as_json: Json = False) -> None:
    """Count classes and people of a data set in its official layout, and check it.

    Args:
        name: ck+, jaffe, fer2013, fer+, affectnet, sfew, raf-db, amigos, vggface2, ms-celeb, imagenet, folder or csv;
            some have variants, as ck+:6-small.
        path: its folder, or the csv file.
        as_json: print JSON instead of a table.
    """
    description = open_dataset(name, path).describe()
    if as_json:
        _print_json(description)
    else:
        _show(description)


@app.command
def shards(
    name: str,
    path: Path,
    out: Path,
    *,
    seed: int = 0,
    records_per_shard: Annotated[
        int, cyclopts.Parameter(validator=cyclopts.validators.Number(gte=1))
    ] = RECORDS_PER_SHARD,
    as_json: Json = False,
) -> None:
    """Pack a data set into WebDataset shards, shuffled; given again, it goes on where it stopped.

    Args:
        name: as for `describe`.
        path: its folder, or the csv file.
        out: folder for the shards; one data set each.
        seed: of the order.
        records_per_shard: pictures in one tar file.
        as_json: print what was written as JSON.
    """
    with _progress("records") as tell:
        index = write_shards(open_dataset(name, path), out, seed, tell, records_per_shard)
    if as_json:
        _print_json(index)
    else:
        print(f"{index.done} records of {index.dataset} in {len(index.shards)} shards: {out}")


@contextmanager
def _progress(what: str) -> Iterator[Tell]:
    """A bar on the terminal, where there is one; standard output stays free for results."""
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TimeRemainingColumn()),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print_json(value: msgspec.Struct) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _show(description: Description) -> None:
    console = Console()
    of = "" if description.published is None else f" of {description.published} published"
    people = "no people named" if description.people is None else f"{description.people} people"
    console.print(f"{description.dataset}: {description.samples} samples{of}, {people}", highlight=False)
    for reason, count in description.left_out.items():
        console.print(f"left out: {count} × {reason}", highlight=False)
    table = Table("", *description.splits, box=None, padding=(0, 2, 0, 0))
    splits = description.splits.values()
    for label in CANONICAL_LABELS:
        if any(label in split.expressions for split in splits):
            table.add_row(label, *(str(split.expressions.get(label, 0)) for split in splits))
    for what in ("samples", "people", "categories", "valence_arousal", "boxes", "landmarks"):
        counts = [getattr(split, what) for split in splits]
        if any(counts):
            table.add_row(what.replace("_", " and "), *("–" if count is None else str(count) for count in counts))
    console.print(table)
