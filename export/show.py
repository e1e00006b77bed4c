"""What `mien-export verify` found, for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table

from export.verify import Report

_COLUMNS = (
    "faces",
    "largest difference",
    "cosine",
    "lowest",
    "probability",
    "agreement",
    "accuracy",
    "valence",
    "arousal",
)


def show_report(report: Report) -> None:
    """Print a report on the terminal."""
    console = Console()
    console.print(f"bundle {report.bundle}", highlight=False, soft_wrap=True)
    if report.int8_layers is not None:
        done, whole = report.int8_layers
        console.print(f"int8: {done} of {whole} convolutions, the others float32", highlight=False, soft_wrap=True)
    table = Table("", "data", *(Column(name, justify="right") for name in _COLUMNS), box=None, padding=(0, 1, 0, 0))
    for one in report.parities:
        accuracy = "–" if one.accuracy is None else f"{one.accuracy:.3f} ({one.accuracy_difference:+.3f})"
        table.add_row(
            f"{one.precision} beside {one.beside}",
            one.data,
            str(one.faces),
            f"{one.embedding_difference:.1e}",
            f"{one.cosine:.6f}",
            f"{one.lowest_cosine:.6f}",
            _number(one.probability_difference, ".4f"),
            _number(one.agreement, ".1%"),
            accuracy,
            _number(one.valence_difference, ".4f"),
            _number(one.arousal_difference, ".4f"),
        )
    console.print(table)
    for why, count in report.left_out.items():
        console.print(f"left out: {count} × {why}", highlight=False, soft_wrap=True)
    for problem in report.problems:
        console.print(f"wrong: {problem}", highlight=False, soft_wrap=True, style="red")


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
