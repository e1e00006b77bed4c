"""What `mien-train run` shows on a terminal: how far it is, and in the end the tables in short."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table

from trainer.evaluate.report.figures import heading, text
from trainer.evaluate.report.tables import FilledTable, by_stage, fill_table, fill_verdict
from trainer.stages.claim import RENDERED
from trainer.stages.job_result import JobResult
from trainer.stages.jobs import Job
from trainer.stages.recipe import Recipe, Row
from trainer.stages.recipe import Table as RecipeTable
from trainer.stages.result import Epoch, RecipeResult, TestResult

_WIDE = 10_000
"""Columns of a page that nobody looks at: nothing is cut."""


class RunProgress:
    """A bar over pictures, then over epochs of all jobs; without a terminal a line for each finished job."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._preparing = progress.add_task("pictures", total=None)
        self._training = progress.add_task("epochs", total=None, visible=False)
        self._most: Mapping[Job, int] = {}
        self._done: dict[Job, int] = {}
        self._began: dict[Job, float] = {}

    def prepared(self, done: int, total: int) -> None:
        """Pictures that are rendered or cut."""
        self._progress.update(self._preparing, completed=done, total=total)

    def planned(self, epochs: Mapping[Job, int], finished: int) -> None:
        """Jobs that are to be done, with their epochs at most; and how many were done before."""
        self._most = epochs
        self._progress.update(self._preparing, visible=False)
        self._progress.update(self._training, total=sum(epochs.values()), visible=bool(epochs))
        if finished:
            self._say(f"{finished} jobs were done before")

    def told(self, job: Job, event: Epoch | Literal["begins", "is done"], result: JobResult | None) -> None:
        """What became of a job; its result when it is done."""
        if event == "begins":
            self._began[job] = time.monotonic()
        self._done[job] = event.epoch if isinstance(event, Epoch) else self._done.get(job, 0)
        if result is not None:
            self._done[job] = self._most[job]
            kind = "held out" if result.epochs[-1].validation_score is not None else "in training"
            seconds = time.monotonic() - self._began.pop(job)
            self._say(f"{job}: {seconds:.1f} s, score {result.score:.3f} {kind}")
        running = ", ".join(str(one).partition(", ")[2] for one in self._began)
        self._progress.update(self._training, completed=sum(self._done.values()), description=running or "epochs")

    def _say(self, line: str) -> None:
        console = self._progress.console
        if console.is_terminal:
            return
        console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def run_progress() -> Iterator[RunProgress]:
    """Progress on standard error; standard output stays free for results."""
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TimeRemainingColumn()),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield RunProgress(progress)


def show_result(result: RecipeResult, recipe: Recipe) -> None:
    """Print tables and verdicts in short; every table says on whom."""
    console, on = _console(), on_whom(result.data)
    seeds = f"{result.seeds} seed{'s' if result.seeds > 1 else ''}"
    stands_in = f", stands in for {result.stands_in_for}" if result.stands_in_for else ""
    console.print(f"{result.title} ({result.recipe}, {result.size}, {seeds}), {on}")
    console.print(f"network {result.architecture}{stands_in}; {result.machine}")
    runs = by_stage(result.stages)
    for table in recipe.tables or (_table_of_stages(recipe),):
        filled = fill_table(table, recipe, runs)
        console.print(f"\n{' · '.join(filter(None, (filled.title, filled.cite, on)))}")
        console.print(_cells(filled))
        if filled.note:
            console.print(filled.note)
    if result.verdicts:
        console.print(f"\nTrends · {on}")
        console.print(_verdicts(result))


