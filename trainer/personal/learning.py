"""What one person's labels bring to a general model's head: all that is measured without training a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mien.personal.gate import decide
from mien.personal.learners import DEFAULT_LEARNER, LEARNERS, Learner
from mien.personal.learners.sgd import Sgd
from mien.personal.samples import BaseHead, Samples, Tensors
from mien.personal.sampling import SAMPLERS, Rows, choose, dropout_uncertainty
from trainer.personal.measured import Key, Measured, Told, figures, pooled, tell
from trainer.personal.people import OWN_SHIFT
from trainer.personal.protocol import PROTOCOLS, Fold, Protocol, by_class, divide, drifting, later, mislabel
from trainer.personal.settings import Settings

BASE = "base"
PUBLISHED = "sgd"
"""The way of paper 002: all dense layers, by gradients."""
GATED = f"{DEFAULT_LEARNER}, with gate"
"""What a robot does unless told otherwise."""
LAST_LAYER = f"{PUBLISHED}, last layer"
WAYS: Mapping[str, Learner] = {
    PUBLISHED: LEARNERS[PUBLISHED],
    LAST_LAYER: Sgd(last_layer_only=True),
    **{name: learner for name, learner in LEARNERS.items() if name != PUBLISHED},
}
"""By name; all with the robot's own settings."""
CURVES: Mapping[str, tuple[Protocol, ...]] = {PUBLISHED: ("frames",), DEFAULT_LEARNER: PROTOCOLS}
"""Ways whose curves are drawn, and for which division; by gradients as published only, which takes time."""
FEW_SAMPLERS = ("random", "gsx")
WRONG_SHARE = 0.1

Fit = Callable[[Samples, int], Tensors]
"""Makes a head of the training part of a fold, whose number is given."""


@dataclass(frozen=True)
class Subject:
    """One person with one general model.

    Attributes:
        base: the general model's head.
        by_shift: the person's moments; of a real person with `OWN_SHIFT` only.
        settings: of the study.
        seed: of the repetition.
        number: of the person.
    """

    base: BaseHead
    by_shift: Mapping[float, Samples]
    settings: Settings
    seed: int
    number: int

    @property
    def own(self) -> Samples:
        """The person as it is."""
        return self.by_shift[OWN_SHIFT]

    def random(self, *place: int) -> np.random.Generator:
        """Random numbers for one purpose."""
        return np.random.default_rng([self.seed, self.number, *place])

    def folds(self, protocol: str, samples: Samples) -> list[Fold]:
        """How moments are divided."""
        if protocol == "later":
            return [later(len(samples))]
        found = next(one for one in PROTOCOLS if one == protocol)
        return divide(found, len(samples), self.settings.folds, self.seed)

    def measure(self, key: Key, samples: Samples, fit: Fit) -> Measured:
        """Learn on each fold's training part, and pool what the heads say of the test parts."""
        told: list[Told] = []
        rows, seconds = [], []
        for number, fold in enumerate(self.folds(key.protocol, samples)):
            learned = samples.take(fold.train)
            begin = time.perf_counter()
            tensors = fit(learned, number)
            seconds.append(time.perf_counter() - begin)
            told.append(tell(self.base, tensors, samples.embeddings[fold.test]))
            rows.append(fold.test)
        found = figures(samples.take(np.concatenate(rows)), pooled(told))
        return Measured(key, {**found, "seconds": float(np.mean(seconds))})

    def ways(self) -> dict[str, Fit]:
        """All ways of learning, and the base head, which learns nothing."""

        def learn(learner: Learner) -> Fit:
            return lambda samples, _fold: fit(learner, self.base, samples)

        return {
            BASE: lambda _samples, _fold: self.base.tensors,
            **{n: learn(w) for n, w in WAYS.items()},
            GATED: self.gated,
        }

    def gated(self, samples: Samples, _fold: int = 0) -> Tensors:
        """What the robot has after labels: the default learner's head where the gate lets it pass."""
        learner = LEARNERS[DEFAULT_LEARNER]
        is_taken = decide(learner, self.base, samples).accepted
        return fit(learner, self.base, samples) if is_taken else self.base.tensors


def fit(learner: Learner, base: BaseHead, samples: Samples, start: Tensors | None = None) -> Tensors:
    """The head that a learner makes of moments, with its own number of steps."""
    return learner.fit(base, samples, start, 0, lambda *_: None)


def experiments(subject: Subject) -> Iterator[Measured]:
    """All that is measured of one person, curves last."""
    yield from _all_labels(subject)
    yield from _shifts(subject)
    yield from _few(subject)
    yield from _hard_cases(subject)
    yield from _curves(subject)


