"""What a run shows on a terminal and in a log."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from tests.trainer.evaluate.reports import make_recipe, make_result
from trainer.show import RunProgress, show_result
from trainer.stages.job_result import JobResult
from trainer.stages.jobs import Job
from trainer.stages.result import Epoch


def log(done_before: int, validation_score: float | None) -> str:
    """Lines of a run with one job, where there is no terminal."""
    lines, job = io.StringIO(), Job("mine", "one", 0)
    shown = RunProgress(Progress(console=Console(file=lines), disable=True))
    shown.planned({job: 1}, done_before)
    epoch = Epoch(1, 0.5, 0.25, validation_score, 0.1, 10, 1.0)
    result = JobResult(
        architecture="", parameters=1, macs=1, has_classes=True, lineage="", trained=1.0,
        people=None, means={}, parts={}, epochs=[epoch], tests={},
    )  # fmt: skip
    shown.told(job, "begins", None)
    shown.told(job, "is done", result)
    return lines.getvalue()


def test_a_log_says_which_score_it_shows() -> None:
    assert log(0, 0.75).startswith("mine, stage one, seed 0: 0.0 s, validation score 0.750\n")
    assert log(0, None).startswith("mine, stage one, seed 0: 0.0 s, training score 0.250\n")


def test_a_log_counts_what_was_done_before() -> None:
    assert "done before" not in log(0, None)
    assert "1 job was done before" in log(1, None)
    assert "2 jobs were done before" in log(2, None)


@pytest.mark.parametrize("stage", ["identity", "expression"])
def test_tables_and_trends_without_a_figure_are_only_counted(
    tmp_path: Path, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one table is of the stage expression; of two trends none can be judged of a single stage."""
    recipe = make_recipe()
    whole = make_result(recipe, tmp_path, seeds=1, pictures=50)
    show_result(whole, recipe)
    said = capsys.readouterr().out
    assert "Table III" in said
    assert "It is faster" in said
    assert "not shown" not in said
    unjudged = [msgspec.structs.replace(verdict, difference=None) for verdict in whole.verdicts]
    stages = [one for one in whole.stages if one.stage == stage]
    show_result(msgspec.structs.replace(whole, stages=stages, verdicts=unjudged), recipe)
    said = capsys.readouterr().out
    assert ("Table III" in said) == (stage == "expression")
    assert "It is faster" not in said
    assert "Trends" not in said
    tables = "" if stage == "expression" else "1 table and "
    assert f"{tables}2 trends not shown: a stage was not run" in said


def test_a_recipe_without_tables_shows_the_errors_of_valence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = msgspec.structs.replace(make_recipe(), tables=(), trends=())
    result = make_result(recipe, tmp_path, seeds=1, pictures=50)
    show_result(result, recipe)
    said = capsys.readouterr().out
    (figures,) = (stage.tests["people"].figures for stage in result.stages if stage.stage == "new_person")
    assert np.isfinite(figures["valence_rmse"])
    assert f"{figures['valence_rmse']:.3f}" in said


def test_the_bar_moves_within_an_epoch() -> None:
    shown = RunProgress(progress := Progress(console=Console(file=io.StringIO()), disable=True))
    job, bar = Job("mine", "one", 0), progress.tasks[-1]
    shown.planned({job: 3}, 0)
    shown.told(job, "begins", None)
    shown.told(job, 0.5, None)
    assert bar.completed == 0.5
    shown.told(job, 1.0, None)
    assert int(bar.completed) == 0
    shown.told(job, Epoch(1, 0.5, 0.25, None, 0.1, 10, 1.0), None)
    assert bar.completed == 1
    shown.told(job, 0.25, None)
    assert bar.completed == 1.25
