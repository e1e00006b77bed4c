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
from trainer.evaluate.report.tables import FilledTable, by_stage, fill_table, fill_verdict, tables_of
from trainer.models.costs import Cost
from trainer.stages.claim import RENDERED
from trainer.stages.job_result import JobResult
from trainer.stages.jobs import Job, Trained
from trainer.stages.recipe import Recipe
from trainer.stages.result import Epoch, RecipeResult, TestResult, Verdict

_WIDE = 10_000
"""Columns of a page that nobody looks at: nothing is cut."""

_ALMOST = 0.999
"""An epoch counts as finished when it is told of."""


class RunProgress:
    """A bar over pictures, then over epochs of all jobs; without a terminal a line for each finished job."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._preparing = progress.add_task("pictures", total=None)
        self._training = progress.add_task("epochs", total=None, visible=False)
        self._most: Mapping[Job, int] = {}
        self._done: dict[Job, float] = {}
        self._began: dict[Job, float] = {}

    def prepared(self, done: int, total: int) -> None:
        """Pictures that are rendered or cut."""
        self._progress.update(self._preparing, completed=done, total=total)

    def dropped(self, pictures: Mapping[str, Sequence[int]]) -> None:
        """How many pictures the list of suspects takes from the training of each stage, seed by seed."""
        for stage, counts in pictures.items():
            numbers = ", ".join(map(str, counts))
            seeds = " (seed by seed)" if len(counts) > 1 else ""
            line = f"stage {stage}: suspected pictures left out of the training{seeds}: {numbers}"
            self._progress.console.print(line, highlight=False, soft_wrap=True)

    def planned(self, epochs: Mapping[Job, int], finished: int) -> None:
        """Jobs that are to be done, with their epochs at most; and how many were done before."""
        self._most = epochs
        self._progress.update(self._preparing, visible=False)
        self._progress.update(self._training, total=sum(epochs.values()), visible=bool(epochs))
        if finished:
            self._say(f"{_count(finished, 'job')} {'was' if finished == 1 else 'were'} done before")

    def told(self, job: Job, event: Trained | Literal["begins", "is done"], result: JobResult | None) -> None:
        """What became of a job; when it is done, the result of one that trained a stage."""
        if event == "begins":
            self._began[job] = time.monotonic()
        if isinstance(event, Epoch):
            self._done[job] = event.epoch
        elif isinstance(event, float):
            self._done[job] = int(self._done.get(job, 0)) + min(event, _ALMOST)
        if event == "is done":
            self._done[job] = self._most[job]
            score = ""
            if result is not None and result.epochs:
                kind = "training" if result.epochs[-1].validation_score is None else "validation"
                score = f", {kind} score {result.score:.3f}"
            self._say(f"{job}: {time.monotonic() - self._began.pop(job):.1f} s{score}")
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
    """Print tables and verdicts in short, those that hold a figure; every table says on whom."""
    console, on = output_console(), on_whom(result.data)
    stands_in = f", stands in for {result.stands_in_for}" if result.stands_in_for else ""
    console.print(f"{result.title} ({result.recipe}, {result.size}, {_count(result.seeds, 'seed')}), {on}")
    console.print(f"network {result.architecture}{stands_in}; {result.machine}")
    runs = by_stage(result.stages)
    tables = [fill_table(table, recipe, runs) for table in tables_of(recipe)]
    filled = [table for table in tables if not table.is_empty]
    for table in filled:
        console.print(f"\n{' · '.join(filter(None, (table.title, table.cite, on)))}")
        console.print(_cells(table))
        if table.note:
            console.print(table.note)
    verdicts = [verdict for verdict in result.verdicts if verdict.difference is not None]
    if verdicts:
        console.print(f"\nTrends · {on}")
        console.print(verdict_table(verdicts))
    empty = {"table": len(tables) - len(filled), "trend": len(result.verdicts) - len(verdicts)}
    if any(empty.values()):
        told = " and ".join(_count(number, what) for what, number in empty.items() if number)
        console.print(f"\n{told} not shown: a stage was not run, or has no such figure")


def show_test(test: TestResult) -> None:
    """Print the figures of one test; the first line says on whom."""
    console = output_console()
    people = "people not named" if test.people is None else f"{test.people} people"
    shared = "" if test.shared_people is None else f", {test.shared_people} of them also in training"
    console.print(f"{test.data}, {test.split}, {people}{shared}, {test.pictures} pictures")
    for reason, count in test.left_out.items():
        console.print(f"left out: {count} × {reason}")
    for name, value in test.figures.items():
        interval = " to ".join(text(name, bound) for bound in test.intervals.get(name, ()))
        console.print(f"{heading(name)}: {text(name, value)}{interval and f' [95 %: {interval}]'}")
    if not test.confusion:
        return
    console.print("confusion, rows = true, columns = predicted")
    shown = (*test.labels, "pictures", "precision, %", "recall, %", "F1, %")
    table = Table("", *(Column(name, justify="right") for name in shown), box=None, padding=(0, 1, 0, 0))
    for label, row in zip(test.labels, test.confusion, strict=True):
        figures = test.classes[label]
        shares = (figures.precision, figures.recall, figures.f1)
        table.add_row(label, *map(str, row), str(figures.pictures), *(text("accuracy", share) for share in shares))
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
    columns = ("recipe", "title", "paper", "network", "stages", "seeds, smoke", "seeds, study")
    table = Table(*columns, box=None, padding=(0, 2, 0, 0))
    for one in recipes:
        seeds = (_seeds(of) for of in one.sizes.values())
        table.add_row(one.name, one.title, one.paper, one.architecture, str(one.stages), *seeds)
    output_console().print(table)


def show_costs(costs: Sequence[Cost]) -> None:
    """List what networks cost, each figure beside the published one."""
    table = Table("network", "input", box=None, padding=(0, 2, 0, 0))
    for name in ("parameters, M", "FLOP, G", "MB"):
        table.add_column(name, justify="right")
        table.add_column("published", justify="right")
    table.add_column("")
    for one in costs:
        counted = one.parameters / 1e6, one.flops / 1e9, one.bytes / 1e6
        printed = one.published.parameters, one.published.flops, one.published.bytes
        cells: list[str] = []
        for value, theirs, unit in zip(counted, printed, (1e6, 1e9, 1e6), strict=True):
            cells += [f"{value:.4g}", "–" if theirs is None else f"{theirs / unit:.4g}"]
        table.add_row(one.name, one.input, *cells, one.source)
    output_console().print(table)


def on_whom(data: str) -> str:
    """What every figure says of the data that it was measured on."""
    return "on rendered people" if data == RENDERED else f"on data of {data}"


def _seeds(of: Mapping[str, int]) -> str:
    """Seeds on real and on rendered data; one number where they are the same."""
    same = set(of.values())
    return str(same.pop()) if len(same) == 1 else ", ".join(f"{data} {seeds}" for data, seeds in sorted(of.items()))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


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


def verdict_table(verdicts: Sequence[Verdict], pairs: str = "seeds") -> Table:
    """Findings as a table; `pairs`: what the differences are paired by."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("claim", "metric", "expected", "paper", "ours", "95 % interval", pairs, "verdict"):
        table.add_column(name, overflow="fold")
    for verdict in map(fill_verdict, verdicts):
        claim = f"{verdict.claim} ({verdict.cite})"
        told = (verdict.published, verdict.difference, verdict.interval, str(verdict.seeds))
        table.add_row(claim, verdict.metric, verdict.expected, *told, f"{verdict.symbol} {verdict.verdict}")
    return table


def output_console() -> Console:
    """Standard output; as wide as needed where it is no terminal, so that nothing is cut."""
    width = None if sys.stdout.isatty() else _WIDE
    return Console(markup=False, highlight=False, emoji=False, width=width)
