"""Figures of a run from what its finished jobs left."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.evaluate.suspects import SuspectList
from trainer.stages.claim import RENDERED, Claim
from trainer.stages.gather import gather
from trainer.stages.job_result import JobResult, write_job
from trainer.stages.jobs import plan_jobs
from trainer.stages.recipe import Recipe, Source, Stage
from trainer.stages.result import Epoch


def test_time_per_epoch_is_not_that_of_starting_up(tmp_path: Path) -> None:
    recipe = Recipe(
        name="mine",
        title="Mine",
        architecture="mobilenet_v1_48",
        sources={"faces": Source("affectnet", "wild")},
        stages={"one": Stage(data="faces")},
    )
    claim = Claim(
        recipe=recipe,
        size="study",
        data=RENDERED,
        root=None,
        side=96,
        precision="32",
        without=SuspectList({}),
        seeds=1,
        stands_in_for=None,
        command="mien-train run mine",
        machine="2 cores",
        versions={},
    )
    jobs = plan_jobs(recipe, 1, {"one": None})
    left = JobResult(
        architecture="mobilenet_v1_48",
        parameters=1,
        macs=1,
        has_classes=True,
        lineage="wild",
        trained=1.0,
        people=None,
        means={},
        parts={},
        epochs=[Epoch(number, 1.0, 0.5, None, 0.1, 100, 10.0 if number == 1 else 0.3) for number in range(1, 6)],
        tests={},
    )
    (tmp_path / jobs[0].place).mkdir(parents=True)
    write_job(tmp_path / jobs[0].place, left)
    (stage,) = gather(claim, jobs, tmp_path).stages
    assert stage.figures["seconds_per_epoch"] == 0.3
    assert stage.figures["seconds"] == pytest.approx(10.0 + 4 * 0.3)
