"""What a robot does with the people it knows: store, learner and gate together. Synchronous, no ROS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mien.personal.messages import (
    AddLabel,
    Enroll,
    Forgotten,
    Identity,
    Labelled,
    Outcome,
    Person,
    Personalise,
    Progress,
    RememberSatisfaction,
    StoredHead,
)
from mien.personal.samples import BaseHead

DEFAULT_LEARNER = "ridge"


class People:
    """The people of one robot. One process owns a store; in it, any thread may call.

    Args:
        folder: where the store is kept; made where it does not exist.
        base: the bundle's own head.
        embedding_id: which backbone the embeddings come from (`embedding_id` of `mien.personal.model`).
        identity_id: which identity network the identity embeddings come from; empty without one.
        learner: what learns from labels as they come.

    Raises:
        MienError: the folder cannot be used, somebody else owns the store, it is on a network disk, or a newer version
            of mien wrote it.
    """

    def __init__(self, folder: Path, base: BaseHead, embedding_id: str, identity_id: str, learner: str) -> None:
        raise NotImplementedError

    def enroll(self, request: Enroll) -> Person:
        """Make a person, group or place known, or change what is known of one; identity embeddings are added.

        Raises:
            MienError: a person without consent and statement, an id or name that cannot be used, another kind under the
                same id, an unknown group, identity embeddings of a group or place.
        """
        raise NotImplementedError

    def add_identity(self, person_id: str, embedding: bytes) -> Person:
        """Add an identity embedding (float32 bytes) of a person; the oldest of too many goes."""
        raise NotImplementedError

    def add_labels(self, requests: Sequence[AddLabel]) -> list[Labelled | Exception]:
        """Store labels and learn at once, each person's head once for all of them.

        Returns:
            What became of each, in order; a MienError where one cannot be used (unknown person, unknown class, values
            outside [-1, 1], another embedding size).
        """
        raise NotImplementedError

    def personalise(
        self, request: Personalise, tell: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> Outcome:
        """Learn a head afresh from all stored moments; it replaces the one in use if it is no worse.

        Raises:
            MienError: unknown person or learner, or nothing to learn from.
            Cancelled: nothing is kept.
        """
        raise NotImplementedError

    def rollback(self, person_id: str, version: int) -> StoredHead:
        """Use an earlier (or later) stored version again; 0 is the bundle's own head."""
        raise NotImplementedError

    def forget(self, person_id: str) -> Forgotten:
        """Remove every trace; returns only when nothing is left in any file of the store."""
        raise NotImplementedError

    def export(self, person_id: str) -> Path:
        """Write all that is stored about one as a .zip of JSON and safetensors; `forget` removes it too."""
        raise NotImplementedError

    def list_people(self) -> tuple[Person, ...]:
        """Everyone, in the order of enrolment."""
        raise NotImplementedError

    def heads(self) -> tuple[StoredHead, ...]:
        """The heads in use with this model, without those that use the bundle's own."""
        raise NotImplementedError

    def identities(self) -> tuple[Identity, ...]:
        """The identity embeddings of this identity network."""
        raise NotImplementedError

    def problems(self) -> tuple[str, ...]:
        """What was found damaged and set aside, and what is kept but not applied, for people to read."""
        raise NotImplementedError

    def remember_satisfaction(self, request: RememberSatisfaction) -> Person:
        """Keep the outcome of one interaction of a person."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the store back."""
        raise NotImplementedError
