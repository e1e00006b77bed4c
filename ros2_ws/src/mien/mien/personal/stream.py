"""Whether to ask about the moment that is happening now: the streaming form of paper 002's samplers, on a budget."""

from __future__ import annotations

from dataclasses import dataclass

from mien.personal.samples import Array


@dataclass(frozen=True, slots=True)
class Question:
    """A moment that is worth a question.

    Attributes:
        score: novelty · uncertainty, in no particular unit.
        reason: which rule chose the moment and why, for people to read.
    """

    score: float
    reason: str


class StreamSampler:
    """Decides moment by moment; used by one thread at a time. One instance serves everybody whom a robot sees.

    Args:
        questions_per_hour: the robot's budget, all people together; 0 never asks.

    Raises:
        MienError: the budget is negative or not finite.
    """

    def __init__(self, questions_per_hour: float) -> None:
        raise NotImplementedError

    def consider(
        self, person_id: str, stamp_s: float, embedding: Array, prediction: Array, uncertainty: float
    ) -> Question | None:
        """Whether this moment is worth a question now; one that is counts as asked.

        Args:
            person_id: whose moment it is; not empty.
            stamp_s: when, seconds, not before the last one.
            embedding: float32 (D,).
            prediction: float32 (P,), what the head in use says: probabilities, valence and arousal, or some.
            uncertainty: 0 (sure) to 1, e.g. 1 − the highest probability; 1 where it is not known.
        """
        raise NotImplementedError

    def remember(self, person_id: str, embedding: Array, prediction: Array) -> None:
        """A moment that was labelled unasked: moments like it are no longer new."""
        raise NotImplementedError

    def forget(self, person_id: str) -> None:
        """Drop all that is kept of a person."""
        raise NotImplementedError
