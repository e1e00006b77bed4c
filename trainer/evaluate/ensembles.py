"""Networks that answer together: their predictions combined, and how they compare with the single ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mien.errors import MienError
from mien.expression.combining import Rule, combine
from trainer.evaluate.predictions import Predictions
from trainer.stages.result import TestResult


def combine_predictions(members: Sequence[Predictions], rule: Rule) -> Predictions:
    """What networks say together of the pictures that all of them have seen.

    Args:
        members: predictions of classes for the same pictures in the same order.
        rule: how the probabilities are combined.

    Raises:
        MienError: they are of other pictures or classes, or are none of classes.
    """
    first = members[0]
    for other in members[1:]:
        if other.labels != first.labels or not all(
            np.array_equal(getattr(other, name), getattr(first, name)) for name in ("names", "fold", "truth")
        ):
            raise MienError(
                "The members of an ensemble have not answered on the same pictures",
                "Remove the folders of its members in the run's folder and run the recipe again",
            )
    probabilities = combine(rule, np.stack([member.of_classes for member in members]))
    return replace(first, probabilities=probabilities, teacher=None)


def member_figures(tests: Sequence[TestResult]) -> dict[str, float]:
    """Figures of an ensemble's test that its members' tests give: accuracy of the best one there, and their mean.

    The best one is chosen on the very test, which favours it over the ensemble.
    """
    accuracies = [test.figures["accuracy"] for test in tests if "accuracy" in test.figures]
    if not accuracies:
        return {}
    return {"best_member_accuracy": max(accuracies), "mean_member_accuracy": float(np.mean(accuracies))}
