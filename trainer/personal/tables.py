"""The tables of the study's report, filled in."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mien.personal.learners import DEFAULT_LEARNER
from mien.personal.sampling import SAMPLERS
from trainer.evaluate.report.figures import ABSENT, difference_text, heading, text
from trainer.evaluate.report.tables import Cell, FilledRow, FilledTable, Group
from trainer.personal import no_transfer
from trainer.personal.findings import HARD
from trainer.personal.learning import BASE, CURVES, FEW_SAMPLERS, GATED, LAST_LAYER, PUBLISHED, WAYS
from trainer.personal.measured import Key
from trainer.personal.results import Figures, Floats, over_people

_PROTOCOLS = {"frames": "random frames", "blocks": "blocks of time"}
_METRICS = ("valence_rmse", "arousal_rmse", "accuracy", "macro_f1")
_ERRORS = ("valence_rmse", "arousal_rmse")
_PAPER = {
    ("frames", no_transfer.ARM): (0.37, 0.22),
    ("frames", BASE): (0.14, None),
    ("frames", PUBLISHED): (0.09, 0.10),
}
"""Valence and arousal RMSE that paper 002 prints (section 4)."""
_SIDES = (BASE, PUBLISHED, DEFAULT_LEARNER, GATED)


def settings(figures: Figures) -> FilledTable:
    """No transfer, 0 % and 100 %, beside the paper's figures."""
    names = {
        no_transfer.ARM: "no transfer",
        BASE: "transfer, no labels (0 %)",
        PUBLISHED: f"transfer, all labels (100 %), {PUBLISHED}, all dense layers",
        LAST_LAYER: f"transfer, all labels, {PUBLISHED}, last layer only",
        DEFAULT_LEARNER: f"transfer, all labels, {DEFAULT_LEARNER} (the robot's default)",
    }
    rows = []
    for protocol, words in _PROTOCOLS.items():
        for arm, name in names.items():
            printed = [*_PAPER.get((protocol, arm), (None, None)), None, None]
            cells = [
                Cell(text(metric, value), _mean(metric, figures.of(Key("transfer", protocol, arm), metric)), "")
                for metric, value in zip(_METRICS, printed, strict=True)
            ]
            rows.append(FilledRow(f"{name}; {words}", "", cells))
    groups = [Group(heading(metric), metric in _ERRORS, False) for metric in _METRICS]
    return FilledTable("The three settings of paper 002", "002, 4, Fig. 5", "", groups, rows)


def person_by_person(figures: Figures) -> FilledTable:
    """Each person in blocks of time."""
    arms = (no_transfer.ARM, *_SIDES)
    columns = [f"{heading(metric)}, {arm}" for metric in _ERRORS for arm in arms]
    values = [(metric, figures.of(Key("transfer", "blocks", arm), metric)) for metric in _ERRORS for arm in arms]
    rows = [(name, [text(m, of[number]) for m, of in values]) for number, name in enumerate(figures.people)]
    return _table("Person by person, blocks of time", columns, rows)


def learners(figures: Figures, protocol: str) -> FilledTable:
    """All ways with all labels."""
    columns = [*map(heading, _METRICS), "time to learn, ms"]
    rows = []
    for arm in (BASE, *WAYS, GATED):
        key = Key("transfer", protocol, arm)
        seconds = figures.mean(key, "seconds")
        cells = [_mean(metric, figures.of(key, metric)) for metric in _METRICS]
        rows.append((arm, [*cells, ABSENT if math.isnan(seconds) else f"{1000 * seconds:.1f}"]))
    return _table(f"All labels, {_PROTOCOLS[protocol]}", columns, rows)


def shifts(figures: Figures) -> FilledTable:
    """Strengths of the shift, all labels, blocks of time."""
    columns = [f"{heading(metric)}, {arm}" for metric in (*_ERRORS, "accuracy") for arm in _SIDES]
    rows = []
    for shift in figures.settings.shifts:
        keys = {arm: Key("shift", "blocks", arm, amount=shift) for arm in _SIDES}
        cells = [_mean(metric, figures.of(keys[arm], metric)) for metric in (*_ERRORS, "accuracy") for arm in _SIDES]
        rows.append((f"shift {shift:g}", cells))
    return _table("Strength of the shift, all labels, blocks of time", columns, rows)


