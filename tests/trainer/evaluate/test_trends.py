"""Verdicts on published trends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.evaluate.report.tables import fill_verdict
from trainer.evaluate.trends import EQUAL, judge
from trainer.stages import result
from trainer.stages.recipe import Arm, Recipe, Source, Stage, Trend
from trainer.stages.result import StageResult, Verdict

DIFFERENCES = st.lists(st.floats(-1, 1), min_size=3, max_size=6)


def of_test(source: str, **figures: float) -> result.TestResult:
    return result.TestResult(source, source, "", None, None, 1, 1, {}, (), figures, {}, [], {}, "")


def stage(name: str, seed: int, *tests: result.TestResult, **figures: float) -> StageResult:
    return StageResult(name, seed, "", 1, 1.0, figures, {}, [], {test.source: test for test in tests})


def recipe(*trends: Trend) -> Recipe:
    source = Source("own", "wild")
    stages = {"staged": Stage(data="target"), "scratch": Stage(data="target"), "other": Stage(data="lab")}
    return Recipe(
        name="mine",
        title="",
        architecture="alexnet",
        sources={"target": source, "lab": source},
        stages=stages,
        trends=trends,
    )


def trend(sign: str = "+", metric: str = "macro_f1", *, first: str = "staged", test: str = "", **more: object) -> Trend:
    return Trend(
        claim="it helps",
        cite="000, II",
        first=Arm(first, test),
        second=Arm("scratch"),
        metric=metric,
        sign=sign,
        **more,  # type: ignore[arg-type]
    )


def verdict(differences: list[float], sign: str = "+", published: float | None = None) -> Verdict:
    results = [
        one
        for seed, difference in enumerate(differences)
        for one in (
            stage("staged", seed, of_test("target", macro_f1=difference)),
            stage("scratch", seed, of_test("target", macro_f1=0.0)),
        )
    ]
    return judge(recipe(trend(sign, published=published)), results)[0]


@pytest.mark.parametrize(
    ("differences", "sign", "published", "expected"),
    [
        ([0.10, 0.11, 0.12], "+", None, "shown"),
        ([0.10, 0.11, 0.12], "-", None, "opposite"),
        ([-0.10, -0.11, -0.12], "-", None, "shown"),
        ([-0.10, -0.11, -0.12], "+", None, "opposite"),
        ([0.10, -0.11, 0.12], "+", None, "not shown"),
        ([0.10, -0.11, 0.12], "-", None, "not shown"),
        ([0.1, 0.1, 0.1], "+", None, "shown"),
        ([0.0, 0.0, 0.0], "+", None, "not shown"),
        ([0.0, 0.0, 0.0], "0", None, "shown"),
        ([0.003, -0.002, 0.001], "0", 0.02, "shown"),
        ([0.003, -0.002, 0.001], "0", -0.02, "shown"),
        ([0.003, -0.002, 0.001], "0", 0.001, "not shown"),  # within the noise, which is no proof that they are equal
        ([0.3, -0.2, 0.1], "0", None, "not shown"),
        ([0.03, 0.031, 0.029], "0", None, "shown"),  # surely there, and surely less than matters
        ([0.03, 0.031, 0.029], "0", 0.02, "opposite"),
        ([-0.2, -0.21, -0.19], "0", None, "opposite"),
    ],
)
def test_verdicts(differences: list[float], sign: str, published: float | None, expected: str) -> None:
    assert verdict(differences, sign, published).verdict == expected


def test_a_verdict_says_what_it_rests_on() -> None:
    found = verdict([0.1, 0.2, 0.3], "+", 0.25)
    assert found.low is not None
    assert found.high is not None
    assert (found.claim, found.cite, found.metric, found.sign) == ("it helps", "000, II", "macro_f1", "+")
    assert (found.published, found.seeds) == (0.25, 3)
    assert found.difference == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.2 - 4.303 * 0.1 / 3**0.5, 0.2 + 4.303 * 0.1 / 3**0.5), abs=1e-4)


@settings(max_examples=50, deadline=None)
@given(DIFFERENCES)
def test_the_opposite_sign_gives_the_opposite_verdict(differences: list[float]) -> None:
    swap = {"shown": "opposite", "opposite": "shown", "not shown": "not shown"}
    assert verdict(differences, "-").verdict == swap[verdict(differences, "+").verdict]
    assert verdict([-value for value in differences], "-").verdict == verdict(differences, "+").verdict


@settings(max_examples=50, deadline=None)
@given(DIFFERENCES)
def test_equal_is_shown_only_where_the_interval_is_as_narrow_as_the_margin(differences: list[float]) -> None:
    found = verdict(differences, "0")
    assert found.low is not None
    assert found.high is not None
    if found.verdict == "shown":
        assert found.high - found.low <= 2 * EQUAL
    assert found.verdict == verdict([-value for value in differences], "0").verdict


def test_two_seeds_are_not_judged() -> None:
    found = verdict([0.1, 0.1])
    assert (found.verdict, found.low, found.high, found.seeds) == ("not judged", None, None, 2)
    assert found.difference == pytest.approx(0.1)


def test_a_stage_that_was_not_run_is_not_judged() -> None:
    results = [stage("staged", seed, of_test("target", macro_f1=0.5)) for seed in range(3)]
    (found,) = judge(recipe(trend()), results)
    assert (found.verdict, found.difference, found.low, found.seeds) == ("not judged", None, None, 0)


def test_differences_are_paired_by_seed() -> None:
    # Seeds differ much more than the stages do, and come in any order; one has no partner.
    level = {0: 0.1, 1: 0.9, 2: 0.5}
    first = [stage("staged", seed, of_test("target", macro_f1=level[seed] + 0.01)) for seed in (2, 0, 1)]
    second = [stage("scratch", seed, of_test("target", macro_f1=level[seed])) for seed in (0, 1, 2)]
    (found,) = judge(recipe(trend()), [*first, *second, stage("staged", 7, of_test("target", macro_f1=0.0))])
    assert (found.verdict, found.seeds) == ("shown", 3)
    assert found.difference == pytest.approx(0.01)


def three(name: str, *tests: result.TestResult, **figures: float) -> list[StageResult]:
    return [stage(name, seed, *tests, **figures) for seed in range(3)]


def test_figures_are_of_the_arm_s_test_else_of_the_stage() -> None:
    scratch = three("scratch", of_test("target", accuracy=0.5), seconds=10.0)
    other = three("other", of_test("lab", accuracy=0.9), of_test("target", accuracy=0.7), seconds=4.0)
    found = judge(
        recipe(
            trend(metric="accuracy", first="other"),
            trend(metric="accuracy", first="other", test="target"),
            trend("-", "seconds", first="other", test="target"),
            trend(metric="images_seen", first="other"),
            trend("-", "accuracy", first="other", second_metric="seconds"),
        ),
        [*scratch, *other],
    )
    assert [one.difference for one in found] == [pytest.approx(0.4), pytest.approx(0.2), -6, None, pytest.approx(-9.1)]
    assert [one.verdict for one in found] == ["shown", "shown", "shown", "not judged", "shown"]
    assert [one.second_metric for one in found] == ["", "", "", "", "seconds"]
    assert fill_verdict(found[-1]).metric == "held-out accuracy against training time"
    assert fill_verdict(found[0]).metric == "held-out accuracy"
