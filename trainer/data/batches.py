"""From crops to batches: which pictures with which labels, in what balance and order.

Order, balance and augmentation follow from seed, epoch and picture alone. Batch b of an epoch is the same set of
pictures however many processes share it, and an epoch can be entered at any batch: so several processes train as one
does, and an interrupted run goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.bundle import CANONICAL_LABELS
from mien.errors import MienError
from trainer.data.augmentation import PRESETS, augment, middle, move_points
from trainer.data.crops import Crops
from trainer.data.face_squares import NO_LANDMARKS
from trainer.data.labels import UNKNOWN, Column
from trainer.data.located import Located, find_located
from trainer.data.sample import Dataset
from trainer.stages.recipe import Balance, Target

_ORDER, _DOWN, _UP = range(3)  # streams of random numbers


@dataclass(frozen=True)
class Examples:
    """Pictures with what is to be learned of them; parts of a data set share the crops.

    Attributes:
        crops: their faces.
        source: name of the data set, for errors.
        labels: names of the classes; empty where none are learned.
        numbers: (N,) of the samples in the data set, ascending.
        classes: int64 (N,), place in `labels`, or `UNKNOWN`.
        valence: float32 (N,), NaN where unknown.
        arousal: float32 (N,), NaN where unknown.
        people: (N,) names, empty where unknown.
        located: where landmarks are; None where they are not what is learned.
        unusable: numbers of the samples that cannot be used, by reason.
    """

    crops: Crops
    source: str
    labels: tuple[str, ...]
    numbers: NDArray[np.intp]
    classes: NDArray[np.int64]
    valence: NDArray[np.float32]
    arousal: NDArray[np.float32]
    people: NDArray[np.str_]
    located: Located | None
    unusable: dict[str, NDArray[np.intp]]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def left_out(self) -> dict[str, int]:
        """How many samples cannot be used, by reason."""
        return {reason: len(numbers) for reason, numbers in self.unusable.items() if len(numbers)}

    @property
    def class_counts(self) -> dict[str, int]:
        """Pictures of each class."""
        counts = np.bincount(self.classes[self.classes != UNKNOWN], minlength=len(self.labels))
        return dict(zip(self.labels, counts.tolist(), strict=True))

    @property
    def names(self) -> list[str]:
        """What the pictures are called, such as their paths."""
        return [self.crops.dataset[number].picture.name for number in self.numbers.tolist()]

    def subset(self, numbers: NDArray[np.intp]) -> Examples:
        """Those of some samples, given by their numbers in the data set; unusable ones are not among them."""
        unusable = {reason: np.intersect1d(some, numbers) for reason, some in self.unusable.items()}
        return replace(self.take(np.flatnonzero(np.isin(self.numbers, numbers))), unusable=unusable)

    def take(self, places: NDArray[np.intp]) -> Examples:
        """Those at some places of the arrays, in that order."""
        return replace(
            self,
            numbers=self.numbers[places],
            classes=self.classes[places],
            valence=self.valence[places],
            arousal=self.arousal[places],
            people=self.people[places],
            located=None if self.located is None else self.located.take(places),
        )


class Batch(NamedTuple):
    """Some examples.

    Attributes:
        images: float32 (B, C, H, W), normalised.
        classes: int64 (B,), -1 where unknown.
        valence: float32 (B,), NaN where unknown.
        arousal: float32 (B,), NaN where unknown.
        numbers: int64 (B,), of the samples in the data set.
        landmarks: float32 (B, 68, 2), x and y across the images as they are, 0 to 1, NaN where unknown; (B, 0, 2) where
            they are not what is learned.
    """

    images: Tensor
    classes: Tensor
    valence: Tensor
    arousal: Tensor
    numbers: Tensor
    landmarks: Tensor


def find_labels(dataset: Dataset, target: Target, classes: Sequence[str] | None = None) -> tuple[str, ...]:
    """Names of the classes that a target has in a data set.

    Args:
        dataset: whose.
        target: what is learned.
        classes: the source's own, which win where expressions are learned.

    Returns:
        Expressions in canonical order, people or categories in ascending order; nothing for valence or arousal alone,
        nor for landmarks.
    """
    if classes is not None and target in ("expression", "affect"):
        return tuple(classes)
    found = dataset.labels.classes(target).used
    return tuple(sorted(found, key=CANONICAL_LABELS.index)) if target in ("expression", "affect") else found


def make_examples(dataset: Dataset, crops: Crops, target: Target, labels: tuple[str, ...]) -> Examples:
    """Put labels to the crops of a data set.

    Pictures without a crop, and those that say nothing of the target, are left out; so are classes that are not among
    the labels, as in the test of a model on data that have one more. For `affect` a class or both numbers are enough.

    Args:
        dataset: whose pictures.
        crops: of the same data set.
        target: what is learned.
        labels: of the model, from `find_labels`.

    Raises:
        MienError: nothing is left.
    """
    kept = crops.kept
    known = dataset.labels.take(kept)
    column = known.classes(target)
    place = {label: number for number, label in enumerate(labels)}
    classes = np.array([*(place.get(name, UNKNOWN) for name in column.names), UNKNOWN], np.int64)[column.places]
    located = find_located(crops, kept) if target == "landmarks" else None
    is_usable = (classes != UNKNOWN) | known.has_numbers(target) if located is None else located.is_known
    unusable = {**crops.unusable}
    for reason, some in _unusable(kept[~is_usable], column.take(np.flatnonzero(~is_usable)), target).items():
        unusable[reason] = np.union1d(unusable.get(reason, some), some)
    if not is_usable.any():
        reasons = ", ".join(f"{len(some)} × {reason}" for reason, some in unusable.items() if len(some))
        raise MienError(
            f"{dataset.name} has no picture from which to learn or test {target} ({reasons})",
            "Name another source or target in the recipe",
        )
    everything = Examples(
        crops,
        dataset.name,
        labels,
        kept,
        classes,
        known.valence,
        known.arousal,
        known.person.texts(),
        located,
        unusable,
    )
    return everything.take(np.flatnonzero(is_usable))


class Batches:
    """Batches of examples, this process's share.

    Training: shuffled anew in each epoch, balanced, augmented. The last batch may be smaller; one with fewer than two
    pictures for each process, from which batch normalisation could learn nothing, is left out of that epoch. Otherwise:
    every picture once, in the order of the data set, as the robot sees it.

    Args:
        examples: what is shown.
        batch_size: pictures in a batch, over all processes.
        augmentation: name of a preset.
        balance: of the classes.
        seed: of order, balance and augmentation.
        rank: of this process, which takes every `world_size`th picture of a batch.
        world_size: number of processes.
        is_training: see above.
        device: where the images are made.

    Attributes:
        class_weights: float32 (C,) for `weighted`: the inverse of each class's share, 1 in the mean over pictures; else
            None.
        pictures: in one epoch, over all processes, repeated ones counted.

    Raises:
        MienError: a class has no picture, there are too few pictures for the processes, or classes are to be balanced
            where none are learned.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        augmentation: str = "none",
        balance: Balance = Balance(),  # noqa: B008  # immutable
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        is_training: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        self._examples, self._batch_size, self._seed = examples, batch_size, seed
        self._preset, self._is_training, self._device = PRESETS[augmentation], is_training, device
        self._rank, self._world_size = rank, world_size
        self._places = np.arange(len(examples))
        self.class_weights: Tensor | None = None
        if is_training:
            _check_classes(examples, balance)
            self._places = _balanced(examples.classes, balance, seed)
            if balance.kind == "weighted":
                self.class_weights = _inverse_frequencies(examples)
        # How often each picture has come before: its copies are augmented differently.
        self._repetitions = _repetitions(self._places)
        count = len(self._places)
        full, rest = divmod(count, batch_size)
        is_rest_used = rest >= 2 * world_size if is_training else rest > 0
        self._batches = full + is_rest_used
        self.pictures = count if is_rest_used else full * batch_size
        if self._batches == 0 or (is_training and batch_size < 2 * world_size):
            raise MienError(
                f"{examples.source}: {count} pictures, {batch_size} a batch, are too few for {world_size} processes",
                "Each process needs two in a batch: use more pictures, larger batches or fewer processes",
            )

    def __len__(self) -> int:
        return self._batches

    @property
    def class_counts(self) -> dict[str, int]:
        """Pictures of each class in one epoch, repeated ones counted."""
        return self._examples.take(self._places).class_counts

    def epoch(self, number: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from one of them on.

        Args:
            number: of the epoch.
            first_batch: how many to leave out.
        """
        order = np.arange(len(self._places))
        if self._is_training:
            order = np.random.default_rng([self._seed, _ORDER, number]).permutation(len(order))
        shares = (
            order[batch * self._batch_size : (batch + 1) * self._batch_size][self._rank :: self._world_size]
            for batch in range(first_batch, self._batches)
        )
        if self._examples.crops.stored is not None:  # 3 % of the time of the smallest network: nothing to be won
            yield from (self._make(number, share) for share in shares)
            return
        with ThreadPoolExecutor(1) as ahead:  # the next batch is decoded while the network works on this one
            coming: Future[Batch] | None = None
            for share in shares:
                ready, coming = coming, ahead.submit(self._make, number, share)
                if ready is not None:
                    yield ready.result()
            if coming is not None:
                yield coming.result()

    def _make(self, epoch: int, entries: NDArray[np.intp]) -> Batch:
        examples, places = self._examples, self._places[entries]
        numbers, spec = examples.numbers[places], self._examples.crops.spec
        stored = torch.from_numpy(np.ascontiguousarray(examples.crops.pixels(numbers))).to(self._device)
        points = (
            np.empty((len(places), 0, 2), np.float32) if examples.located is None else examples.located.points[places]
        )
        if self._is_training:
            draws = self._seed, epoch, numbers, self._repetitions[entries]
            images = augment(stored, spec, self._preset, *draws)
            points = move_points(points, (stored.shape[1], stored.shape[2]), spec, self._preset, *draws)
        else:
            images = middle(stored, spec)
        return Batch(
            images,
            torch.from_numpy(examples.classes[places]).to(self._device),
            torch.from_numpy(examples.valence[places]).to(self._device),
            torch.from_numpy(examples.arousal[places]).to(self._device),
            torch.from_numpy(numbers.astype(np.int64)).to(self._device),
            torch.from_numpy(points).to(self._device),
        )


def _unusable(numbers: NDArray[np.intp], classes: Column, target: Target) -> dict[str, NDArray[np.intp]]:
    """Samples that cannot be used, by reason."""
    if target == "landmarks":
        return {NO_LANDMARKS.reason: numbers}
    kind = "expression" if target == "affect" else target
    places = classes.places
    unusable = {f"no {kind}": numbers[places == UNKNOWN]}
    if kind == "expression":
        others = np.unique(places[places != UNKNOWN]).tolist()
        return unusable | {f"expression {classes.names[one]} not learned": numbers[places == one] for one in others}
    return unusable | {f"{kind} not learned": numbers[places != UNKNOWN]}


def _check_classes(examples: Examples, balance: Balance) -> None:
    if not examples.labels and balance.kind != "none":
        raise MienError(
            f"{examples.source}: balance {balance.kind!r} needs classes, and none are learned", "Set balance: none"
        )
    empty = [label for label, count in examples.class_counts.items() if count == 0]
    if empty:
        raise MienError(
            f"{examples.source}: the training part has no picture of {', '.join(empty[:5])}",
            "Leave the class out (classes, in the recipe's source), or give it pictures",
        )


def _inverse_frequencies(examples: Examples) -> Tensor:
    counts = np.array(list(examples.class_counts.values()))
    return torch.from_numpy((counts.sum() / (len(counts) * counts)).astype(np.float32))


def _balanced(classes: NDArray[np.int64], balance: Balance, seed: int) -> NDArray[np.intp]:
    """Places of the pictures of an epoch, ascending, some repeated; those without a class stay as they are."""
    if balance.kind in ("none", "weighted"):
        return np.arange(len(classes))
    of_class = [np.flatnonzero(classes == one) for one in np.unique(classes[classes != UNKNOWN])]
    sizes = [len(places) for places in of_class]
    chosen = [np.flatnonzero(classes == UNKNOWN)]
    for number, places in enumerate(of_class):
        random = np.random.default_rng([seed, _DOWN if balance.kind == "down" else _UP, number])
        if balance.kind == "down":
            chosen.append(random.permutation(places)[: balance.limit or min(sizes)])
        else:
            times, rest = divmod(max(sizes), len(places))
            chosen += [np.tile(places, times), random.permutation(places)[:rest]]
    return np.sort(np.concatenate(chosen))


def _repetitions(places: NDArray[np.intp]) -> NDArray[np.intp]:
    """How often the same place stands before each one, in ascending places."""
    _, first, count = np.unique(places, return_index=True, return_counts=True)
    return np.arange(len(places)) - np.repeat(first, count)
