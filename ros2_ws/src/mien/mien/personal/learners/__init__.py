"""Learners: each makes a personal head from the base head and a person's labelled moments."""

from __future__ import annotations

from mien.personal.learners.learner import Learner, Tell

LEARNERS: dict[str, Learner] = {}
"""By name, with their default settings."""
DEFAULT_LEARNER = "ridge"


def find_learner(name: str) -> Learner:
    """A learner by name; an empty name means the default.

    Raises:
        MienError: there is none of that name.
    """
    raise NotImplementedError


__all__ = ["DEFAULT_LEARNER", "LEARNERS", "Learner", "Tell", "find_learner"]
