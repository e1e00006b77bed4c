"""Measured figures of a checkpoint, with what they rest on."""

from __future__ import annotations

from pathlib import Path

from mien.bundle import Accuracy
from trainer.evaluate.predictions import Training, load_predictions, test_result
from trainer.stages.checkpoint import load_card
from trainer.stages.job_result import answers_file, read_job
from trainer.stages.result import TestResult

_SHOWN_MISTAKES = 3


def measured(checkpoint: Path) -> tuple[Accuracy, ...]:
    """The figures that a checkpoint's own stage reached, from the answers that lie beside it.

    Args:
        checkpoint: its folder.

    Returns:
        For each test part all figures; none where the folder holds no finished job. People are 0 where the data set
        does not name them. Of test parts of the same data, as heads turned more and less, the data also say which.

    Raises:
        MienError: the card, the job or its answers are damaged.
    """
    job = read_job(checkpoint)
    if job is None:
        return ()
    card, found = load_card(checkpoint), list[Accuracy]()
    knows_landmarks = card.crop.kind in ("outer", "inner") and card.landmarks == "data"
    data = [test.data for test in job.tests.values()]
    for source, test in job.tests.items():
        file = answers_file(checkpoint, source)
        predictions = load_predictions(file)
        training = [Training(job.people, job.means)] * (int(predictions.fold.max(initial=0)) + 1)
        result = test_result(
            predictions,
            training,
            source=source,
            data=test.data if data.count(test.data) == 1 else f"{test.data} ({source})",
            split=test.split,
            left_out=test.left_out,
            file=file.name,
        )
        found += _of_test(result, knows_landmarks)
    return tuple(found)


def _of_test(result: TestResult, knows_landmarks: bool) -> list[Accuracy]:
    notes = ["cut by the data's own landmarks; a robot has to find them"] if knows_landmarks else []
    if result.people is None:
        notes.append("people are not named")
    if result.shared_people:
        notes.append(f"{result.shared_people} of the people were trained on too")
    if result.left_out:
        notes.append("left out: " + ", ".join(f"{count} × {why}" for why, count in result.left_out.items()))
    about = result.data, result.split, result.people or 0, result.pictures
    return [
        Accuracy(metric.replace("_", " "), round(value, 4), *about, "; ".join([*notes, *_own_notes(result, metric)]))
        for metric, value in result.figures.items()
        if not metric.startswith("teacher_")  # another network's
    ]


def _own_notes(result: TestResult, metric: str) -> list[str]:
    """What belongs to one figure: its interval, and to the accuracy which expressions are most often missed."""
    bounds = result.intervals.get(metric)
    notes = [] if bounds is None else [f"95 %: {bounds[0]:.3f} to {bounds[1]:.3f}"]
    if metric == "accuracy" and result.confusion:
        missed = [
            (count, f"{true} read as {said} ({count} of {sum(row)})")
            for true, row in zip(result.labels, result.confusion, strict=True)
            for said, count in zip(result.labels, row, strict=True)
            if said != true and count
        ]
        worst = sorted(missed, key=lambda one: -one[0])[:_SHOWN_MISTAKES]
        notes += ["most often wrong: " + ", ".join(words for _, words in worst)] if worst else []
    return notes
