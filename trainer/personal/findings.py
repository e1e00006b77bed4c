"""What paper 002 found and what we set out to reach, written down before the study ran.

Findings are judged like the trends of recipes (`trainer.evaluate.trends`), paired by person. Goals are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from mien.personal.learners import DEFAULT_LEARNER
from trainer.evaluate.intervals import LEAST_SEEDS
from trainer.evaluate.report.figures import ABSENT, difference_text, heading
from trainer.evaluate.trends import judge_differences
from trainer.personal import no_transfer
from trainer.personal.learning import BASE, GATED, PUBLISHED
from trainer.personal.measured import Key
from trainer.personal.results import Figures, Floats, over_people
from trainer.stages.result import Verdict

COMPARABLE = 0.01
"""RMSE: differences up to this count as none where the paper calls results comparable and prints no difference."""
_PROTOCOLS = {"frames": "random frames, as published", "blocks": "blocks of time"}
_AFFECTS = ("valence", "arousal")
_SAMPLERS = ("gsx", "gsy", "igs", "mcdue")
_WAY = PUBLISHED


class Finding(NamedTuple):
    """A finding of the paper: a figure of one key minus a figure of another.

    Attributes:
        claim: in words.
        cite: where it stands.
        first: key, whose protocol is filled in.
        second: likewise.
        metric: of the first.
        second_metric: of the second, where it is another one.
        sign: that the paper found.
        published: its difference, where it prints one.
        margin: of a difference that counts as none, for the sign 0.
        protocols: for which it is judged.
    """

    claim: str
    cite: str
    first: Key
    second: Key
    metric: str
    sign: Literal["+", "-", "0"]
    second_metric: str = ""
    published: float | None = None
    margin: float = COMPARABLE
    protocols: tuple[str, ...] = tuple(_PROTOCOLS)


def _transfer(arm: str) -> Key:
    return Key("transfer", "", arm)


def _curve(share: float, sampler: str = "random") -> Key:
    return Key("curve", "", _WAY, sampler, share)


FINDINGS = (
    Finding(
        "Valence: all personal labels are better than none",
        "002, 4 (0.09 against 0.14)",
        _transfer(_WAY),
        _transfer(BASE),
        "valence_rmse",
        "-",
        published=-0.05,
    ),
    Finding(
        "Arousal: all personal labels are better than none",
        "002, 4 (Fig. 5)",
        _transfer(_WAY),
        _transfer(BASE),
        "arousal_rmse",
        "-",
    ),
    Finding(
        "Valence: all labels are better with transfer than without",
        "002, 4 (0.09 against 0.37)",
        _transfer(_WAY),
        _transfer(no_transfer.ARM),
        "valence_rmse",
        "-",
        published=-0.28,
    ),
    Finding(
        "Arousal: all labels are better with transfer than without",
        "002, 4 (0.10 against 0.22)",
        _transfer(_WAY),
        _transfer(no_transfer.ARM),
        "arousal_rmse",
        "-",
        published=-0.12,
    ),
    Finding(
        "Valence: the general model is better than the purely personal one",
        "002, 4 (0.14 against 0.37)",
        _transfer(BASE),
        _transfer(no_transfer.ARM),
        "valence_rmse",
        "-",
        published=-0.23,
    ),
    Finding(
        "Arousal: the general model is worse than the purely personal one",
        "002, 4 (Fig. 5)",
        _transfer(BASE),
        _transfer(no_transfer.ARM),
        "arousal_rmse",
        "+",
    ),
    Finding(
        "Without transfer, valence is harder than arousal",
        "002, 4 (0.37 against 0.22)",
        _transfer(no_transfer.ARM),
        _transfer(no_transfer.ARM),
        "valence_rmse",
        "+",
        "arousal_rmse",
        0.15,
    ),
    Finding(
        "The general model tells arousal worse than valence",
        "002, 4 (Fig. 5)",
        _transfer(BASE),
        _transfer(BASE),
        "arousal_rmse",
        "+",
        "valence_rmse",
    ),
    Finding(
        "Valence: 20 % of the labels are as good as all",
        "002, 4 (Fig. 6, elbow)",
        _curve(0.2),
        _transfer(_WAY),
        "valence_rmse",
        "0",
        protocols=("frames",),
    ),
    Finding(
        "Arousal: 30 % of the labels are as good as all",
        "002, 4 (Fig. 6, elbow)",
        _curve(0.3),
        _transfer(_WAY),
        "arousal_rmse",
        "0",
        protocols=("frames",),
    ),
    *(
        Finding(
            f"{affect.capitalize()}: {sampler} is no better than random choice, with 20 % of the labels",
            "002, 4 (Fig. 6)",
            _curve(0.2, sampler),
            _curve(0.2),
            f"{affect}_rmse",
            "0",
            protocols=("frames",),
        )
        for affect in _AFFECTS
        for sampler in _SAMPLERS
    ),
)
"""In the order of the paper; its way of learning is `PUBLISHED`."""

HARD = {
    "class order": ("blocks", "labels in class order"),
    "first classes": ("blocks", "labels of half of the classes only"),
    "wrong labels": ("blocks", "10 % wrong labels"),
    "later": ("later", "learned first, tested later"),
    "drift away": ("later", "drifting away from everybody"),
    "drift back": ("later", "drifting back to everybody"),
}
"""Hard cases: experiments in which the default learner must not end worse than the base head, with their division."""
_BAD_DIRECTION = {"valence_rmse": 1, "arousal_rmse": 1, "accuracy": -1}
ENOUGH_OF_TEN = 0.9
LARGEST_RATIO = 0.7


class Goal(NamedTuple):
    """One of our goals: what is wanted, what was found, and whether it is reached (None: not measured)."""

    claim: str
    wanted: str
    found: str
    is_met: bool | None


def judge_findings(figures: Figures) -> list[Verdict]:
    """All findings, protocol by protocol."""
    verdicts = []
    for protocol, words in _PROTOCOLS.items():
        for one in FINDINGS:
            if protocol in one.protocols:
                first, second = (key._replace(protocol=protocol) for key in (one.first, one.second))
                second_metric = one.second_metric or one.metric
                differences = figures.of(first, one.metric) - figures.of(second, second_metric)
                known = differences[~np.isnan(differences)]
                judged = judge_differences(one.sign, one.margin, known.tolist())
                verdicts.append(
                    Verdict(
                        claim=f"{one.claim} ({words})",
                        cite=one.cite,
                        metric=one.metric,
                        sign=one.sign,
                        published=one.published,
                        difference=judged.difference,
                        low=judged.low,
                        high=judged.high,
                        seeds=len(known),
                        verdict=judged.verdict,
                        second_metric=one.second_metric,
                    )
                )
    return verdicts


def judge_goals(figures: Figures) -> list[Goal]:
    """All goals, each for the way of the paper and for what the robot does."""
    goals = [goal for way in (PUBLISHED, DEFAULT_LEARNER, GATED) for goal in _gains(figures, way)]
    for way in (DEFAULT_LEARNER, GATED):
        goals.append(_better(figures, way))
        goals.append(_harmless(figures, way, "like everybody else", [Key("shift", "blocks", way)]))
        goals += [
            _harmless(figures, way, words, [Key(case, protocol, way)]) for case, (protocol, words) in HARD.items()
        ]
        for experiment, words in (("few", "few labels"), ("few, no shift", "few labels, like everybody else")):
            counts = [Key(experiment, "blocks", way, "random", count) for count in figures.settings.few]
            goals.append(_harmless(figures, way, f"{words} ({', '.join(map(str, figures.settings.few))})", counts))
    return goals


def _gains(figures: Figures, way: str) -> list[Goal]:
    """RMSE at most 0.7 of that of the base head, and below that without transfer, for nine of ten people."""
    by_arm = {
        arm: [figures.of(Key("transfer", "blocks", arm), f"{name}_rmse") for name in _AFFECTS]
        for arm in (way, BASE, no_transfer.ARM)
    }
    goals = []
    for claim, arm, factor in (
        (f"{way}: RMSE with all labels ≤ {LARGEST_RATIO} × with none", BASE, LARGEST_RATIO),
        (f"{way}: RMSE with all labels < without transfer", no_transfer.ARM, 1.0),
    ):
        both = [own <= factor * other for own, other in zip(by_arm[way], by_arm[arm], strict=True)]
        known = ~np.isnan(np.stack([*by_arm[way], *by_arm[arm]])).any(axis=0)
        reached, people = int((both[0] & both[1])[known].sum()), int(known.sum())
        ratios = ", ".join(
            f"{name} {own[known].mean() / other[known].mean():.2f}"
            for name, own, other in zip(_AFFECTS, by_arm[way], by_arm[arm], strict=True)
            if people
        )
        wanted = math.ceil(ENOUGH_OF_TEN * people)
        goals.append(
            Goal(
                f"{claim}, in valence and arousal (blocks of time)",
                f"for {wanted} of {people} people" if people else "for nine of ten people",
                f"{reached} of {people}; ratio of the means: {ratios}" if people else ABSENT,
                reached >= wanted if people else None,
            )
        )
    return goals


def _better(figures: Figures, way: str) -> Goal:
    """Few labels are already better than none, beyond the interval."""
    count = figures.settings.few[-1]
    changes = {name: _change(figures, Key("few", "blocks", way, "random", count), name) for name in _BAD_DIRECTION}
    errors = [over_people(changes[f"{name}_rmse"]) for name in _AFFECTS]
    return Goal(
        f"{way}: {count} labels are better than none (blocks of time)",
        "the intervals of both RMSE below 0",
        "; ".join(_words(name, change) for name, change in changes.items() if not np.isnan(change).all()) or ABSENT,
        all(one.high < 0 for one in errors) if all(one.people >= LEAST_SEEDS for one in errors) else None,
    )


def _harmless(figures: Figures, way: str, words: str, keys: Sequence[Key]) -> Goal:
    """Learning ends no worse than the base head: no interval of a difference is wholly on the wrong side."""
    found, is_worse, people = [], False, 0
    for name, direction in _BAD_DIRECTION.items():
        changes = [change for key in keys if not np.isnan(change := _change(figures, key, name)).all()]
        if changes:
            people = max(people, over_people(changes[0]).people)
            worst = max(changes, key=lambda change: over_people(direction * change).mean)
            is_worse |= any(over_people(direction * change).low > 0 for change in changes)
            found.append(_words(name, worst))
    return Goal(
        f"{way}: no harm to the person: {words}",
        "no interval wholly on the worse side",
        ("the worst: " if len(keys) > 1 and found else "") + ("; ".join(found) or ABSENT),
        not is_worse if people >= LEAST_SEEDS else None,
    )


def _change(figures: Figures, key: Key, name: str) -> Floats:
    """Figure with learning minus that of the base head, person by person."""
    return figures.of(key, name) - figures.of(key._replace(arm=BASE), name)


def _words(name: str, change: Floats) -> str:
    mean, low, high, _ = over_people(change)
    interval = "" if math.isnan(low) else f" ({difference_text(name, low)} to {difference_text(name, high)})"
    return f"{heading(name)} {difference_text(name, mean)}{interval}"
