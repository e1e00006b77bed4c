"""Figures in words and units, and what several seeds make of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Unit = Literal["share", "count", "seconds", "number"]

_NAMES: dict[str, tuple[str, Unit]] = {
    "accuracy": ("held-out accuracy", "share"),
    "training_accuracy": ("training accuracy", "share"),
    "macro_precision": ("precision, mean of classes", "share"),
    "macro_recall": ("recall, mean of classes", "share"),
    "macro_f1": ("F1, mean of classes", "share"),
    "mean_over_people": ("accuracy, mean over people", "share"),
    "calibration_error": ("expected calibration error", "share"),
    "neutral_called_negative": ("neutral faces called negative", "share"),
    "teacher_agreement": ("agreement with the teacher", "share"),
    "teacher_accuracy": ("accuracy of the teacher, of its classes", "share"),
    "teacher_neutral_called_negative": ("neutral faces called negative by the teacher", "share"),
    "images_seen": ("images seen", "count"),
    "chain_images_seen": ("images seen, whole chain", "count"),
    "seconds": ("training time", "seconds"),
    "chain_seconds": ("training time, whole chain", "seconds"),
    "seconds_per_epoch": ("time per epoch, median", "seconds"),
    "epochs": ("epochs", "number"),
    "best_member_accuracy": ("accuracy of the best member", "share"),
    "mean_member_accuracy": ("accuracy, mean of the members", "share"),
    "parameters": ("parameters", "count"),
    "macs": ("multiply-accumulates per picture", "count"),
    "temperature": ("temperature of the classes, by calibrate", "number"),
    "training_loss": ("training loss", "number"),
    "landmark_error": ("landmark error", "share"),  # of the distance of the eyes' outer corners
    "visible_landmark_error": ("landmark error, points that can be seen", "share"),
    "training_landmark_error": ("training landmark error", "share"),
    "rmse": ("RMSE", "number"),
    "ccc": ("CCC", "number"),
    "rmse_of_mean": ("RMSE of predicting the mean", "number"),
}
_HEADS = {"share": ", %", "count": "", "seconds": ", s", "number": ""}
ABSENT = "–"


class Spread(NamedTuple):
    """A figure over seeds."""

    mean: float
    low: float
    high: float
    seeds: int


def spread(values: Iterable[float | None]) -> Spread | None:
    """Mean, smallest and largest of the values that are known; None where none is."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return Spread(sum(known) / len(known), min(known), max(known), len(known)) if known else None


def unit(metric: str) -> Unit:
    """What a metric is counted in."""
    return _name(metric)[1]


def words(metric: str) -> str:
    """A metric in words."""
    return _name(metric)[0]


def heading(metric: str) -> str:
    """A metric in words, with its unit."""
    name, kind = _name(metric)
    return name + _HEADS[kind]


def text(metric: str, value: float | None) -> str:
    """A figure with sensible digits, without its unit: percent with one, errors with three decimals."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return _digits(metric, value).replace("-", "−")


def spread_text(metric: str, figures: Spread | None) -> str:
    """Mean over seeds, and smallest to largest in brackets where they differ."""
    if figures is None:
        return ABSENT
    mean, low, high = (text(metric, value) for value in (figures.mean, figures.low, figures.high))
    return mean if low == high else f"{mean} ({low} to {high})"


def difference_text(metric: str, value: float | None) -> str:
    """A difference with its sign."""
    if value is None or not math.isfinite(value):
        return ABSENT
    written = text(metric, value)
    return written if written.startswith("−") else f"+{written}"


def difference_unit(metric: str) -> str:
    """What a difference of a metric is counted in."""
    return {"share": "percentage points", "seconds": "seconds", "count": words(metric), "number": ""}[unit(metric)]


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if not math.isfinite(seconds):
        return ABSENT
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def by_epoch(runs: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Mean of several runs for each epoch, over those that went on so long; None where no run has a number."""
    longest = max((len(run) for run in runs), default=0)
    means = (spread(run[epoch] for run in runs if epoch < len(run)) for epoch in range(longest))
    return [None if mean is None else mean.mean for mean in means]


def _digits(metric: str, value: float) -> str:
    kind = unit(metric)
    if kind == "share":
        return f"{100 * value:.1f}"
    if kind == "count" or (kind == "seconds" and abs(value) >= 100):
        return f"{value:,.0f}"
    if kind == "seconds":
        return f"{value:.2g}" if abs(value) < 1 else f"{value:.1f}"
    return f"{value:.1f}".removesuffix(".0") if metric == "epochs" else f"{value:.3f}"


def _name(metric: str) -> tuple[str, Unit]:
    for output in ("valence", "arousal"):
        if metric.startswith(f"{output}_"):
            name, kind = _name(metric.removeprefix(f"{output}_"))
            return f"{output} {name}", kind
    if metric not in _NAMES and metric.endswith("_landmark_error"):
        name, kind = _NAMES["landmark_error"]
        return f"{name}, {metric.removesuffix('_landmark_error')}", kind
    return _NAMES.get(metric, (metric.replace("_", " "), "number"))
