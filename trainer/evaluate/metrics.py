"""Figures of a classifier, of valence and arousal, and of landmarks. numpy only.

Each figure follows from sums over pictures, and takes the sums with any number of leading dimensions: so the same few
lines give the figure of a test and those of a thousand resamples of it (`trainer.evaluate.intervals`).

A class that does not occur in the test part has no precision, recall or F1 (NaN) and is left out of macro means. One
that occurs but is never predicted has precision 0, as in scikit-learn with `zero_division=0`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.data.face_parts import FACE_PARTS, INTEROCULAR, PARTS

Classes = NDArray[np.int64]
Floats = NDArray[np.float64]

BINS = 15
"""Of confidence, equally wide, for the calibration error."""
_NOTHING = 1e-12
"""A covariance of valence or arousal below this is rounding."""


class Counts(NamedTuple):
    """Answers by class, each (..., classes): right ones, all of that true class, and all that name the class."""

    right: Floats
    true: Floats
    named: Floats


def confusion_matrix(truth: Classes, predicted: Classes, classes: int) -> NDArray[np.int64]:
    """Count how often each class is taken for each.

    Args:
        truth: int (N,), 0 … classes − 1.
        predicted: int (N,), likewise.
        classes: number of classes.

    Returns:
        int64 (classes, classes): row = true class, column = predicted class; sums to N.
    """
    counts = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def count(truth: Classes, predicted: Classes, classes: int) -> Counts:
    """Count the answers by class; arguments as for `confusion_matrix`."""
    right = truth[truth == predicted]
    return Counts(*(np.bincount(some, minlength=classes).astype(np.float64) for some in (right, truth, predicted)))


def accuracy(counts: Counts) -> Floats:
    """Share of right answers, (...), 0 to 1; NaN where there are none."""
    return ratio(counts.right.sum(axis=-1), counts.true.sum(axis=-1))


def precision(counts: Counts) -> Floats:
    """Share of the answers that name a class which are right, (..., classes), 0 to 1."""
    return np.where(counts.true > 0, np.nan_to_num(ratio(counts.right, counts.named)), np.nan)


def recall(counts: Counts) -> Floats:
    """Share of each true class that is found, (..., classes), 0 to 1."""
    return ratio(counts.right, counts.true)


def f1(counts: Counts) -> Floats:
    """Harmonic mean of precision and recall, (..., classes), 0 to 1."""
    return np.where(counts.true > 0, ratio(2 * counts.right, counts.true + counts.named), np.nan)


def macro(of_classes: Floats) -> Floats:
    """Mean over the classes that occur, (..., classes) → (...); NaN where none does."""
    occurs = ~np.isnan(of_classes)
    return ratio(np.where(occurs, of_classes, 0).sum(axis=-1), occurs.sum(axis=-1))


def mean_over_people(right: NDArray[np.bool_], people: Sequence[str] | NDArray[np.str_]) -> float:
    """Mean of the people's own accuracies, 0 to 1: many pictures of one person do not outvote the others.

    Args:
        right: bool (N,), whether each answer is right.
        people: who is on each picture, N names.
    """
    _, person = np.unique(np.asarray(people), return_inverse=True)
    return float(np.mean(np.bincount(person, weights=right) / np.bincount(person)))


def calibration_gaps(right: NDArray[np.bool_], confidence: NDArray[np.floating]) -> Floats:
    """By how much each answer is more right than it was confident, in the column of its bin; (N, BINS) to be summed.

    Args:
        right: bool (N,), whether each answer is right.
        confidence: (N,), its probability, 0 to 1.
    """
    confidence = confidence.astype(np.float64)
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.zeros((len(right), BINS))
    gaps[np.arange(len(right)), bins] = right - confidence
    return gaps


def calibration_error(gaps: Floats, pictures: Floats | int) -> Floats:
    """Expected calibration error, 0 to 1: mean over the answers of |accuracy − confidence| of the answer's bin.

    Bins are 15, equally wide, open below, of the top class's probability (Guo et al. 2017, On Calibration of Modern
    Neural Networks, eq. 3).

    Args:
        gaps: sums of `calibration_gaps`, (..., BINS).
        pictures: how many answers were summed, (...).
    """
    return ratio(np.abs(gaps).sum(axis=-1), np.asarray(pictures, np.float64))


def affect_terms(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> Floats:
    """What RMSE and CCC sum over: 1, squared error, truth, prediction and their product; (N, 5).

    Args:
        truth: valence or arousal, (N,), −1 to 1.
        predicted: likewise.
    """
    left, right = truth.astype(np.float64), predicted.astype(np.float64)
    return np.stack([np.ones(len(left)), (left - right) ** 2, left, right, left * right], axis=1)


def rmse(terms: Floats) -> Floats:
    """Root of the mean squared error, (..., 5) → (...), 0 to 2, from sums of `affect_terms`; NaN without pictures."""
    return np.asarray(np.sqrt(ratio(terms[..., 1], terms[..., 0])))


def ccc(terms: Floats) -> Floats:
    """Concordance correlation coefficient, (..., 5) → (...), −1 to 1, from sums of `affect_terms`.

    2 cov / (var + var + (difference of means)²), whose denominator is the mean squared error + 2 cov (Lin 1989, A
    Concordance Correlation Coefficient to Evaluate Reproducibility). 0 where truth or prediction is constant, hence
    with a single picture: neither varies with the other then. NaN where there are none.
    """
    error, truth, predicted, product = np.moveaxis(ratio(terms[..., 1:], terms[..., :1]), -1, 0)
    covariance = product - truth * predicted
    covariance = np.where(np.abs(covariance) < _NOTHING, 0, covariance)
    is_none = np.isnan(covariance)
    return np.where(is_none, np.nan, np.nan_to_num(ratio(2 * covariance, error + 2 * covariance)))


def interocular_distance(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Distance of the outer corners of the eyes.

    Args:
        points: (N, 68, 2).

    Returns:
        float32 (N,), in units of the points; NaN where a corner is unknown.
    """
    right, left = (points[:, corner] for corner in INTEROCULAR)
    return np.asarray(np.linalg.norm(right - left, axis=1), np.float32)


