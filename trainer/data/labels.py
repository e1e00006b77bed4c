"""What is known of all samples of a data set, read in one pass and held as arrays; the pictures are not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from trainer.data.sample import Sample
    from trainer.stages.recipe import Target

UNKNOWN = -1
"""Place of a name that is not known."""


@dataclass(frozen=True)
class Column:
    """One name for each of N samples.

    Attributes:
        names: that occur, ascending.
        places: int64 (N,), place in `names`, or `UNKNOWN`.
    """

    names: tuple[str, ...]
    places: NDArray[np.int64]

    @classmethod
    def of(cls, values: Sequence[str | None]) -> Column:
        """From a name or None for each sample."""
        names = tuple(sorted({value for value in values if value is not None}))
        place: dict[str | None, int] = {None: UNKNOWN, **{name: number for number, name in enumerate(names)}}
        return cls(names, np.array([place[value] for value in values], np.int64))

    @property
    def used(self) -> tuple[str, ...]:
        """The names that a sample has, ascending."""
        return tuple(self.names[place] for place in np.unique(self.places).tolist() if place != UNKNOWN)

    def take(self, numbers: NDArray[np.intp]) -> Column:
        """Those of some samples, in that order."""
        return Column(self.names, self.places[numbers])

    def texts(self) -> NDArray[np.str_]:
        """(N,) names, empty where unknown."""
        return np.array([*self.names, ""], np.str_)[self.places]


@dataclass(frozen=True)
class Labels:
    """What `trainer.data.sample.Sample` says of the same names, of N samples.

    Attributes:
        split: column.
        person: column.
        expression: column.
        category: column.
        valence: float32 (N,), NaN where unknown.
        arousal: float32 (N,), NaN where unknown.
    """

    split: Column
    person: Column
    expression: Column
    category: Column
    valence: NDArray[np.float32]
    arousal: NDArray[np.float32]

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Labels:
        """Those of samples."""
        rows = [(s.split, s.person, s.expression, s.category, s.valence, s.arousal) for s in samples]
        split, person, expression, category, valence, arousal = zip(*rows, strict=True) if rows else [()] * 6
        return cls(
            Column.of(split),
            Column.of(person),
            Column.of(expression),
            Column.of(category),
            np.array(valence, np.float32),  # None becomes NaN
            np.array(arousal, np.float32),
        )

    def take(self, numbers: NDArray[np.intp]) -> Labels:
        """Those of some samples, in that order."""
        return Labels(
            self.split.take(numbers),
            self.person.take(numbers),
            self.expression.take(numbers),
            self.category.take(numbers),
            self.valence[numbers],
            self.arousal[numbers],
        )

    def classes(self, target: Target) -> Column:
        """The classes of a target; of valence or arousal alone, and of landmarks, nothing is known."""
        columns = {
            "expression": self.expression,
            "affect": self.expression,
            "identity": self.person,
            "category": self.category,
        }
        return columns.get(target, Column((), np.full(len(self.valence), UNKNOWN)))

    def has_numbers(self, target: Target) -> NDArray[np.bool_]:
        """Of each sample (N,), whether valence or arousal are known and enough for the target; for `affect` both.

        For `landmarks` always: they may be found in any face.
        """
        valence, arousal = ~np.isnan(self.valence), ~np.isnan(self.arousal)
        known = {"valence": valence, "arousal": arousal, "affect": valence & arousal}
        known["landmarks"] = np.ones(len(valence), np.bool_)
        return known.get(target, np.zeros(len(valence), np.bool_))
