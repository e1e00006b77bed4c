"""Splits that never put a person on both sides."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from trainer.data.checks import check_people
from trainer.data.sample import Dataset, Subset

Numbers = NDArray[np.intp]


def split_by_person(dataset: Dataset, fractions: dict[str, float], seed: int) -> dict[str, Subset]:
    """Share the people out among named splits at random.

    Args:
        dataset: all of its samples must name a person.
        fractions: share of the people of each split; they sum to 1.
        seed: the same seed gives the same splits.

    Raises:
        MienError: a sample names no person, or a split would be empty.
    """
    if abs(sum(fractions.values()) - 1) > 1e-6:
        raise MienError(f"The fractions of the splits sum to {sum(fractions.values()):g}", "They must sum to 1")
    of_person = _samples_of_people(dataset)
    people = np.array(sorted(of_person))
    np.random.default_rng(seed).shuffle(people)
    ends = np.round(np.cumsum(list(fractions.values())) * len(people)).astype(int)
    groups = np.split(people, ends[:-1])
    for name, group in zip(fractions, groups, strict=True):
        if len(group) == 0:
            raise MienError(
                f"{dataset.name}: the split {name} is empty, there are only {len(people)} people",
                "Use larger fractions or more people",
            )
    return {name: Subset(dataset, _numbers(of_person, group)) for name, group in zip(fractions, groups, strict=True)}


def folds_by_person(dataset: Dataset, folds: int) -> list[tuple[Subset, Subset]]:
    """Training and test part of each fold; the people, in ascending order, are dealt out one by one (paper 004, II).

    As many folds as there are people leave one person out each time.

    Raises:
        MienError: a sample names no person, or there are fewer people than folds.
    """
    of_person = _samples_of_people(dataset)
    people = sorted(of_person)
    if not 2 <= folds <= len(people):
        raise MienError(
            f"{dataset.name} has {len(people)} people, which cannot make {folds} folds",
            f"Ask for 2 to {len(people)} folds",
        )
    parts = []
    for fold in range(folds):
        test = people[fold::folds]
        train = [person for number, person in enumerate(people) if number % folds != fold]
        parts.append((Subset(dataset, _numbers(of_person, train)), Subset(dataset, _numbers(of_person, test))))
    return parts


def check_disjoint(**parts: Dataset) -> None:
    """Check that nobody is in two of the named parts.

    Raises:
        MienError: somebody is; the person and the parts are named. Or a part is empty.
    """
    splits: dict[str, set[str]] = defaultdict(set)
    for name, part in parts.items():
        if len(part) == 0:
            raise MienError(f"{part.name}: the split {name} is empty", "Give it at least one sample")
        for sample in part:
            if sample.person is not None:
                splits[f"{part.name} {sample.person}"].add(name)
    check_people(" and ".join(sorted({part.name for part in parts.values()})), splits)


def _samples_of_people(dataset: Dataset) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, sample in enumerate(dataset):
        if sample.person is None:
            raise MienError(
                f"{sample.picture.name}: {dataset.name} does not say who this is",
                "Split by person only what names its people",
            )
        numbers[sample.person].append(number)
    return numbers


def _numbers(of_person: dict[str, list[int]], people: list[str] | NDArray[np.str_]) -> Numbers:
    return np.sort(np.array([number for person in people for number in of_person[str(person)]], np.intp))
