"""From what finished jobs left to the result of a run: folds are pooled, figures computed, trends judged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from trainer.data.output import output_errors
from trainer.evaluate.ensembles import combine_predictions, member_figures
from trainer.evaluate.predictions import Training, load_predictions, pool, test_result
from trainer.evaluate.trends import judge
from trainer.stages.checkpoint import load_card
from trainer.stages.claim import RENDERED, Claim
from trainer.stages.job_result import JobResult, answers_file, read_job
from trainer.stages.jobs import AGAIN, Job
from trainer.stages.recipe import Ensemble
from trainer.stages.recipe_file import dump_recipe
from trainer.stages.result import Epoch, RecipeResult, StageResult, TestResult

Finished = Mapping[Job, JobResult]

_SUMMED = ("images_seen", "seconds", "seconds_per_epoch", "epochs", "parameters", "macs")
"""Over the members of an ensemble."""


def gather(claim: Claim, jobs: Sequence[Job], folder: Path) -> RecipeResult:
    """The result of the stages of which all folds are finished.

    Args:
        claim: what is run in the folder.
        jobs: all jobs of the run, finished or not.
        folder: of the run.

    Raises:
        MienError: no stage is finished, or what a job left is damaged.
    """
    found = {job: read_job(folder / job.place) for job in jobs}
    finished = {job: result for job, result in found.items() if result is not None}
    of_stage: dict[tuple[int, str], list[Job]] = defaultdict(list)
    for job in jobs:
        of_stage[job.seed, job.stage].append(job)
    whole = {key: folds for key, folds in of_stage.items() if finished.keys() >= set(_chain(folds))}
    stages = {key: _stage(folds, finished, claim, folder) for key, folds in whole.items()}
    if not stages:
        raise MienError(f"{folder}: no stage is finished yet", AGAIN)
    recipe = claim.recipe
    ensembles = [
        _ensemble(name, ensemble, [(stages[key], whole[key]) for key in keys], finished, claim, folder)
        for seed in range(claim.seeds)
        for name, ensemble in recipe.ensembles.items()
        if stages.keys() >= set(keys := [(seed, member) for member in ensemble.members])
    ]
    results = [*stages.values(), *ensembles]
    network = next(
        (r for r in finished.values() if r.architecture == recipe.architecture), next(iter(finished.values()))
    )
    return RecipeResult(
        recipe=recipe.name,
        title=recipe.title,
        paper=recipe.paper,
        size=claim.size,
        data=claim.data,
        command=claim.command,
        architecture=network.architecture,
        stands_in_for=claim.stands_in_for,
        parameters=network.parameters,
        macs=network.macs,
        seeds=max(stage.seed for stage in results) + 1,
        machine="; ".join((claim.machine, *claim.ways)),
        versions=claim.versions,
        seconds=sum(stage.figures["seconds"] for stage in stages.values()),
        recipe_text=dump_recipe(recipe),
        stages=results,
        verdicts=judge(recipe, results),
    )


def _stage(jobs: list[Job], finished: Finished, claim: Claim, folder: Path) -> StageResult:
    """One stage with one seed, from its folds."""
    results = [finished[job] for job in jobs]
    first = jobs[0]
    return StageResult(
        stage=first.stage,
        seed=first.seed,
        lineage=results[0].lineage,
        folds=len(jobs),
        trained=results[0].trained,
        figures=_figures(jobs, finished) | _temperature(jobs, claim, folder),
        parts={part: _sum(result.parts[part] for result in results) for part in results[0].parts},
        epochs=[result.epochs for result in results],
        tests={source: _test(source, jobs, finished, claim, folder) for source in results[0].tests},
    )


def _ensemble(
    name: str,
    ensemble: Ensemble,
    members: Sequence[tuple[StageResult, list[Job]]],
    finished: Finished,
    claim: Claim,
    folder: Path,
) -> StageResult:
    """Stages with one seed that answer together, on the tests that all of them have."""
    stages, jobs = [stage for stage, _ in members], [job for _, own in members for job in own]
    passed = [epoch for job in set(_chain(jobs)) for epoch in finished[job].epochs]
    tests = {
        source: _test_together(name, ensemble, source, members, finished, claim, folder)
        for source in stages[0].tests
        if all(source in stage.tests for stage in stages)
    }
    return msgspec.structs.replace(
        stages[0],
        stage=name,
        lineage=f"{ensemble.combine} of {', '.join(ensemble.members)}",
        figures={metric: sum(stage.figures[metric] for stage in stages) for metric in _SUMMED}
        | _of_chain(passed),  # what several members start from counts once
        epochs=[],
        tests=tests,
        members=ensemble.members,
    )


def _test_together(
    name: str,
    ensemble: Ensemble,
    source: str,
    members: Sequence[tuple[StageResult, list[Job]]],
    finished: Finished,
    claim: Claim,
    folder: Path,
) -> TestResult:
    """Answers of an ensemble on a source, from its members' answers, and their figures."""
    tests = [stage.tests[source] for stage, _ in members]
    together = combine_predictions([load_predictions(folder / test.predictions) for test in tests], ensemble.combine)
    file = answers_file(Path(f"seed{members[0][0].seed}", name), source)
    with output_errors(folder / file):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
    together.save(folder / file)
    training = []
    for fold, jobs in enumerate(zip(*(own for _, own in members), strict=True)):
        people = together.people[together.fold == fold]
        known = [_known_people(job, finished, claim, source, people) for job in jobs]
        training.append(Training(set().union(*(one for one in known if one)) if None not in known else None, {}))
    found = test_result(
        together,
        training,
        source=source,
        data=tests[0].data,
        split=tests[0].split,
        left_out=tests[0].left_out,
        file=str(file),
    )
    return msgspec.structs.replace(found, figures=found.figures | member_figures(tests))


