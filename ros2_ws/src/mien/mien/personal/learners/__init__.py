"""Learners: each makes a personal head from the base head and a person's labelled moments."""

from __future__ import annotations

from mien.errors import MienError
from mien.personal.learners.lda import Lda
from mien.personal.learners.learner import Learner, Tell, say_nothing
from mien.personal.learners.prototypes import Prototypes
from mien.personal.learners.recentre import Recentre
from mien.personal.learners.ridge import Ridge
from mien.personal.learners.sgd import Sgd

_ALL: tuple[Learner, ...] = (Ridge(), Sgd(), Prototypes(), Lda(), Recentre())
LEARNERS: dict[str, Learner] = {learner.name: learner for learner in _ALL}
"""By name, with their default settings."""
DEFAULT_LEARNER = "ridge"


def find_learner(name: str) -> Learner:
    """A learner by name; an empty name means the default.

    Raises:
        MienError: there is none of that name.
    """
    try:
        return LEARNERS[name or DEFAULT_LEARNER]
    except KeyError:
        raise MienError(f"There is no learner {name!r}", f"Give one of {', '.join(LEARNERS)}") from None


__all__ = ["DEFAULT_LEARNER", "LEARNERS", "Learner", "Tell", "find_learner", "say_nothing"]
