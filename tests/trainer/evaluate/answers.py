"""Predictions for the tests of what follows from them."""

from __future__ import annotations

import numpy as np

from trainer.evaluate.predictions import Predictions

LABELS = ("neutral", "happiness", "fear")


def make_predictions(
    truth: list[int],
    predicted: list[int],
    people: list[str] | None = None,
    *,
    confidence: float = 0.8,
    fold: int = 0,
    valence: tuple[list[float], list[float]] | None = None,
    classes: int = len(LABELS),
) -> Predictions:
    """Answers of one confidence; valence is truth and prediction."""
    count = len(truth)
    probabilities = np.full((count, classes), (1 - confidence) / (classes - 1), np.float32)
    probabilities[np.arange(count), predicted] = confidence
    sides = (None, None) if valence is None else tuple(np.array(side, np.float32) for side in valence)
    return Predictions(
        labels=LABELS if classes == len(LABELS) else tuple(f"n{number}" for number in range(classes)),
        truth=np.array(truth, np.int64),
        probabilities=probabilities,
        valence_truth=sides[0],
        valence_predicted=sides[1],
        arousal_truth=None,
        arousal_predicted=None,
        people=np.array(people or [""] * count, np.str_),
        names=np.array([f"fold{fold}/{number}.png" for number in range(count)], np.str_),
        fold=np.full(count, fold, np.int64),
    )
