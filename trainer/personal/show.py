"""What `mien-train personal` prints in the end: goals and findings in short."""

from __future__ import annotations

from rich.table import Table

from trainer.personal.findings import judge_findings, judge_goals
from trainer.personal.results import Figures, StudyResult
from trainer.show import on_whom, output_console, verdict_table


def show_study(result: StudyResult) -> None:
    """Print goals and findings; the first line says on whom."""
    console, figures = output_console(), Figures(result)
    console.print(f"Personal models ({result.size}), {len(result.people)} people, {on_whom(result.data)}")
    goals = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("goal", "reached", "wanted", "found"):
        goals.add_column(name, overflow="fold")
    for goal in judge_goals(figures):
        goals.add_row(
            goal.claim, "–" if goal.is_met is None else "yes" if goal.is_met else "no", goal.wanted, goal.found
        )
    console.print(goals)
    console.print(verdict_table([one for one in judge_findings(figures) if one.difference is not None], "people"))
