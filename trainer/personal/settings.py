"""How large the study is: its sizes on rendered people and on AMIGOS."""

from __future__ import annotations

from typing import Literal

import msgspec

from mien.errors import MienError
from trainer.stages.recipe import Natural, Optimiser, Positive, Schedule, Stage

Size = Literal["smoke", "study"]
Share = float

DEVELOPMENT_SEED = 900
"""Rendered people from this seed on were used to choose learners, rates and the general model, and for nothing else."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One size of the study.

    Attributes:
        seeds: repetitions, each with a general model, random folds and random choices of its own.
        people: how many.
        frames: of each person, four seconds apart; 0 = all there are.
        side: of rendered pictures, pixels.
        first_person: seed of the first rendered person; the next ones follow.
        shifts: strengths of the shift of rendered people; 1 is among them.
        folds: of the cross-validation.
        shares: of the training part that are labelled, for the curves, below 1.
        few: numbers of labels, ascending.
        seeds_without_transfer: repetitions of the training from nothing, which takes most of the time.
        no_transfer: how the whole network is trained on a person's pictures alone.
    """

    seeds: Positive
    people: Positive
    frames: Natural
    side: Positive = 96
    first_person: Natural = 100
    shifts: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5)
    folds: Positive = 5
    shares: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5, 0.9)
    few: tuple[int, ...] = (1, 2, 4, 8, 16)
    seeds_without_transfer: Positive = 1
    no_transfer: Stage


def _no_transfer(epochs: int, rate: float, batch_size: int, fall: float) -> Stage:
    return Stage(
        data="people",
        target="affect",
        loss="mse",
        optimiser=Optimiser(learning_rate=rate, nesterov=True),
        schedule=Schedule(kind="exponential", factor=fall) if fall < 1 else Schedule(),
        augmentation="flip",
        epochs=epochs,
        batch_size=batch_size,
        dropout=0.0,
    )


SIZES: dict[Size, dict[Literal["rendered", "real"], Settings]] = {
    "smoke": {
        "rendered": Settings(
            seeds=1,
            people=3,
            frames=200,
            shifts=(0.0, 1.0),
            shares=(0.1, 0.5),
            no_transfer=_no_transfer(2, 0.01, 32, 0.8),
        ),
        "real": Settings(seeds=1, people=2, frames=60, shares=(0.1, 0.5), no_transfer=_no_transfer(1, 0.001, 16, 1.0)),
    },
    "study": {
        "rendered": Settings(seeds=3, people=10, frames=800, no_transfer=_no_transfer(8, 0.01, 32, 0.8)),
        # As published; batches, rate and epochs are those of the general model (3.2), as none are printed for a person.
        "real": Settings(
            seeds=3, people=10, frames=0, seeds_without_transfer=3, no_transfer=_no_transfer(50, 0.001, 16, 1.0)
        ),
    },
}
"""By size and data. In the study on renders, rate and epochs of "No transfer" come from a single try on a person of
`DEVELOPMENT_SEED`."""


def check(settings: Settings) -> None:
    """Check what the types do not.

    Raises:
        MienError: the person as it is is not among the shifts, or shares or numbers of labels are out of range.
    """
    is_ordered = tuple(sorted(settings.few)) == settings.few
    if 1.0 not in settings.shifts or not all(0 < share < 1 for share in settings.shares) or not is_ordered:
        raise MienError(
            "The settings of the study make no sense", "Name shift 1, shares below 1, and ascending numbers"
        )
