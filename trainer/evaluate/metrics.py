"""Figures of a classifier, from true and predicted classes. numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.int64]


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


def accuracy(confusion: NDArray[np.int64]) -> float:
    """Share of right answers, 0 to 1; NaN where there are none."""
    return float(np.trace(confusion) / confusion.sum()) if confusion.sum() else float("nan")


def recall(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each true class that is found, float (classes,), 0 to 1; NaN for classes that do not occur."""
    occurring = confusion.sum(axis=1)
    result = np.full(len(confusion), np.nan)
    np.divide(np.diag(confusion), occurring, out=result, where=occurring > 0)
    return result


def mean_over_people(right: NDArray[np.bool_], people: Sequence[str]) -> float:
    """Mean of the people's own accuracies, 0 to 1: many pictures of one person do not outvote the others.

    Args:
        right: bool (N,), whether each answer is right.
        people: who is on each picture, N names.
    """
    _, person = np.unique(np.asarray(people), return_inverse=True)
    return float(np.mean(np.bincount(person, weights=right) / np.bincount(person)))