def _figures(jobs: Sequence[Job], finished: Finished) -> dict[str, float]:
    """Of the training: means over folds; sums for images and seconds, the median over epochs of seconds per epoch."""
    results = [finished[job] for job in jobs]
    epochs = [epoch for result in results for epoch in result.epochs]
    passed = [epoch for job in set(_chain(jobs)) for epoch in finished[job].epochs]
    trained: dict[str, float] = {}
    if epochs:  # a stage with the head of another one trains nothing
        last = [result.epochs[-1] for result in results]
        trained = {
            **_score(float(np.mean([epoch.training_score for epoch in last])), results[0]),
            "training_loss": float(np.mean([epoch.loss for epoch in last])),
            "seconds_per_epoch": float(np.median([epoch.seconds for epoch in epochs])),
        }
    return {
        **trained,
        "images_seen": sum(epoch.pictures for epoch in epochs),
        "seconds": sum(epoch.seconds for epoch in epochs),
        "epochs": len(epochs) / len(results),
        "parameters": results[0].parameters,
        "macs": results[0].macs,
        **_of_chain(passed),
    }


def _temperature(jobs: Sequence[Job], claim: Claim, folder: Path) -> dict[str, float]:
    """Mean over folds of that by which the logits of the classes were divided; nothing where that was not wanted."""
    if not claim.recipe.stages[jobs[0].stage].calibrate:
        return {}
    steps = [load_card(folder / job.place).lineage[-1] for job in jobs]
    return {"temperature": float(np.mean([step.temperature for step in steps]))}


def _score(score: float, result: JobResult) -> dict[str, float]:
    """Accuracy is a share; of landmarks, or of valence and arousal alone, the score is minus an error."""
    if result.has_classes:
        return {"training_accuracy": score}
    return {"training_landmark_error" if result.has_landmarks else "training_rmse": -score}


def _of_chain(passed: Sequence[Epoch]) -> dict[str, float]:
    """What all that was passed through cost."""
    return {
        "chain_images_seen": sum(epoch.pictures for epoch in passed),
        "chain_seconds": sum(epoch.seconds for epoch in passed),
    }


def _chain(jobs: Iterable[Job]) -> Iterable[Job]:
    """The jobs with all that they started from."""
    for job in jobs:
        start: Job | None = job
        while start is not None:
            yield start
            start = start.start


def _test(source: str, jobs: Sequence[Job], finished: Finished, claim: Claim, folder: Path) -> TestResult:
    """The folds' answers on a source, pooled, and their figures."""
    first, results = jobs[0], [finished[job] for job in jobs]
    answers = [load_predictions(answers_file(folder / job.place, source)) for job in jobs]
    file = answers_file(Path(f"seed{first.seed}", first.stage), source)
    if first.fold is not None:
        pool(answers).save(folder / file)
    return test_result(
        pool(answers),
        [
            Training(_known_people(job, finished, claim, source, own.people), finished[job].means)
            for job, own in zip(jobs, answers, strict=True)
        ],
        source=source,
        data=results[0].tests[source].data,
        split=results[0].tests[source].split,
        left_out=_sum(result.tests[source].left_out for result in results),
        file=str(file),
    )


def _known_people(job: Job, finished: Finished, claim: Claim, tested: str, people: NDArray[np.str_]) -> set[str] | None:
    """Who of a test part was in the training of a job, or of any that it started from; None where that is not known.

    People are the same where they have the same name in the same data set, whatever source shows it. Things that are
    learned before are nobody.
    """
    recipe, names = claim.recipe, {_who(claim, tested, name): name for name in np.unique(people).tolist() if name}
    known: set[str] = set()
    for one in _chain([job]):
        stage, trained = recipe.stages[one.stage], finished[one].people
        if stage.start.startswith("checkpoint:"):
            return None
        if trained is not None:
            known |= {names[who] for name in trained if (who := _who(claim, stage.data, name)) in names}
        elif stage.target != "category" and _data_sets(claim, stage.data) & _data_sets(claim, tested):
            return None
    return known


def _who(claim: Claim, source: str, person: str) -> tuple[str, str]:
    """Data set and name of a person, the same in all sources of that data set."""
    if claim.recipe.sources[source].more:
        source, _, person = person.partition("/")  # as `trainer.data.sources.Joined` names people
    return _data_set(claim, source), person


def _data_sets(claim: Claim, source: str) -> set[str]:
    return {_data_set(claim, part) for part in (source, *claim.recipe.sources[source].more)}


def _data_set(claim: Claim, source: str) -> str:
    """Name of a source's data set, without the selection of its frames."""
    found = claim.recipe.sources[source]
    return (found.rendered if claim.data == RENDERED else found.real).partition(":")[0]


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for some in counts:
        total.update(some)
    return dict(total)
