"""What `mien-export verify` found, for people."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.table import Column, Table

from export.parity import Parity
from export.verify import Report

_ROWS = {
    "largest difference of embeddings": ("embedding_difference", ".1e"),
    "cosine, mean": ("cosine", ".6f"),
    "cosine, lowest": ("lowest_cosine", ".6f"),
    "largest difference of a probability": ("probability_difference", ".4f"),
    "largest difference of a part's confidence": ("part_confidence_difference", ".4f"),
    "same label": ("agreement", ".1%"),
    "accuracy": ("accuracy", ".3f"),
    "accuracy, difference": ("accuracy_difference", "+.4f"),
    "largest difference of valence": ("valence_difference", ".4f"),
    "largest difference of arousal": ("arousal_difference", ".4f"),
}
"""What is shown, in which form."""


def show_report(report: Report) -> None:
    """Print a report on the terminal."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"bundle {report.bundle}")
    if report.int8_layers is not None:
        done, of = report.int8_layers
        console.print(f"int8: {done} of {of} convolutions, {report.int8_work:.0%} of their multiply-accumulates")
    for data, group in groupby(report.parities, lambda one: one.data):
        console.print(_table(data, list(group)))
    for why, count in report.left_out.items():
        console.print(f"left out: {count} × {why}")
    for problem in report.problems:
        console.print(f"wrong: {problem}", style="red")
    if not report.parities:
        console.print("nothing was compared: fp32 is all it has; --checkpoint compares that with what was trained")
    elif not report.problems:
        console.print("all goals are met")


def _table(data: str, parities: list[Parity]) -> Table:
    """All figures on the same faces."""
    title = f"{data}: {parities[0].faces} faces, {parities[0].people} people"
    columns = [Column(f"{one.precision} beside {one.beside}", justify="right") for one in parities]
    table = Table("", *columns, title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    for name, (field, form) in _ROWS.items():
        values = [getattr(one, field) for one in parities]
        table.add_row(name, *("–" if value is None else format(value, form) for value in values))
    return table
