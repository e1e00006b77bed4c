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
from rich.table import Column, Table

from mien.bundle import CANONICAL_LABELS
from trainer.data.catalogue import open_dataset
from trainer.data.sample import Description, Tell
from trainer.data.sets.renders import open_renders
from trainer.data.shards import RECORDS_PER_SHARD, write_shards
from trainer.data.synthetic.dataset import render as render_domain
from trainer.data.synthetic.domains import is_domain
from trainer.data.synthetic.sheet import save_sheet, sheet_of_domain, sheet_of_folder

app = cyclopts.App(name="data", help="Look at data sets, render faces, and pack data for training.")
Json = Annotated[bool, cyclopts.Parameter(name="--json", negative="")]
Number = cyclopts.validators.Number
Seed = Annotated[int, cyclopts.Parameter(validator=Number(gte=0, lt=2**63))]
Size = Annotated[int, cyclopts.Parameter(validator=Number(gte=32, lte=512))]
Natural = Annotated[int, cyclopts.Parameter(validator=Number(gte=0))]
Positive = Annotated[int, cyclopts.Parameter(validator=Number(gte=1))]


@app.command
def describe(name: str, path: Path, *, as_json: Json = False) -> None:
    """Count classes and people of a data set in its official layout, and check it.

    Args:
        name: ck+, jaffe, fer2013, fer+, affectnet, sfew, raf-db, amigos, vggface2, ms-celeb, imagenet,
            renders, folder or csv; some have variants, as ck+:6-small or renders:6-small.
        path: its folder, or the csv file.
        as_json: print JSON instead of a table.
    """
    with progress("samples") as tell:
        description = open_dataset(name, path).describe(tell)
    if as_json:
        print_json(description)
    else:
        _show(description)


@app.command
def shards(
    name: str,
    path: Path,
    out: Path,
    *,
    seed: Seed = 0,
    records_per_shard: Positive = RECORDS_PER_SHARD,
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
    with progress("records") as tell:
        index = write_shards(open_dataset(name, path), out, seed, tell, records_per_shard)
    if as_json:
        print_json(index)
    else:
        print(f"{index.done} records of {index.dataset} in {len(index.shards)} shards: {out}")


@app.command
def render(
    domain: str,
    out: Path,
    *,
    count: Natural = 0,
    seed: Seed = 0,
    size: Size = 128,
    workers: Positive = 2,
    as_json: Json = False,
) -> None:
    """Render faces or objects with exact labels; given again, it goes on where it stopped.

    Args:
        domain: objects, identity_a, identity_b, lab_a, lab_b, wild, home, faces or person; person@0.5 is half as much
            of their own; wild+occluded, wild+mask and wild+sunglasses cover the faces of wild, as of any of them.
        out: folder for the pictures; one domain, seed and size each.
        count: how many pictures; 0 = as many as the domain usually has.
        seed: the same seed gives the same pictures.
        size: width and height of the pictures, pixels, 32 to 512.
        workers: processes.
        as_json: print what was made as JSON.
    """
    with progress("pictures") as tell:
        made = render_domain(domain, out, count=count, side=size, seed=seed, workers=workers, progress=tell)
    description = open_renders(out).describe()
    if as_json:
        print_json({"made": made, "folder": str(out), **msgspec.structs.asdict(description)})
    else:
        print(f"{made} pictures made, {description.samples} there: {out}")


@app.command
def sheet(
    what: str,
    out: Path,
    *,
    rows: Positive = 6,
    columns: Positive = 10,
    size: Size = 128,
    seed: Seed = 0,
    landmarks: bool = True,
    as_json: Json = False,
) -> None:
    """Put pictures with their labels and landmarks on one page, to look at.

    Args:
        what: a domain, whose pictures are rendered for it, or a folder of renders.
        out: the page, a .png file.
        rows: of pictures.
        columns: of pictures.
        size: of a domain's pictures, pixels, 32 to 512.
        seed: of a domain's pictures.
        landmarks: whether to draw them.
        as_json: print what was made as JSON.
    """
    if is_domain(what):
        page = sheet_of_domain(what, rows=rows, columns=columns, side=size, seed=seed, landmarks=landmarks)
    else:
        open_renders(Path(what))  # checks all labels
        page = sheet_of_folder(Path(what), rows=rows, columns=columns, landmarks=landmarks)
    save_sheet(page, out)
    if as_json:
        print_json({"of": what, "file": str(out), "width": page.shape[1], "height": page.shape[0]})
    else:
        print(out)


@contextmanager
def progress(what: str) -> Iterator[Tell]:
    """A bar on the terminal, where there is one; standard output stays free for results."""
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TimeRemainingColumn()),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_json(value: object) -> None:
    """Print as JSON that people can read, too."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _show(description: Description) -> None:
    console = Console()
    of = "" if description.published is None else f" of {description.published} published"
    people = "no people named" if description.people is None else f"{description.people} people"
    console.print(f"{description.dataset}: {description.samples} samples{of}, {people}", highlight=False)
    for reason, count in description.left_out.items():
        console.print(f"left out: {count} × {reason}", highlight=False)
    columns = (Column(split, justify="right") for split in description.splits)
    table = Table("", *columns, box=None, padding=(0, 2, 0, 0))
    splits = description.splits.values()
    for label in CANONICAL_LABELS:
        if any(label in split.expressions for split in splits):
            table.add_row(label, *(str(split.expressions.get(label, 0)) for split in splits))
    for what in ("samples", "people", "categories", "valence_arousal", "boxes", "landmarks"):
        counts = [getattr(split, what) for split in splits]
        if any(counts):
            table.add_row(what.replace("_", " and "), *("–" if count is None else str(count) for count in counts))
    console.print(table)
