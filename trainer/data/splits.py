"""Training, validation and test part of a data set, as papers divide it and as one should."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from trainer.data.labels import UNKNOWN, Column
from trainer.data.sample import Dataset
from trainer.stages.recipe import Split, Target

_DRAW = 1  # stream of random numbers
_ENOUGH = 8
"""Pictures of a person or thing, to learn it from few."""

Numbers = NDArray[np.intp]


class Parts(NamedTuple):
    """Numbers of samples, ascending; the validation part may be empty."""

    train: Numbers
    validation: Numbers
    test: Numbers


def divide(dataset: Dataset, split: Split, seed: int) -> list[Parts]:
    """Divide a data set; one result for each fold, a single one without folds.

    - `official`: what the data set calls train, validation and test. Where only the validation part is given out, as in
      AffectNet and SFEW, it is the test part. Where a validation part is missing then, `validation` of the training
      part is taken for it, by person where all are named.
    - `holdout`: `test` of the pictures or people at random, then `validation` of the rest (paper 000: 10 % and 20 %;
      paper 002: 40 %).
    - `per_class`: exact numbers for test and validation from each class at random, then at most `train_per_class`;
      small classes give what is left (paper 000, Table I).
    - `folds`: the people, in ascending order, are dealt out one by one (paper 004, II); or the pictures, at random
      (paper 003).
    - `everything`: all samples are in the training and in the test part.

    Pictures at random means stratified by class (expression, else category): each part's share of each class is exact
    to one picture. The same seed gives the same parts.

    Args:
        dataset: samples; its pictures are not read.
        split: how to divide it.
        seed: of what is drawn at random.

    Raises:
        MienError: the data set has no such parts, names no people or classes where they are needed, has too few people
            or pictures for the folds or of a class, or a part would be empty.
    """
    if split.by_person and split.kind in ("per_class", "everything"):
        raise MienError(
            f"{dataset.name}: the split {split.kind} cannot keep people apart", "Leave by_person out, or use holdout"
        )
    known = _look_through(dataset)
    kinds: dict[str, Callable[[_Known, Split, np.random.Generator], list[Parts]]] = {
        "official": _official,
        "holdout": _holdout,
        "per_class": _per_class,
        "folds": _folds,
        "everything": _everything,
    }
    divided = kinds[split.kind](known, split, np.random.default_rng(seed))
    for parts in divided:
        for name, numbers in parts._asdict().items():
            is_wanted = name != "validation" or (split.validation > 0 and split.kind != "everything")
            if is_wanted and len(numbers) == 0:
                raise MienError(
                    f"{dataset.name}: the {name} part is empty ({in_words(split)}, {known.amount(split)})",
                    "Give it a larger share, or use more data",
                )
    return divided


def draw(dataset: Dataset, numbers: Numbers, target: Target, samples: int, seed: int) -> Numbers:
    """Choose a few samples to learn from, by their labels alone, before any face is searched.

    Expressions: as evenly from the classes as they have pictures. Identities and categories, of which there may be more
    than `samples`: first as many people or things as can give `_ENOUGH` pictures each, at random among those that have
    as many, followed by those that have fewer if need be; then as evenly from these.

    Args:
        dataset: whose samples; its pictures are not read.
        numbers: of the samples to choose from.
        target: what is learned; samples that say nothing of it are not drawn.
        samples: at most so many; 0 = all that are given.
        seed: the same seed gives the same samples.

    Returns:
        Their numbers, ascending.
    """
    if samples == 0:
        return numbers
    labels, random = dataset.labels.take(numbers), np.random.default_rng([seed, _DRAW])
    classes = labels.classes(target).places
    places = np.flatnonzero((classes != UNKNOWN) | labels.has_numbers(target))
    if target in ("identity", "category") and len(places) > samples:
        places = places[np.isin(classes[places], _draw_classes(classes[places], samples, random))]
    drawn = random.permutation(places)
    drawn = drawn[np.argsort(classes[drawn], kind="stable")]
    _, first, counts = np.unique(classes[drawn], return_index=True, return_counts=True)
    turns = np.arange(len(drawn)) - np.repeat(first, counts)
    # The first of each class, then the second of each, and so on, until there are enough.
    return np.sort(numbers[drawn[np.argsort(turns, kind="stable")[:samples]]])


def _draw_classes(classes: NDArray[np.int64], samples: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Classes, two or more where there are, of which `samples` pictures can be drawn."""
    names, counts = np.unique(classes, return_counts=True)
    enough = np.minimum(counts, _ENOUGH)
    order = random.permutation(len(names))
    order = order[np.argsort(-enough[order], kind="stable")]
    count = np.searchsorted(np.cumsum(enough[order]), samples) + 1
    return names[order[: max(2, count)]]


def in_words(split: Split) -> str:
    """How a source is divided, for tables: "10 folds by person, 20 % of the training part for validation"."""
    whom = "people" if split.by_person else "pictures"
    if split.kind == "per_class":
        return (
            f"{split.test_per_class} pictures of each class for the test, {split.validation_per_class} for validation, "
            f"at most {split.train_per_class} for training"
        )
    text = {
        "official": "as the data set says",
        "holdout": f"{_percent(split.test)} of the {whom} for the test",
        "folds": f"{split.folds} folds by {'person' if split.by_person else 'picture'}",
        "everything": "all for training, or all for the test",
    }[split.kind]
    if split.kind == "folds" and split.folds == 0:
        text = "one fold for each person"
    if split.validation == 0 or split.kind == "everything":
        return text
    unless = " unless it has its own" if split.kind == "official" else ""
    return f"{text}, {_percent(split.validation)} of the training part for validation{unless}"


