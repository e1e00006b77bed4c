"""Whether a run shows what a paper found: each trend of the recipe, judged by a rule that was fixed before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trainer.evaluate.intervals import LEAST_SEEDS, student_interval
from trainer.stages.recipe import Arm, Recipe, Trend
from trainer.stages.result import StageResult, Verdict

EQUAL = 0.05
"""Differences up to this count as none for the sign 0 where the paper prints no difference, in units of the metric."""


class Judged(NamedTuple):
    """Mean of paired differences, bounds of its 95 % interval, and what follows; None where there are too few."""

    difference: float | None
    low: float | None
    high: float | None
    verdict: str


def judge_differences(sign: str, margin: float, differences: Sequence[float]) -> Judged:
    """Judge paired differences, as `judge` says.

    Args:
        sign: that is expected: +, - or 0.
        margin: of a difference that counts as none, for the sign 0.
        differences: one for each pair.
    """
    low, high = student_interval(list(differences)) if len(differences) >= LEAST_SEEDS else (None, None)
    return Judged(
        difference=float(np.mean(differences)) if differences else None,
        low=low,
        high=high,
        verdict="not judged" if low is None or high is None else _verdict(sign, margin, low, high),
    )


def judge(recipe: Recipe, stages: Sequence[StageResult]) -> list[Verdict]:
    """Judge every trend of a recipe.

    The differences are paired by seed, and their 95 % interval is Student's. For the signs + and −, a trend is `shown`
    where the whole interval lies on the paper's side of 0, `opposite` where it lies on the other, else `not shown`.

    For the sign 0, an interval that holds 0 says little while it is wide. So the test is one of equivalence, as of two
    one-sided tests at 2.5 %: `shown` where the whole interval lies within ± the difference that the paper prints and
    calls comparable (`EQUAL` where it prints none), `opposite` where it lies wholly outside, else `not shown`.

    `not judged`: a side was not run, lacks the metric, or there are fewer than three seeds with both sides.

    Args:
        recipe: as it was run.
        stages: results of all seeds.

    Returns:
        Verdicts in the order of the recipe's trends.
    """
    of_stage: dict[str, dict[int, StageResult]] = {}
    for result in stages:
        of_stage.setdefault(result.stage, {})[result.seed] = result
    return [_judge(recipe, trend, of_stage) for trend in recipe.trends]


def find_figure(recipe: Recipe, arm: Arm, metric: str, result: StageResult) -> float | None:
    """A figure of a stage's or ensemble's test on the arm's source (its own by default), else of itself; or None."""
    test = result.tests.get(arm.test or recipe.stages[recipe.members(arm.stage)[0]].data)
    found = test.figures.get(metric) if test else None
    return result.figures.get(metric) if found is None else found


def _judge(recipe: Recipe, trend: Trend, of_stage: dict[str, dict[int, StageResult]]) -> Verdict:
    sides = [
        {
            seed: figure
            for seed, result in of_stage.get(arm.stage, {}).items()
            if (figure := find_figure(recipe, arm, metric, result)) is not None
        }
        for arm, metric in ((trend.first, trend.metric), (trend.second, trend.second_metric or trend.metric))
    ]
    first, second = sides
    differences = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
    judged = judge_differences(trend.sign, abs(trend.published or EQUAL), differences)
    return Verdict(
        claim=trend.claim,
        cite=trend.cite,
        metric=trend.metric,
        sign=trend.sign,
        published=trend.published,
        difference=judged.difference,
        low=judged.low,
        high=judged.high,
        seeds=len(differences),
        verdict=judged.verdict,
        second_metric=trend.second_metric,
    )


def _verdict(sign: str, margin: float, low: float, high: float) -> str:
    if sign == "0":
        if -margin <= low and high <= margin:
            return "shown"
        return "opposite" if low > margin or high < -margin else "not shown"
    if sign == "-":
        low, high = -high, -low
    if low > 0:
        return "shown"
    return "opposite" if high < 0 else "not shown"
