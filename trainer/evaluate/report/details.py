"""What the page says of each stage: how it went, on which data, and what its tests gave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from trainer.evaluate.metrics import BINS
from trainer.evaluate.predictions import AFFECTS, Predictions
from trainer.evaluate.report.charts import Chart, Series, line_chart
from trainer.evaluate.report.figures import (
    ABSENT,
    Spread,
    by_epoch,
    difference_text,
    duration,
    heading,
    spread,
    spread_text,
    text,
)
from trainer.evaluate.report.gallery import is_listed
from trainer.stages.recipe import Ensemble, Recipe, Stage, Target
from trainer.stages.result import Epoch, StageResult, TestResult

Figures = Sequence[Mapping[str, float]]
"""Of each seed, by name."""


_SCORES: dict[Target, tuple[str, float]] = {
    "valence": ("RMSE", -1.0),
    "arousal": ("RMSE", -1.0),
    "landmarks": ("landmark error, %", -100.0),
}
"""What the scores of an epoch are, in words, and times what; accuracy of all other targets."""


class ClassRow(NamedTuple):
    """One class: its name, and precision, recall, F1 and pictures as text."""

    label: str
    cells: list[str]


class AffectRow(NamedTuple):
    """One of valence and arousal beside what predicting the training mean gives."""

    output: str
    rmse: str
    rmse_of_mean: str
    difference: str
    ccc: str


class TestView(NamedTuple):
    """A stage on a source, all seeds. `confusion` is summed over seeds and folds, `shares` are its rows' shares."""

    source: str
    data: str
    split: str
    pictures: str
    people: str
    folds: int
    shared_people: int | None
    left_out: dict[str, str]
    figures: list[tuple[str, str, str]]
    labels: tuple[str, ...]
    confusion: list[list[int]]
    shares: list[list[float]]
    classes: list[ClassRow]
    affect: list[AffectRow]
    reliability: Chart | None


class StageView(NamedTuple):
    """A stage, all seeds, without its tests."""

    name: str
    lineage: str
    images_seen: str
    seconds: str
    facts: list[tuple[str, str]]
    settings: list[tuple[str, str]]
    parts: list[tuple[str, list[str]]]
    charts: list[Chart]


def stage_view(name: str, runs: Sequence[StageResult], recipe: Recipe) -> StageView:
    """Say how a stage went."""
    stage = recipe.stages.get(name)
    members = runs[0].members
    shown = (
        *("epochs", "images_seen", "chain_images_seen", "seconds_per_epoch"),
        *("training_loss", "training_accuracy", "training_landmark_error", "temperature"),
    )
    figures = [run.figures for run in runs]
    facts = [
        ("share of the parameters that was trained", ABSENT if members else f"{100 * runs[0].trained:.1f} %"),
        *((heading(metric), written) for metric in shown if (written := _figure(figures, metric)) != ABSENT),
        ("training time, for each seed", _duration(figures, "seconds")),
        ("training time of the whole chain, for each seed", _duration(figures, "chain_seconds")),
        (
            "networks trained",
            ABSENT if members else f"{sum(run.folds for run in runs)} (seeds: {len(runs)}, folds: {runs[0].folds})",
        ),
        ("networks that answer together", str(len(members)) if members else ABSENT),
    ]
    return StageView(
        name,
        runs[0].lineage,
        _figure(figures, "images_seen"),
        _duration(figures, "seconds"),
        [fact for fact in facts if fact[1] != ABSENT],
        _settings(stage or recipe.ensembles.get(name)),
        _parts(runs),
        _curves(name, runs, stage.target if stage is not None else "expression"),
    )


def test_view(runs: Sequence[StageResult], source: str, predictions: Sequence[Predictions]) -> TestView:
    """Put the seeds of one test together."""
    tests = [run.tests[source] for run in runs if source in run.tests]
    first, figures = tests[0], [test.figures for test in tests]
    confusion = _summed([test.confusion for test in tests if is_listed(test)])
    hidden = {f"{affect}_{kind}" for affect in AFFECTS for kind in ("rmse", "ccc", "rmse_of_mean")}
    names = [metric for metric in dict.fromkeys(name for one in figures for name in one) if metric not in hidden]
    shared = [test.shared_people for test in tests if test.shared_people is not None]
    reasons = dict.fromkeys(reason for test in tests for reason in test.left_out)
    return TestView(
        source,
        first.data,
        first.split,
        _range(test.pictures for test in tests),
        _range(test.people for test in tests),
        first.folds,
        max(shared) if shared else None,
        {reason: _range(test.left_out.get(reason, 0) for test in tests) for reason in reasons},
        [(heading(metric), _figure(figures, metric), _interval(metric, first)) for metric in names],
        first.labels,
        confusion,
        [[count / max(1, sum(row)) for count in row] for row in confusion],
        [_class_row(label, tests) for label in first.labels if confusion and label in first.classes],
        [_affect_row(figures, affect) for affect in AFFECTS if f"{affect}_rmse" in first.figures],
        _reliability(predictions),
    )


def _figure(figures: Figures, metric: str) -> str:
    return spread_text(metric, _spread(figures, metric))


def _spread(figures: Figures, metric: str) -> Spread | None:
    return spread(of_seed.get(metric) for of_seed in figures)


