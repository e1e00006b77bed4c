"""All measurements together: means over seeds for each person, and intervals over people.

The unit is the person: seeds of one person are alike, so drawn singly they would give intervals that are too narrow.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from trainer.evaluate.intervals import LEAST_SEEDS, student_interval
from trainer.personal.measured import Key, Measured
from trainer.personal.settings import Settings

Floats = NDArray[np.float64]
ELBOW = 0.1
"""The elbow is the smallest share of labels that leaves at most so much of the gain of all labels to be had."""


class Entry(msgspec.Struct, frozen=True):
    """Figures of one key by name, each person's mean over seeds in the order of the people; NaN (null) where absent."""

    key: Key
    figures: dict[str, list[float | None]]


class StudyResult(msgspec.Struct, frozen=True, kw_only=True):
    """A whole study.

    Attributes:
        size: smoke or study.
        data: "rendered", or the root's name.
        general: the general model in words.
        command: that repeats it.
        machine: processor, cores and load at the start.
        versions: of Python, torch and mien.
        settings: of the study.
        learners: settings of the ways of learning, by name.
        people: whose jobs are finished, at least in part.
        seeds: repetitions that are finished, at least in part.
        entries: all figures.
    """

    format: str = "mien-personal-result"
    version: int = 1
    size: str
    data: str
    general: str
    command: str
    machine: str
    versions: dict[str, str]
    settings: Settings
    learners: dict[str, dict[str, float]]
    people: tuple[str, ...]
    seeds: int
    entries: list[Entry]


class Interval(NamedTuple):
    """Mean over people with its 95 % interval, NaN for fewer than three; and how many people."""

    mean: float
    low: float
    high: float
    people: int


class Figures:
    """The figures of a result, by key and name.

    Attributes:
        settings: of the study.
        people: by name.
        keys: of all that was measured.
    """

    def __init__(self, result: StudyResult) -> None:
        self.settings, self.people = result.settings, result.people
        self._entries = {entry.key: entry.figures for entry in result.entries}
        self.keys = tuple(self._entries)

    def of(self, key: Key, name: str) -> Floats:
        """Each person's mean over seeds, float64 (people,); NaN where it was not measured."""
        found = self._entries.get(key, {}).get(name)
        return np.full(len(self.people), np.nan) if found is None else np.array(found, np.float64)

    def mean(self, key: Key, name: str) -> float:
        """Mean over people; NaN where it was not measured."""
        return over_people(self.of(key, name)).mean

    def elbow(self, protocol: str, arm: str, sampler: str, name: str) -> float:
        """The smallest share at which at most `ELBOW` of the gain of all labels is still to be had; NaN without one."""
        none, everything = (self.mean(Key("transfer", protocol, one), name) for one in ("base", arm))
        for share in self.settings.shares:
            if self.mean(Key("curve", protocol, arm, sampler, share), name) <= everything + ELBOW * (none - everything):
                return share
        return math.nan


def over_people(values: Floats) -> Interval:
    """Mean and Student's 95 % interval over the people of whom there is a value."""
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    low, high = student_interval(known) if len(known) >= LEAST_SEEDS else (math.nan, math.nan)
    return Interval(float(known.mean()), low, high, len(known))


def gather(
    found: Mapping[tuple[str, int, str], Sequence[Measured]],
    settings: Settings,
    *,
    learners: dict[str, dict[str, float]],
    size: str,
    data: str,
    general: str,
    command: str,
    machine: str,
    versions: dict[str, str],
) -> StudyResult:
    """Put together what jobs measured.

    Args:
        found: by person, seed and kind of job.
        settings: of the study.
        learners: settings of the ways of learning, by name.
        size: of the study.
        data: name of the data.
        general: the general model in words.
        command: that repeats it.
        machine: that it ran on.
        versions: of what it ran with.
    """
    people = tuple(dict.fromkeys(person for person, _, _ in found))
    values: dict[Key, dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for (person, _, _), rows in found.items():
        for row in rows:
            for name, value in row.figures.items():
                values[row.key][name][person].append(value)
    entries = [
        Entry(
            key,
            {
                name: [float(np.mean(of_person[person])) if person in of_person else None for person in people]
                for name, of_person in by_name.items()
            },
        )
        for key, by_name in values.items()
    ]
    return StudyResult(
        size=size,
        data=data,
        general=general,
        command=command,
        machine=machine,
        versions=versions,
        settings=settings,
        learners=learners,
        people=people,
        seeds=len({seed for _, seed, _ in found}),
        entries=entries,
    )
