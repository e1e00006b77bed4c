"""Predictions of several networks combined, and their figures beside those of the single ones."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from mien.errors import MienError
from tests.trainer.evaluate.reports import predictions
from trainer.evaluate.ensembles import combine_predictions, member_figures
from trainer.evaluate.predictions import Predictions, Training, test_result
from trainer.stages.result import TestResult

for _kind in (test_result, TestResult):
    _kind.__test__ = False  # type: ignore[attr-defined]  # pytest must not take them for tests


def members(count: int = 3) -> list[Predictions]:
    rng = np.random.default_rng(0)
    first = predictions(rng, 200, 1.0)
    others = [predictions(rng, 200, 1.0).of_classes for _ in range(count - 1)]
    return [first, *(replace(first, probabilities=own) for own in others)]


def test_the_mean_answers_about_the_same_pictures() -> None:
    parts = members()
    together = combine_predictions(parts, "mean")
    np.testing.assert_allclose(together.of_classes, np.mean([part.of_classes for part in parts], axis=0), rtol=1e-6)
    np.testing.assert_array_equal(together.names, parts[0].names)
    np.testing.assert_array_equal(together.truth, parts[0].truth)


@pytest.mark.parametrize("name", ["names", "truth", "fold", "labels"])
def test_answers_about_other_pictures_are_refused(name: str) -> None:
    first, second, _ = members()
    changed = getattr(second, name)[::-1]
    with pytest.raises(MienError, match="not answered on the same pictures"):
        combine_predictions([first, replace(second, **{name: changed})], "mean")


def test_the_best_member_and_their_mean_stand_beside_it() -> None:
    def tested(one: Predictions) -> TestResult:
        return test_result(one, [Training(None, {})] * 2, source="a", data="b", split="", left_out={}, file="")

    tests = [tested(one) for one in members()]
    accuracies = [test.figures["accuracy"] for test in tests]
    assert len(set(accuracies)) == 3
    assert member_figures(tests) == {
        "best_member_accuracy": max(accuracies),
        "mean_member_accuracy": pytest.approx(sum(accuracies) / 3),
    }
    assert member_figures([msgspec.structs.replace(tests[0], figures={})]) == {}
