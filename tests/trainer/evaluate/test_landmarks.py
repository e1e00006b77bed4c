"""Figures of located landmarks, from predictions in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from tests.trainer.evaluate.answers import make_predictions
from trainer.evaluate import predictions
from trainer.evaluate.landmarks import errors_by_yaw
from trainer.evaluate.predictions import Predictions, Training, load_predictions, pool


def located(error: list[float], yaw: list[float], people: list[str]) -> Predictions:
    """Eyes of which each point is off by a part of their distance."""
    count = len(error)
    truth = np.random.default_rng(0).uniform(0.3, 0.7, (count, 12, 2)).astype(np.float32)
    off = np.float32(np.array(error) * 0.4)[:, None, None] * np.float32([0.6, 0.8])
    return replace(
        make_predictions([-1] * count, [0] * count, people),
        labels=(),
        probabilities=None,
        landmark_truth=truth,
        landmark_predicted=truth + off,
        landmark_visible=np.arange(12) % 2 == np.zeros((count, 1)),
        interocular=np.full(count, 0.4, np.float32),
        yaw=np.array(yaw, np.float32),
    )


def test_errors_are_told_with_intervals_over_people_and_folds_are_pooled(tmp_path: Path) -> None:
    answers = located([0.1, 0.2, 0.3, 0.4], [0, 20, -50, np.nan], ["a", "a", "b", "c"])
    answers.save(tmp_path / "p.npz")
    kept = load_predictions(tmp_path / "p.npz")
    whole = pool([kept.select(np.array([0, 1])), kept.select(np.array([2, 3]))])
    found = predictions.test_result(
        whole, [Training(None, {})], source="s", data="mine", split="by person", left_out={}, file="p.npz"
    )
    assert found.figures == pytest.approx({"landmark_error": 0.25, "visible_landmark_error": 0.25}, abs=1e-5)
    low, high = found.intervals["landmark_error"]
    assert 0.14 < low < 0.25 < high < 0.41
    assert (found.confusion, found.labels, found.people) == ([], (), 3)


def test_errors_are_told_by_how_far_heads_are_turned_to_either_side() -> None:
    answers = located([0.1, 0.2, 0.3, 0.5, 0.7], [0, 20, -50, 50, np.nan], list("abcde"))
    groups = errors_by_yaw(answers)
    assert [(group.least, group.most, group.pictures) for group in groups] == [(0, 15, 1), (15, 30, 1), (45, 90, 2)]
    assert [group.error for group in groups] == pytest.approx([0.1, 0.2, 0.4], abs=1e-5)
    assert errors_by_yaw(replace(answers, yaw=np.full(5, np.nan, np.float32))) == []
    with pytest.raises(MienError, match="of no landmarks"):
        errors_by_yaw(make_predictions([0], [0]))