def elbows(figures: Figures) -> FilledTable:
    """Where the curves bend."""
    places = [(way, protocol, metric) for way in CURVES for protocol in CURVES[way] for metric in _ERRORS]
    columns = [f"{heading(metric)}, {way}, {_PROTOCOLS[protocol]}" for way, protocol, metric in places]
    rows = []
    for sampler in SAMPLERS:
        found = [figures.elbow(protocol, way, sampler, metric) for way, protocol, metric in places]
        rows.append((sampler, ["none" if math.isnan(share) else f"{100 * share:.0f} %" for share in found]))
    note = "Paper, by eye: 20 % in valence, 30 % in arousal; its 240 to 320 samples would be 30 and 40 % of its 800."
    return _table("Elbow: share of the labels", columns, rows, note)


def samplers(figures: Figures) -> list[FilledTable]:
    """Each sampler minus random choice, share by share."""
    result = []
    for way, protocols in CURVES.items():
        for protocol in protocols:
            others = [(metric, sampler) for metric in _ERRORS for sampler in SAMPLERS if sampler != "random"]
            columns = [f"{heading(metric)}, {sampler} − random" for metric, sampler in others]
            rows = []
            for share in figures.settings.shares:
                key = Key("curve", protocol, way, "random", share)
                cells = [
                    _change(metric, figures.of(key._replace(sampler=sampler), metric) - figures.of(key, metric))
                    for metric, sampler in others
                ]
                rows.append((f"{100 * share:.0f} %", cells))
            result.append(_table(f"Samplers minus random choice, {way}, {_PROTOCOLS[protocol]}", columns, rows))
    return result


def few(figures: Figures) -> list[FilledTable]:
    """A few labels minus none."""
    result = []
    for experiment, words in (("few", "the person's own way"), ("few, no shift", "a person like everybody")):
        places = [(arm, sampler) for sampler in FEW_SAMPLERS for arm in (PUBLISHED, DEFAULT_LEARNER, GATED)]
        columns = [
            f"{heading(metric)}, {arm}, {sampler}" for metric in (*_ERRORS, "accuracy") for arm, sampler in places
        ]
        rows = []
        for count in figures.settings.few:
            cells = []
            for metric in (*_ERRORS, "accuracy"):
                for arm, sampler in places:
                    key = Key(experiment, "blocks", arm, sampler, count)
                    change = figures.of(key, metric) - figures.of(key._replace(arm=BASE), metric)
                    cells.append(_change(metric, change))
            rows.append((f"{count} label{'s' if count > 1 else ''}", cells))
        result.append(_table(f"Few labels minus none, {words}, blocks of time", columns, rows))
    return result


def hard_cases(figures: Figures) -> FilledTable:
    """What is learned on bad days, minus the base head."""
    arms = (*(name for name in WAYS if name != LAST_LAYER), GATED)
    columns = [f"{heading(metric)}, {arm}" for metric in (*_ERRORS, "accuracy") for arm in arms]
    rows = []
    for case, (protocol, words) in HARD.items():
        cells = []
        for metric in (*_ERRORS, "accuracy"):
            base = figures.of(Key(case, protocol, BASE), metric)
            cells += [_change(metric, figures.of(Key(case, protocol, arm), metric) - base) for arm in arms]
        rows.append((words, cells))
    return _table("Learning minus the base head", columns, rows)


def _table(
    title: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], note: str = ""
) -> FilledTable:
    groups = [Group(column, False, False) for column in columns]
    filled = [FilledRow(name, "", [Cell("", cell, "") for cell in cells]) for name, cells in rows]
    return FilledTable(title, "", note, groups, filled)


def _mean(metric: str, values: Floats) -> str:
    mean, low, high, _ = over_people(values)
    if math.isnan(low):
        return text(metric, mean)
    return f"{text(metric, mean)} ({text(metric, low)} to {text(metric, high)})"


def _change(metric: str, values: Floats) -> str:
    """A difference with its interval; ✓ better or ✗ worse where the interval excludes 0."""
    mean, low, high, _ = over_people(values)
    if math.isnan(low):
        return difference_text(metric, mean)
    is_better_below = metric in _ERRORS
    mark = "" if low <= 0 <= high else " ✓" if (high < 0) == is_better_below else " ✗"
    numbers = (difference_text(metric, value) for value in (low, high))
    return f"{difference_text(metric, mean)} ({' to '.join(numbers)}){mark}"