def _percent(share: float) -> str:
    return f"{share * 100:g} %"


class _Known(NamedTuple):
    """What dividing needs to know of N samples."""

    dataset: Dataset
    parts: NDArray[np.str_]
    people: NDArray[np.int64]
    classes: Column

    @property
    def name(self) -> str:
        return self.dataset.name

    def amount(self, split: Split) -> str:
        return f"{len(np.unique(self.people))} people" if split.by_person else f"{len(self.people)} pictures"


def _look_through(dataset: Dataset) -> _Known:
    labels = dataset.labels
    first, second = labels.expression, labels.category
    others = np.where(second.places == UNKNOWN, UNKNOWN, second.places + len(first.names))
    classes = np.where(first.places == UNKNOWN, others, first.places)
    return _Known(dataset, labels.split.texts(), labels.person.places, Column((*first.names, *second.names), classes))


def _official(known: _Known, split: Split, random: np.random.Generator) -> list[Parts]:
    train, validation, test = (np.flatnonzero(known.parts == name) for name in Parts._fields)
    if len(test) == 0:
        validation, test = test, validation
    if len(train) == 0 or len(test) == 0:
        raise MienError(
            f"{known.name} has no training and test part of its own, but only: {', '.join(np.unique(known.parts))}",
            "Divide it by holdout or folds",
        )
    if len(validation) == 0:
        keys, order = _units(known, train, bool((known.people[train] != UNKNOWN).all()), random)
        chosen = np.isin(keys[train], _take(order, split.validation)[1])
        train, validation = train[~chosen], train[chosen]
    return [Parts(train, validation, test)]


def _holdout(known: _Known, split: Split, random: np.random.Generator) -> list[Parts]:
    keys, order = _units(known, np.arange(len(known.parts)), split.by_person, random)
    rest, test = _take(order, split.test)
    return [_parts(keys, *_take(rest, split.validation), test)]


def _folds(known: _Known, split: Split, random: np.random.Generator) -> list[Parts]:
    keys, order = _units(known, np.arange(len(known.parts)), split.by_person, random)
    order = np.sort(order) if split.by_person else order
    folds = split.folds or len(order)
    if not 2 <= folds <= len(order) or (split.folds == 0 and not split.by_person):
        whom = "people" if split.by_person else "pictures"
        raise MienError(
            f"{known.name} has {len(order)} {whom}, which cannot make {split.folds} folds",
            f"Ask for 2 to {len(order)} folds, or for 0 by person, one for each",
        )
    divided = []
    for fold in range(folds):
        is_test = np.arange(len(order)) % folds == fold
        rest = random.permutation(order[~is_test]) if split.by_person else order[~is_test]
        divided.append(_parts(keys, *_take(rest, split.validation), order[is_test]))
    return divided


def _per_class(known: _Known, split: Split, random: np.random.Generator) -> list[Parts]:
    parts: list[list[Numbers]] = []
    places = known.classes.places
    for place in np.unique(places[places != UNKNOWN]).tolist():
        drawn = random.permutation(np.flatnonzero(places == place))
        ends = np.cumsum([split.test_per_class, split.validation_per_class, split.train_per_class])
        if len(drawn) <= ends[1]:
            name = known.classes.names[place]
            raise MienError(
                f"{known.name} has {len(drawn)} pictures of {name}: with {split.test_per_class} for the test and "
                f"{split.validation_per_class} for validation none is left for training",
                "Take fewer per class, or leave the class out",
            )
        test, validation, train, _ = np.split(drawn, ends)
        parts.append([train, validation, test])
    if not parts:
        raise MienError(f"{known.name} names no classes", "Divide it by holdout or folds")
    return [Parts(*(np.sort(np.concatenate(numbers)) for numbers in zip(*parts, strict=True)))]


def _everything(known: _Known, _split: Split, _random: np.random.Generator) -> list[Parts]:
    numbers = np.arange(len(known.parts))
    return [Parts(numbers, numbers[:0], numbers)]


def _units(known: _Known, numbers: Numbers, by_person: bool, random: np.random.Generator) -> tuple[Numbers, Numbers]:
    """What is dealt out: each sample's key (its person, or its own number), and the keys of `numbers` in random order.

    Pictures are sorted by class, so that dealing them out evenly gives each part its share of each class.
    """
    if not by_person:
        drawn = random.permutation(numbers)
        return np.arange(len(known.parts)), drawn[np.argsort(known.classes.places[drawn], kind="stable")]
    unnamed = numbers[known.people[numbers] == UNKNOWN]
    if len(unnamed):
        raise MienError(
            f"{known.dataset[int(unnamed[0])].picture.name}: {known.name} does not say who this is",
            "Divide by person only what names its people",
        )
    return known.people, random.permutation(np.unique(known.people[numbers]))


def _take(order: Numbers, share: float) -> tuple[Numbers, Numbers]:
    """The rest, and a share taken evenly from the order."""
    steps = np.floor(np.arange(len(order) + 1) * share + 0.5)
    is_taken = np.diff(steps) > 0
    return order[~is_taken], order[is_taken]


def _parts(keys: Numbers, *chosen: Numbers) -> Parts:
    return Parts(*(np.flatnonzero(np.isin(keys, some)) for some in chosen))
