"""Who is tested on what: folds, and labels as people give them on bad days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from mien.personal.samples import Samples

Protocol = Literal["frames", "blocks"]
"""How a person's moments are divided: at random, as in paper 002, which puts pictures four seconds apart on both sides;
or in blocks of contiguous time."""
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
Rows = NDArray[np.intp]


class Fold(NamedTuple):
    """Rows of the moments to learn from and to test on, both ascending in time."""

    train: Rows
    test: Rows


def divide(protocol: Protocol, count: int, folds: int, seed: int) -> list[Fold]:
    """Divide so many moments; each is in the test part of one fold.

    Args:
        protocol: how.
        count: of moments.
        folds: how many; at most as many as moments.
        seed: of the random order.
    """
    order = np.random.default_rng(seed).permutation(count) if protocol == "frames" else np.arange(count)
    parts = np.array_split(order, folds)
    everything = np.arange(count)
    return [Fold(np.setdiff1d(everything, part), np.sort(part)) for part in parts]


def later(count: int, share: float = 0.25) -> Fold:
    """Learn from the first part of the time and test on the last `share` of it."""
    begin = count - round(count * share)
    return Fold(np.arange(begin), np.arange(begin, count))


def drifting(by_shift: Mapping[float, Samples], shifts: Sequence[float]) -> Samples:
    """A person whose shift changes over time, in equal steps.

    Args:
        by_shift: the same moments of one person with each shift.
        shifts: from the beginning to the end.
    """
    parts = np.array_split(np.arange(len(by_shift[shifts[0]])), len(shifts))
    taken = [by_shift[shift].take(rows) for shift, rows in zip(shifts, parts, strict=True)]
    columns = ("embeddings", "stamps_s", "classes", "valence", "arousal", "weights")
    return Samples(*(np.concatenate([getattr(one, name) for one in taken]) for name in columns))


def mislabel(samples: Samples, share: float, random: np.random.Generator) -> Samples:
    """Give a share of the moments wrong labels: another class, and the valence and arousal of another moment.

    Args:
        samples: whose labels; they stay as they are.
        share: of the moments, 0 to 1.
        random: drawn from.
    """
    count = len(samples)
    wrong = random.choice(count, round(count * share), replace=False)
    classes, valence, arousal = samples.classes.copy(), samples.valence.copy(), samples.arousal.copy()
    others = (wrong + random.integers(1, max(count, 2), len(wrong))) % count
    valence[wrong], arousal[wrong] = samples.valence[others], samples.arousal[others]
    if number := classes.shape[1]:
        by = random.integers(1, max(number, 2), len(wrong))
        for row, places in zip(wrong, by, strict=True):
            classes[row] = np.roll(classes[row], places)
    return replace(samples, classes=classes, valence=valence, arousal=arousal)


def by_class(samples: Samples) -> list[Rows]:
    """Rows of each class that occurs, in the order of the classes; of moments without classes, from low valence up."""
    if samples.classes.shape[1] and not np.isnan(samples.classes).any():
        classes = samples.classes.argmax(axis=1)
        return [np.flatnonzero(classes == one) for one in np.unique(classes)]
    return np.array_split(np.argsort(samples.valence, kind="stable"), min(8, len(samples)))