def _interval(metric: str, test: TestResult) -> str:
    bounds = test.intervals.get(metric)
    return ABSENT if bounds is None else " to ".join(text(metric, bound) for bound in bounds)


def _duration(figures: Figures, metric: str) -> str:
    known = _spread(figures, metric)
    return ABSENT if known is None else duration(known.mean)


def _settings(stage: Stage | Ensemble | None) -> list[tuple[str, str]]:
    """The stage's or ensemble's keys as the recipe has them, defaults included."""
    fields: dict[str, Any] = msgspec.to_builtins(stage) if stage is not None else {}
    return [(key.replace("_", " "), _said(value)) for key, value in fields.items() if value not in (None, [], ())]


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_said(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _parts(runs: Sequence[StageResult]) -> list[tuple[str, list[str]]]:
    """Pictures of each class in training, validation and test part, and of all."""
    names = ("train", "validation", "test")
    counts = [[run.parts.get(part, {}) for run in runs] for part in names]
    classes = dict.fromkeys(label for part in counts for run in part for label in run)
    rows = [(label, [_range(run.get(label, 0) for run in part) for part in counts]) for label in classes]
    return [*rows, ("all", [_range(sum(run.values()) for run in part) for part in counts])] if len(rows) > 1 else rows


def _curves(name: str, runs: Sequence[StageResult], target: Target) -> list[Chart]:
    """Loss, score and time by epoch: each seed, mean over its folds, and the mean of all."""
    score, scale = _SCORES.get(target, ("accuracy, %", 100.0))

    def lines(of: Callable[[Epoch], float | None], style: str, legend: str = "", scale: float = 1.0) -> list[Series]:
        seeds = [by_epoch([[of(epoch) for epoch in fold] for fold in run.epochs]) for run in runs]
        drawn = [*((seed, f"{style} seed", "") for seed in seeds if len(seeds) > 1), (by_epoch(seeds), style, legend)]
        return [
            Series(
                [(number, None if y is None else scale * y) for number, y in enumerate(values, 1)], css, name_in_legend
            )
            for values, css, name_in_legend in drawn
        ]

    name_of_score = score.removesuffix(", %")
    training = lines(lambda epoch: epoch.training_score, "training", f"training {name_of_score}", scale)
    validation = lines(lambda epoch: epoch.validation_score, "validation", f"validation {name_of_score}", scale)
    loss = lines(lambda epoch: epoch.loss, "training", "training loss")
    time = lines(lambda epoch: epoch.seconds, "training")
    slowest = max((epoch.seconds for run in runs for fold in run.epochs for epoch in fold), default=0.0)
    charts = [
        line_chart(f"{name}: training loss", "epoch", "loss", loss),
        line_chart(f"{name}: training and validation score", "epoch", score, training + validation),
        line_chart(f"{name}: time per epoch", "epoch", "seconds", time, (0, 1.1 * slowest)) if slowest else None,
    ]
    return [chart for chart in charts if chart is not None]


def _class_row(label: str, tests: Sequence[TestResult]) -> ClassRow:
    own = [test.classes[label] for test in tests if label in test.classes]
    shares = [spread(getattr(figures, name) for figures in own) for name in ("precision", "recall", "f1")]
    return ClassRow(
        label, [*(spread_text("accuracy", share) for share in shares), _range(figures.pictures for figures in own)]
    )


def _affect_row(figures: Figures, affect: str) -> AffectRow:
    error, of_mean = (_spread(figures, f"{affect}_{kind}") for kind in ("rmse", "rmse_of_mean"))
    difference = None if error is None or of_mean is None else error.mean - of_mean.mean
    return AffectRow(
        affect,
        spread_text("rmse", error),
        spread_text("rmse", of_mean),
        difference_text("rmse", difference),
        _figure(figures, f"{affect}_ccc"),
    )


def _reliability(predictions: Sequence[Predictions]) -> Chart | None:
    """How often the model is right by how sure it is, in the bins of the calibration error; all seeds together."""
    answers = [
        (one.confidence[one.truth >= 0], (one.predicted == one.truth)[one.truth >= 0])
        for one in predictions
        if one.has_classes
    ]
    if not answers:
        return None
    sure, right = (np.concatenate(parts) for parts in zip(*answers, strict=True))
    step = np.minimum((sure * BINS).astype(int), BINS - 1)
    points: list[tuple[float, float | None]] = [
        (100 * float(sure[own].mean()), 100 * float(right[own].mean()))
        for own in (step == number for number in range(BINS))
        if own.any()
    ]
    ideal: list[tuple[float, float | None]] = [(0, 0), (100, 100)]
    return line_chart(
        "Calibration: how often it is right by how sure it is",
        "confidence, %",
        "right, %",
        [Series(ideal, "ideal", "perfectly calibrated"), Series(points, "training", "measured")],
        (0, 100),
    )


def _summed(matrices: Sequence[list[list[int]]]) -> list[list[int]]:
    """Sum of the matrices that are there; all have the same classes."""
    known = [np.array(matrix) for matrix in matrices if matrix]
    return [] if not known else np.sum(known, axis=0).tolist()


def _range(counts: Iterable[int | None]) -> str:
    """A count, or the smallest and largest where the seeds differ."""
    known = [count for count in counts if count is not None]
    if not known:
        return ABSENT
    low, high = min(known), max(known)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
