"""The recipe's tables and trends, filled in: what stands in each cell, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, get_args

from trainer.evaluate.predictions import AFFECTS
from trainer.evaluate.report.figures import (
    ABSENT,
    Spread,
    difference_text,
    difference_unit,
    heading,
    spread,
    spread_text,
    text,
    unit,
    words,
)
from trainer.evaluate.trends import find_figure
from trainer.stages.recipe import Arm, Recipe, Row, Table, Target
from trainer.stages.result import StageResult, Verdict

Runs = Mapping[str, Sequence[StageResult]]
"""All repetitions of each stage."""

_SYMBOLS = {"shown": ("✓", "yes"), "opposite": ("✗", "no"), "not shown": ("○", "undecided")}


class Cell(NamedTuple):
    """One metric of a row: the paper's figure, ours, and the gap to the row named."""

    published: str
    ours: str
    gap: str


class Group(NamedTuple):
    """One metric's columns."""

    heading: str
    has_published: bool
    has_gap: bool

    @property
    def width(self) -> int:
        """Number of columns."""
        return 1 + self.has_published + self.has_gap


class FilledRow(NamedTuple):
    """A row with its cells, one per metric; `gap_to` is the row that the gaps are to."""

    name: str
    gap_to: str
    cells: list[Cell]


class FilledTable(NamedTuple):
    """A table as printed."""

    title: str
    cite: str
    note: str
    groups: list[Group]
    rows: list[FilledRow]

    @property
    def is_compared(self) -> bool:
        """Whether there is more than our own figures."""
        return any(group.width > 1 for group in self.groups)

    @property
    def is_empty(self) -> bool:
        """Whether the run has not one figure for it."""
        return all(cell.ours == ABSENT for row in self.rows for cell in row.cells)


class Bar(NamedTuple):
    """An interval on a line whose middle is zero, all from -1 to 1."""

    low: float
    high: float
    middle: float
    published: float | None


class FilledVerdict(NamedTuple):
    """A trend as printed. `bar` draws the interval; None where there is none."""

    claim: str
    cite: str
    metric: str
    unit: str
    expected: str
    published: str
    difference: str
    interval: str
    seeds: int
    verdict: str
    symbol: str
    style: str
    bar: Bar | None


_LANDMARK_NOTE = "Landmark error: mean distance to the true points, over that of the outer corners of the eyes."


def by_stage(stages: Sequence[StageResult]) -> dict[str, list[StageResult]]:
    """Repetitions of each stage, in the order of the stages."""
    runs: dict[str, list[StageResult]] = defaultdict(list)
    for stage in stages:
        runs[stage.stage].append(stage)
    return dict(runs)


def tables_of(recipe: Recipe) -> tuple[Table, ...]:
    """The recipe's tables; without any, the main figures of every stage, on its own source and on its other tests."""
    if recipe.tables:
        return recipe.tables
    targets = {stage.target for stage in recipe.stages.values()}
    affects = [affect for affect in AFFECTS if targets & {affect, "affect"}]
    of_affect = tuple(f"{affect}_{name}" for affect in affects for name in ("rmse", "rmse_of_mean", "ccc"))
    of_classes = ("accuracy", "macro_f1", "training_accuracy")
    of_landmarks = ("landmark_error", "visible_landmark_error", "training_landmark_error")
    tables = (
        Table("Classes, all stages", of_classes, _rows(recipe, set(get_args(Target)) - {"landmarks", *AFFECTS})),
        Table("Landmarks, all stages", of_landmarks, _rows(recipe, {"landmarks"}), note=_LANDMARK_NOTE),
        Table(f"{' and '.join(affects).capitalize()}, all stages", of_affect, _rows(recipe, {"affect", *AFFECTS})),
    )
    return tuple(table for table in tables if table.rows)


def _rows(recipe: Recipe, targets: set[str]) -> tuple[Row, ...]:
    return tuple(
        Row(f"{name}, tested on {test}" if test else name, name, test)
        for name, stage in recipe.stages.items()
        if stage.target in targets
        for test in ("", *stage.tests)
    )


def fill_table(table: Table, recipe: Recipe, runs: Runs) -> FilledTable:
    """Put the figures into a table; cells of stages that were not run hold a dash."""
    spreads = {row.name: {metric: _spread(row, metric, recipe, runs) for metric in table.metrics} for row in table.rows}
    has_gap = any(row.gap_to for row in table.rows)
    groups = [
        Group(
            heading(metric),
            any(metric in row.published for row in table.rows),
            has_gap and unit(metric) in ("share", "number"),
        )
        for metric in table.metrics
    ]
    rows = [
        FilledRow(row.name, row.gap_to, [_cell(row, metric, spreads) for metric in table.metrics]) for row in table.rows
    ]
    return FilledTable(table.title, table.cite, table.note, groups, rows)


def fill_verdict(verdict: Verdict) -> FilledVerdict:
    """Say a verdict in words, with a symbol beside its colour."""
    symbol, style = _SYMBOLS.get(verdict.verdict, ("–", "none"))
    metric, low, high = verdict.metric, verdict.low, verdict.high
    return FilledVerdict(
        verdict.claim,
        verdict.cite,
        words(metric) + (f" against {words(verdict.second_metric)}" if verdict.second_metric else ""),
        difference_unit(metric),
        {"+": "higher", "-": "lower", "0": "equal"}[verdict.sign],
        difference_text(metric, verdict.published),
        difference_text(metric, verdict.difference),
        ABSENT if low is None or high is None else f"{difference_text(metric, low)} to {difference_text(metric, high)}",
        verdict.seeds,
        verdict.verdict,
        symbol,
        style,
        _bar(verdict),
    )


def _bar(verdict: Verdict) -> Bar | None:
    if verdict.low is None or verdict.high is None or verdict.difference is None:
        return None
    values = [verdict.low, verdict.high, verdict.difference, *([verdict.published] if verdict.published else [])]
    scale = max(map(abs, values)) or 1.0
    published = None if verdict.published is None else verdict.published / scale
    return Bar(verdict.low / scale, verdict.high / scale, verdict.difference / scale, published)


def _spread(row: Row, metric: str, recipe: Recipe, runs: Runs) -> Spread | None:
    arm = Arm(row.stage, row.test)
    return spread(find_figure(recipe, arm, metric, run) for run in runs.get(row.stage, ()))


def _cell(row: Row, metric: str, spreads: Mapping[str, Mapping[str, Spread | None]]) -> Cell:
    ours, other = spreads[row.name][metric], spreads.get(row.gap_to, {}).get(metric)
    gap = None if ours is None or other is None else ours.mean - other.mean
    return Cell(text(metric, row.published.get(metric)), spread_text(metric, ours), difference_text(metric, gap))