def _all_labels(subject: Subject) -> Iterator[Measured]:
    for protocol in PROTOCOLS:
        for name, way in subject.ways().items():
            yield subject.measure(Key("transfer", protocol, name), subject.own, way)


def _usual(subject: Subject) -> dict[str, Fit]:
    """All ways but the one of the last layer, which is compared with all labels only."""
    return {name: way for name, way in subject.ways().items() if name != LAST_LAYER}


def _shifts(subject: Subject) -> Iterator[Measured]:
    for shift, samples in subject.by_shift.items():
        for name, way in _usual(subject).items():
            yield subject.measure(Key("shift", "blocks", name, amount=shift), samples, way)


def _few(subject: Subject) -> Iterator[Measured]:
    for experiment, shift in (("few", OWN_SHIFT), ("few, no shift", 0.0)):
        if shift not in subject.by_shift:
            continue
        samples = subject.by_shift[shift]
        for sampler in FEW_SAMPLERS:
            orders = _orders(subject, sampler, "blocks", samples, max(subject.settings.few))
            for count in subject.settings.few:
                for name, way in _usual(subject).items():
                    key = Key(experiment, "blocks", name, sampler, count)
                    yield subject.measure(key, samples, _chosen(orders, lambda _of: count, way))  # noqa: B023


def _curves(subject: Subject) -> Iterator[Measured]:
    for protocol in PROTOCOLS:
        ways = [name for name, protocols in CURVES.items() if protocol in protocols]
        for sampler in SAMPLERS:
            orders = _orders(subject, sampler, protocol, subject.own, 0)
            for share in subject.settings.shares:
                for name in ways:
                    way = _chosen(orders, lambda of: max(1, round(share * of)), subject.ways()[name])  # noqa: B023
                    yield subject.measure(Key("curve", protocol, name, sampler, share), subject.own, way)


def _hard_cases(subject: Subject) -> Iterator[Measured]:
    own = subject.own
    for name, way in _usual(subject).items():
        yield subject.measure(Key("class order", "blocks", name), own, _in_class_order(subject, name, way))
        yield subject.measure(Key("first classes", "blocks", name), own, _of_first_classes(way))
        yield subject.measure(Key("wrong labels", "blocks", name), own, _misled(subject, way))
        yield subject.measure(Key("later", "later", name), own, way)
        if len(subject.by_shift) > 1:
            shifts = sorted(subject.by_shift)
            for case, order in (("drift away", shifts), ("drift back", shifts[::-1])):
                yield subject.measure(Key(case, "later", name), drifting(subject.by_shift, order), way)


def _in_class_order(subject: Subject, name: str, way: Fit) -> Fit:
    """Labels come class after class; the head is learned anew, or further, after each class."""

    def learn(samples: Samples, fold: int) -> Tensors:
        tensors: Tensors | None = None
        order = by_class(samples)
        for done in range(1, len(order) + 1):
            rows = np.concatenate(order[:done])
            so_far = replace(samples.take(rows), stamps_s=samples.stamps_s[: len(rows)])
            learner = WAYS.get(name)
            is_resumed = learner is not None and learner.resumes
            tensors = fit(learner, subject.base, so_far, tensors) if is_resumed and learner else way(so_far, fold)
        return subject.base.tensors if tensors is None else tensors

    return learn


def _of_first_classes(way: Fit) -> Fit:
    """Half of the classes are labelled, the others not at all."""

    def learn(samples: Samples, fold: int) -> Tensors:
        order = by_class(samples)
        return way(samples.take(np.sort(np.concatenate(order[: max(1, len(order) // 2)]))), fold)

    return learn


def _misled(subject: Subject, way: Fit) -> Fit:
    return lambda samples, fold: way(mislabel(samples, WRONG_SHARE, subject.random(1, fold)), fold)


def _orders(subject: Subject, sampler: str, protocol: str, samples: Samples, most: int) -> list[Rows]:
    """For each fold, rows of its training part in the order of choosing; all samplers go on with what they have."""
    orders = []
    for number, fold in enumerate(subject.folds(protocol, samples)):
        pool, random = samples.embeddings[fold.train], subject.random(2, number)
        told = tell(subject.base, subject.base.tensors, pool)
        uncertainty = dropout_uncertainty(subject.base, pool, random) if sampler == "mcdue" else None
        predictions = np.stack([told.valence, told.arousal], axis=1)  # as published: of the regression
        orders.append(choose(sampler, pool, predictions, most or len(pool), random, uncertainty))  # type: ignore[arg-type]
    return orders


def _chosen(orders: list[Rows], count: Callable[[int], int], way: Fit) -> Fit:
    """Learn from the first chosen moments only, in the order of time."""

    def learn(samples: Samples, fold: int) -> Tensors:
        return way(samples.take(np.sort(orders[fold][: count(len(samples))])), fold)

    return learn
