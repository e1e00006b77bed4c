"""Figures over people and seeds, the elbow, findings, goals, and the report that shows them."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mien.personal.learners import DEFAULT_LEARNER
from mien.personal.sampling import SAMPLERS
from trainer.personal import no_transfer
from trainer.personal.findings import judge_findings, judge_goals
from trainer.personal.learning import BASE, CURVES, GATED, PUBLISHED, WAYS
from trainer.personal.measured import Key, Measured
from trainer.personal.report import write_report
from trainer.personal.results import Figures, StudyResult, gather, over_people
from trainer.personal.settings import SIZES, Settings

SETTINGS = msgspec.structs.replace(SIZES["study"]["rendered"], shares=(0.1, 0.2, 0.3, 0.5), few=(1, 16))
ERRORS = {no_transfer.ARM: 0.3, BASE: 0.2}
"""RMSE of each arm; all ways of learning have 0.1."""
CASES = ("class order", "first classes", "wrong labels")
LATER = ("later", "drift away", "drift back")


def measured(person: int, seed: int, of_arm: dict[str, float]) -> list[Measured]:
    """Everything that is measured; errors vary a little from person to person and seed to seed."""
    arms = (BASE, *WAYS, GATED)
    keys = [Key("transfer", protocol, arm) for protocol in ("frames", "blocks") for arm in (*arms, no_transfer.ARM)]
    keys += [Key("shift", "blocks", arm, amount=shift) for shift in SETTINGS.shifts for arm in arms]
    keys += [Key(case, "blocks", arm) for case in CASES for arm in arms]
    keys += [Key(case, "later", arm) for case in LATER for arm in arms]
    for sampler, arm in itertools.product(SAMPLERS, CURVES):
        shares = itertools.product(CURVES[arm], SETTINGS.shares)
        keys += [Key("curve", protocol, arm, sampler, share) for protocol, share in shares]
    for sampler, arm, count in itertools.product(("random", "gsx"), arms, SETTINGS.few):
        keys += [Key(experiment, "blocks", arm, sampler, count) for experiment in ("few", "few, no shift")]
    rows = []
    for key in keys:
        error = of_arm.get(key.arm, 0.1) * (1 + 0.05 * person + 0.01 * seed)
        if key.experiment == "curve":
            error *= 1 + 0.9 * max(0, 0.3 - key.amount)
        rows.append(Measured(key, {"valence_rmse": error, "arousal_rmse": error / 2, "accuracy": 1 - error}))
    return rows


def study(of_arm: dict[str, float] = ERRORS, people: int = 4, settings: Settings = SETTINGS) -> StudyResult:
    found = {
        (str(person), seed, "learning"): measured(person, seed, of_arm) for person in range(people) for seed in (0, 1)
    }
    versions = {"torch": "2"}
    return gather(
        found, settings, learners={}, size="study", data="rendered", general="recipe tiny",
        command="mien-train personal", machine="2 cores",
        versions=versions,
    )  # fmt: skip


def test_a_person_counts_once_whatever_the_number_of_seeds() -> None:
    figures = Figures(study())
    values = figures.of(Key("transfer", "blocks", BASE), "valence_rmse")
    np.testing.assert_allclose(values, [0.2 * (1.005 + 0.05 * person) for person in range(4)])
    interval = over_people(values)
    assert interval.people == 4
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low < interval.mean < interval.high


def test_what_was_not_measured_is_unknown_and_two_people_give_no_interval() -> None:
    figures = Figures(study(people=2))
    assert np.isnan(figures.of(Key("transfer", "blocks", "nobody"), "valence_rmse")).all()
    assert math.isnan(over_people(figures.of(Key("transfer", "blocks", BASE), "valence_rmse")).low)


def test_the_elbow_is_the_smallest_share_that_leaves_a_tenth_of_the_gain() -> None:
    figures = Figures(study())
    # 0.1 · (1 + 0.9 · (0.3 - share)) against 0.1 + a tenth of 0.2 - 0.1.
    assert figures.elbow("frames", PUBLISHED, "random", "valence_rmse") == 0.2
    hopeless = Figures(study({**ERRORS, BASE: 0.1}))
    assert hopeless.elbow("frames", PUBLISHED, "random", "valence_rmse") == 0.3


def test_findings_are_judged_person_by_person() -> None:
    verdicts = {verdict.claim: verdict for verdict in judge_findings(Figures(study()))}
    better = verdicts["Valence: all personal labels are better than none (blocks of time)"]
    assert better.verdict == "shown"
    assert better.difference == pytest.approx(-0.1 * 1.08)
    assert better.seeds == 4
    assert verdicts["Arousal: the general model is worse than the purely personal one (blocks of time)"].verdict == (
        "opposite"
    )
    alike = verdicts[
        "Valence: gsx is no better than random choice, with 20 % of the labels (random frames, as published)"
    ]
    assert alike.verdict == "shown"
    few = {verdict.verdict for verdict in judge_findings(Figures(study(people=2)))}
    assert few == {"not judged"}


def test_goals_are_reached_or_missed_as_the_figures_say() -> None:
    goals = judge_goals(Figures(study()))
    assert {goal.is_met for goal in goals} == {True}
    missed = [goal for goal in judge_goals(Figures(study({**ERRORS, DEFAULT_LEARNER: 0.25}))) if not goal.is_met]
    assert missed
    assert all(goal.claim.startswith(f"{DEFAULT_LEARNER}:") for goal in missed)
    slight = judge_goals(Figures(study({**ERRORS, GATED: 0.15})))
    assert [goal.claim.partition(":")[0] for goal in slight if not goal.is_met] == [GATED]
    assert {goal.is_met for goal in judge_goals(Figures(study({}, people=0)))} == {None}
    two = [goal for goal in judge_goals(Figures(study(people=2))) if "≤" not in goal.claim and "<" not in goal.claim]
    assert {goal.is_met for goal in two} == {None}


def test_the_report_stands_on_its_own(tmp_path: Path) -> None:
    page = write_report(study(), tmp_path)
    text, summary = page.read_text(), (tmp_path / "report.md").read_text()
    assert "http" not in text.replace("http-equiv", "").replace("https://", "http")
    for words in ("rendered people, not on photographs", "Person by person", "drifting back", "Elbow"):
        assert words in text
        assert words in summary
    assert text.count('<figure class="chart">') == 9
    assert "0.37" in summary  # as the paper prints it
    assert msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=StudyResult).people == ("0", "1", "2", "3")
