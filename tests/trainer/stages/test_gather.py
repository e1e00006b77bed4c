"""Figures of a run from what its finished jobs left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from mien.expression.combining import combine
from trainer.evaluate.predictions import Predictions, load_predictions
from trainer.evaluate.suspects import SuspectList
from trainer.stages.claim import RENDERED, Claim
from trainer.stages.gather import gather
from trainer.stages.job_result import JobResult, JobTest, answers_file, write_job
from trainer.stages.jobs import Job, plan_jobs
from trainer.stages.recipe import Arm, Ensemble, Recipe, Source, Split, Stage, Trend
from trainer.stages.recipe_file import dump_recipe
from trainer.stages.result import Epoch, StageResult

LABELS = ("anger", "fear", "neutral")
FOLDS = 2


def make_claim(recipe: Recipe, seeds: int = 1) -> Claim:
    return Claim(
        recipe=recipe,
        size="study",
        data=RENDERED,
        root=None,
        side=96,
        precision="32",
        without=SuspectList({}),
        seeds=seeds,
        stands_in_for=None,
        command="mien-train run mine",
        machine="2 cores",
        versions={},
    )


def make_recipe(**changes: Any) -> Recipe:
    return msgspec.structs.replace(
        Recipe(
            name="mine",
            title="Mine",
            architecture="mobilenet_v1_48",
            sources={"faces": Source("affectnet", "wild")},
            stages={"one": Stage(data="faces")},
        ),
        **changes,
    )


def leave(job: Job, folder: Path, **changes: Any) -> None:
    """What a finished job leaves, without its network."""
    left = JobResult(
        architecture="mobilenet_v1_48",
        parameters=1000,
        macs=70,
        has_classes=True,
        lineage="wild",
        trained=1.0,
        people=None,
        means={},
        parts={},
        epochs=[Epoch(number, 1.0, 0.5, None, 0.1, 100, 10.0 if number == 1 else 0.3) for number in range(1, 6)],
        tests={},
    )
    (folder / job.place).mkdir(parents=True)
    write_job(folder / job.place, msgspec.structs.replace(left, **changes))


def test_time_per_epoch_is_not_that_of_starting_up(tmp_path: Path) -> None:
    claim = make_claim(make_recipe())
    (job,) = jobs = plan_jobs(claim.recipe, 1, {"one": None})
    leave(job, tmp_path)
    (stage,) = gather(claim, jobs, tmp_path).stages
    assert stage.figures["seconds_per_epoch"] == 0.3
    assert stage.figures["seconds"] == pytest.approx(10.0 + 4 * 0.3)


# ---- ensembles

ENSEMBLES = make_recipe(
    sources={
        "first": Source("affectnet", "wild"),
        "lab": Source("jaffe", "lab_b", split=Split("folds", folds=FOLDS, by_person=True)),
        "other": Source("raf-db", "wild", split=Split("everything")),
    },
    stages={
        "start": Stage(data="first"),
        "mouth": Stage(start="start", data="lab", tests=("other",)),
        "eyes": Stage(start="start", data="lab", tests=("other",)),
        "nose": Stage(start="start", data="lab"),
    },
    ensembles={
        "parts": Ensemble(("mouth", "eyes", "nose")),
        "pair": Ensemble(("eyes", "mouth"), "reliability"),
    },
    trends=(
        Trend(
            claim="Together they are better than the best",
            cite="004",
            first=Arm("parts"),
            second=Arm("parts"),
            metric="accuracy",
            second_metric="best_member_accuracy",
            sign="+",
        ),
    ),
)


def answers(rng: np.random.Generator, fold: int) -> Predictions:
    """Of five people with 8 pictures each; truths and names are the same whenever they are asked."""
    people = [f"{fold}{number % 5}" for number in range(40)]
    absent: dict[str, Any] = dict.fromkeys(f"{a}_{k}" for a in ("valence", "arousal") for k in ("truth", "predicted"))
    return Predictions(
        LABELS,
        truth=np.arange(40) % 3,
        probabilities=rng.dirichlet((1.0, 1.0, 1.0), 40).astype(np.float32),
        people=np.array(people),
        names=np.array([f"{fold}/{number}.png" for number in range(40)]),
        fold=np.full(40, fold),
        **absent,
    )


def gather_ensembles(folder: Path, unfinished: str = "") -> dict[tuple[str, int], StageResult]:
    claim, rng = make_claim(ENSEMBLES, seeds=2), np.random.default_rng(0)
    jobs = plan_jobs(claim.recipe, 2, {"start": None, "mouth": FOLDS, "eyes": FOLDS, "nose": FOLDS})
    for job in jobs:
        if job.stage == unfinished and job.seed == 1:
            continue
        stage = ENSEMBLES.stages[job.stage]
        tests = {source: JobTest(source, "in some way", {}) for source in (stage.data, *stage.tests)}
        leave(job, folder, tests=tests, people=["00", "10"] if job.stage == "eyes" else [])
        for source in tests:
            answers(rng, job.fold or 0).save(answers_file(folder / job.place, source))
    result = gather(claim, jobs, folder)
    assert result.seconds == pytest.approx(
        sum(stage.figures["seconds"] for stage in result.stages if not stage.members)
    )
    return {(stage.stage, stage.seed): stage for stage in result.stages}


def test_ensembles_answer_from_what_their_members_answered(tmp_path: Path) -> None:
    found = gather_ensembles(tmp_path)
    assert list(found)[-4:] == [("parts", 0), ("pair", 0), ("parts", 1), ("pair", 1)]
    assert set(found["parts", 0].tests) == {"lab"}
    assert set(found["pair", 0].tests) == {"lab", "other"}
    for seed in (0, 1):
        for name, ensemble in ENSEMBLES.ensembles.items():
            test = found[name, seed].tests["lab"]
            own = [load_predictions(tmp_path / found[one, seed].tests["lab"].predictions) for one in ensemble.members]
            together = load_predictions(tmp_path / test.predictions)
            expected = combine(ensemble.combine, np.stack([one.of_classes for one in own]))
            np.testing.assert_array_equal(together.of_classes, expected)
            assert (test.folds, test.pictures, test.people) == (2, 80, 10)
            assert test.figures["accuracy"] == (expected.argmax(axis=1) == together.truth).mean()
            accuracies = [found[one, seed].tests["lab"].figures["accuracy"] for one in ensemble.members]
            assert test.figures["best_member_accuracy"] == max(accuracies)
            assert test.figures["mean_member_accuracy"] == pytest.approx(np.mean(accuracies))


def test_an_ensemble_knows_whom_its_members_have_seen(tmp_path: Path) -> None:
    found = gather_ensembles(tmp_path)
    assert found["nose", 0].tests["lab"].shared_people == 0
    assert found["parts", 0].tests["lab"].shared_people == 2
    assert found["parts", 0].members == ("mouth", "eyes", "nose")


def test_an_ensemble_costs_what_its_members_cost_and_their_common_start_once(tmp_path: Path) -> None:
    found = gather_ensembles(tmp_path)
    figures, one, start = (found[name, 0].figures for name in ("parts", "mouth", "start"))
    for metric in ("images_seen", "seconds", "parameters", "macs", "epochs"):
        assert figures[metric] == pytest.approx(3 * one[metric])
    assert figures["chain_images_seen"] == 3 * one["images_seen"] + start["images_seen"]
    assert "training_accuracy" not in figures


def test_an_ensemble_is_there_once_all_its_members_are(tmp_path: Path) -> None:
    found = gather_ensembles(tmp_path, unfinished="nose")
    assert {key for key in found if key[0] in ENSEMBLES.ensembles} == {("parts", 0), ("pair", 0), ("pair", 1)}


def test_a_recipe_is_written_without_ensembles_of_stages_that_are_left_out() -> None:
    stages = {name: stage for name, stage in ENSEMBLES.stages.items() if name != "nose"}
    written = dump_recipe(msgspec.structs.replace(ENSEMBLES, stages=stages))
    assert "pair:" in written
    assert "parts:" not in written
    assert "best_member_accuracy" not in written