def landmark_errors(
    truth: NDArray[np.floating],
    predicted: NDArray[np.floating],
    visible: NDArray[np.bool_],
    interocular: NDArray[np.floating],
) -> dict[str, Floats]:
    """Each picture's errors by name of the figure: mean over points of the distance over that of the eyes.

    Args:
        truth: (N, K, 2), NaN where unknown.
        predicted: (N, K, 2), in the same units.
        visible: bool (N, K).
        interocular: (N,), distance of the outer corners of the eyes, in the same units.

    Returns:
        Float64 (N,) each, NaN where it is not known: `landmark_error`; `visible_landmark_error` over the points that
        can be seen; and where all 68 points are given, `jaw_landmark_error` and so on, of each part.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.linalg.norm(truth.astype(np.float64) - predicted, axis=2) / interocular[:, None]
    distance[~np.isfinite(distance)] = np.nan
    errors = {
        "landmark_error": _mean_of_known(distance),
        "visible_landmark_error": _mean_of_known(np.where(visible, distance, np.nan)),
    }
    if distance.shape[1] == PARTS["all"].stop:
        errors |= {f"{part}_landmark_error": _mean_of_known(distance[:, PARTS[part]]) for part in FACE_PARTS}
    return errors


def ratio(part: Floats, whole: Floats) -> Floats:
    """Quotient; NaN where the whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    result = np.full(part.shape, np.nan)
    np.divide(part, whole, out=result, where=whole != 0)
    return result


def _mean_of_known(distance: Floats) -> Floats:
    """Mean over the points that are known, (N, K) → (N,)."""
    known = np.isfinite(distance)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, distance, 0).sum(axis=1) / np.maximum(count, 1), np.nan)