def show_test(test: TestResult) -> None:
    """Print the figures of one test."""
    console = _console()
    people = "people not named" if test.people is None else f"{test.people} people"
    shared = "" if test.shared_people is None else f", {test.shared_people} of them also in training"
    base = f"{test.data}, {test.split}, {people}{shared}, {test.pictures} pictures"
    for reason, count in test.left_out.items():
        console.print(f"left out: {count} × {reason}")
    for name, value in test.figures.items():
        interval = " to ".join(text(name, bound) for bound in test.intervals.get(name, ()))
        console.print(f"{heading(name)}: {text(name, value)}{interval and f' [{interval}]'} ({base})")
    if not test.confusion:
        return
    console.print(f"confusion, rows = true, columns = predicted ({base})")
    columns = (Column(name, justify="right") for name in (*test.labels, "pictures", "precision", "recall", "F1"))
    table = Table("", *columns, box=None, padding=(0, 1, 0, 0))
    for label, row in zip(test.labels, test.confusion, strict=True):
        figures = test.classes[label]
        shares = (figures.precision, figures.recall, figures.f1)
        table.add_row(label, *map(str, row), str(figures.pictures), *("–" if s is None else f"{s:.2f}" for s in shares))
    console.print(table)


class RecipeSummary(msgspec.Struct, frozen=True):
    """A recipe in a line; `sizes` says on which data each size is planned, and with how many seeds."""

    name: str
    title: str
    paper: str
    architecture: str
    stages: int
    sizes: dict[str, dict[str, int]]


def summarise_recipe(recipe: Recipe) -> RecipeSummary:
    """What `mien-train recipes` says of a recipe."""
    sizes = {
        name: {data: size.seeds for data, size in getattr(recipe.sizes, name).items()} for name in ("smoke", "study")
    }
    return RecipeSummary(recipe.name, recipe.title, recipe.paper, recipe.architecture, len(recipe.stages), sizes)


def show_recipes(recipes: Sequence[RecipeSummary]) -> None:
    """List recipes."""
    table = Table("recipe", "title", "paper", "network", "stages", "sizes", box=None, padding=(0, 2, 0, 0))
    for one in recipes:
        sizes = (f"{size} on {data} data × {n}" for size, of in one.sizes.items() for data, n in of.items())
        told = (one.paper, one.architecture, str(one.stages), ", ".join(sizes))
        table.add_row(one.name, one.title, *told)
    _console().print(table)


def on_whom(data: str) -> str:
    """What every figure says of the data that it was measured on."""
    return "on rendered people" if data == RENDERED else f"on data of {data}"


def _table_of_stages(recipe: Recipe) -> RecipeTable:
    """For recipes without tables: the figures of every stage on its own source."""
    rows = tuple(Row(name=name, stage=name) for name in recipe.stages)
    is_of_classes = any(stage.target not in ("valence", "arousal") for stage in recipe.stages.values())
    metrics = (
        ("accuracy", "macro_f1") if is_of_classes else ("valence_rmse", "valence_ccc", "arousal_rmse", "arousal_ccc")
    )
    return RecipeTable("Stages", metrics, rows)


def _cells(filled: FilledTable) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for group in filled.groups:
        names = ([f"{group.heading}, paper"] if group.has_published else []) + [group.heading]
        for name in names + (["gap"] if group.has_gap else []):
            table.add_column(name, justify="right", overflow="fold")
    for row in filled.rows:
        cells: list[str] = []
        for group, cell in zip(filled.groups, row.cells, strict=True):
            cells += [cell.published] * group.has_published + [cell.ours]
            cells += [cell.gap if row.gap_to else ""] * group.has_gap
        table.add_row(row.name, *cells)
    return table


def _verdicts(result: RecipeResult) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("claim", "metric", "expected", "paper", "ours", "95 % interval", "seeds", "verdict"):
        table.add_column(name, overflow="fold")
    for verdict in map(fill_verdict, result.verdicts):
        claim = f"{verdict.claim} ({verdict.cite})"
        told = (verdict.published, verdict.difference, verdict.interval, str(verdict.seeds))
        table.add_row(claim, verdict.metric, verdict.expected, *told, f"{verdict.symbol} {verdict.verdict}")
    return table


def _console() -> Console:
    """Standard output; as wide as needed where it is no terminal, so that nothing is cut."""
    width = None if sys.stdout.isatty() else _WIDE
    return Console(markup=False, highlight=False, emoji=False, width=width)
