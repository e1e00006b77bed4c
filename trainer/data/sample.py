"""What every data set gives: samples whose picture is read when it is needed, and counts of what there is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from mien.faces.detector import Box
from trainer.data.labels import Labels
from trainer.data.pictures import Picture

LANDMARKS = 68
SPLITS = ("train", "validation", "test", "all")
_TELL_EVERY = 1000

Tell = Callable[[int, int], None]
"""Told how many of something are done, of how many."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture with what is known of it; what is unknown is None, never a default.

    Attributes:
        picture: where the picture is; `picture.read()` gives its pixels.
        split: "train", "validation", "test", or "all" where the data set has no split of its own.
        person: the same for the same person, unique within the data set.
        expression: a canonical label (mien.bundle.CANONICAL_LABELS).
        category: what is to be seen, in sets of objects.
        valence: -1 (unpleasant) to 1 (pleasant).
        arousal: -1 (calm) to 1 (excited).
        box: of the face, pixels.
        landmarks: float32 (68, 2), pixels, in the order of iBUG 300-W.
        visible: bool (68,), whether each landmark is inside the picture and not covered.
        intensity: of the expression, 0 (neutral) to 1.
        sequence: the recording that the picture is a frame of.
        frame: its number within the sequence.
        yaw: of the head, degrees, positive to the person's left.
    """

    picture: Picture
    split: str
    person: str | None = None
    expression: str | None = None
    category: str | None = None
    valence: float | None = None
    arousal: float | None = None
    box: Box | None = None
    landmarks: NDArray[np.float32] | None = None
    visible: NDArray[np.bool_] | None = None
    intensity: float | None = None
    sequence: str | None = None
    frame: int | None = None
    yaw: float | None = None


class SplitCounts(msgspec.Struct, frozen=True):
    """What one split holds.

    Attributes:
        samples: all of them.
        people: number of people; None where the data set names none.
        expressions: samples by canonical label.
        categories: number of different categories; None where there are none.
        valence_arousal: samples with both.
        boxes: samples with a box.
        landmarks: samples with 68 landmarks.
    """

    samples: int
    people: int | None
    expressions: dict[str, int]
    categories: int | None
    valence_arousal: int
    boxes: int
    landmarks: int


class Description(msgspec.Struct, frozen=True):
    """What a data set holds.

    Attributes:
        dataset: its name.
        samples: all of them.
        published: how many samples the complete data set has in this form; None where nobody has said so.
        people: number of people; None where the data set names none.
        splits: by name.
        left_out: how much of the source is not used, by reason.
    """

    dataset: str
    samples: int
    published: int | None
    people: int | None
    splits: dict[str, SplitCounts]
    left_out: dict[str, int]


class Dataset(ABC):
    """Samples by number. Nothing is decoded until a sample's picture is read; may be used by several processes.

    Attributes:
        name: of the data set.
        published: number of samples of the complete set, if its publishers say so.
        left_out: how much of the source is not used, by reason.
    """

    name: str
    published: int | None = None
    left_out: Mapping[str, int] = {}

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    def __iter__(self) -> Iterator[Sample]:
        for index in range(len(self)):
            yield self[index]

    @cached_property
    def labels(self) -> Labels:
        """What is known of all samples; read once, then held."""
        return Labels.of(self)

    def describe(self, tell: Tell | None = None) -> Description:
        """Count classes and people of each split; `tell` is called now and then."""
        counts: dict[str, _Counting] = defaultdict(_Counting)
        for number, sample in enumerate(self):
            if tell and number % _TELL_EVERY == 0:
                tell(number, len(self))
            counts[sample.split].add(sample)
        people = set().union(*(one.people for one in counts.values()))
        splits = {split: counts[split].result() for split in sorted(counts, key=SPLITS.index)}
        return Description(self.name, len(self), self.published, len(people) or None, splits, dict(self.left_out))


class SampleList(Dataset):
    """A data set whose samples are few enough to be held as they are."""

    def __init__(
        self,
        name: str,
        samples: Sequence[Sample],
        published: int | None = None,
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        self.name, self.published, self.left_out = name, published, left_out or {}
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]


class Subset(Dataset):
    """Some samples of another data set, in the order given."""

    def __init__(self, whole: Dataset, numbers: Sequence[int] | NDArray[np.intp]) -> None:
        self.name = whole.name
        self._whole, self._numbers = whole, np.asarray(numbers, np.intp)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Sample:
        return self._whole[int(self._numbers[index])]

    @cached_property
    def labels(self) -> Labels:
        """Those of the whole data set, which may have been read already."""
        return self._whole.labels.take(self._numbers)


@dataclass
class _Counting:
    samples: int = 0
    people: set[str] = field(default_factory=set)
    expressions: Counter[str] = field(default_factory=Counter)
    categories: set[str] = field(default_factory=set)
    valence_arousal: int = 0
    boxes: int = 0
    landmarks: int = 0

    def add(self, sample: Sample) -> None:
        self.samples += 1
        if sample.person is not None:
            self.people.add(sample.person)
        if sample.expression is not None:
            self.expressions[sample.expression] += 1
        if sample.category is not None:
            self.categories.add(sample.category)
        self.valence_arousal += sample.valence is not None and sample.arousal is not None
        self.boxes += sample.box is not None
        self.landmarks += sample.landmarks is not None

    def result(self) -> SplitCounts:
        return SplitCounts(
            self.samples,
            len(self.people) or None,
            dict(sorted(self.expressions.items())),
            len(self.categories) or None,
            self.valence_arousal,
            self.boxes,
            self.landmarks,
        )
