"""The robot's people, in a process of their own: never waits, so that any thread of a node may ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from mien.personal.messages import (
    Forgotten,
    Identity,
    Kind,
    Labelled,
    Outcome,
    Person,
    Progress,
    StoredHead,
)
from mien.personal.people import DEFAULT_LEARNER
from mien.personal.samples import Array, BaseHead, Label


class PeopleClient:
    """`People` in another process, of lower priority. For any thread; every request is answered through a Future.

    A process that dies is started again; what it was asked and had not answered fails with a MienError. A future's
    callbacks run in this client's thread: they must be short.

    Args:
        folder: where the store is kept.
        base: the bundle's own head.
        embedding_id: which backbone the embeddings come from.
        identity_id: which identity network the identity embeddings come from; empty without one.
        learner: what learns from labels as they come.

    Each future raises MienError when the store cannot be opened, the process died, more than `MAXIMUM_WAITING` requests
    wait, or what the method of `People` says.
    """

    def __init__(
        self,
        folder: Path,
        base: BaseHead,
        embedding_id: str,
        identity_id: str = "",
        learner: str = DEFAULT_LEARNER,
    ) -> None:
        raise NotImplementedError

    def enroll(
        self,
        kind: Kind,
        person_id: str,
        display_name: str,
        consent: bool,
        consent_statement: str,
        groups: Sequence[str],
        identity: Sequence[Array],
    ) -> Future[Person]:
        """`People.enroll`; an empty id makes a new one, `identity` holds float32 (I,) embeddings."""
        raise NotImplementedError

    def add_identity(self, person_id: str, embedding: Array) -> Future[Person]:
        """`People.add_identity` of a float32 (I,) embedding."""
        raise NotImplementedError

    def add_label(
        self, person_id: str, place: str, sample_id: str, stamp_s: float, embedding: Array, label: Label
    ) -> Future[Labelled]:
        """Store one label of one moment (float32 (D,) embedding) and learn at once; see `AddLabel`."""
        raise NotImplementedError

    def personalise(
        self, person_id: str, learner: str, max_steps: int, tell: Callable[[Progress], None]
    ) -> Future[Outcome]:
        """`People.personalise`; an empty learner and 0 steps are the defaults. `tell` is called as it runs, and must be short.

        Cancelled: an Outcome without success.
        """
        raise NotImplementedError

    def cancel(self, person_id: str) -> Future[None]:
        """End the `personalise` of that person, group or place, if one runs or waits."""
        raise NotImplementedError

    def rollback(self, person_id: str, version: int) -> Future[StoredHead]:
        """`People.rollback`."""
        raise NotImplementedError

    def forget(self, person_id: str) -> Future[Forgotten]:
        """`People.forget`; a running `personalise` that uses the person's moments is cancelled."""
        raise NotImplementedError

    def export(self, person_id: str) -> Future[Path]:
        """`People.export`."""
        raise NotImplementedError

    def list_people(self) -> Future[tuple[Person, ...]]:
        """`People.list_people`."""
        raise NotImplementedError

    def heads(self) -> Future[tuple[StoredHead, ...]]:
        """`People.heads`."""
        raise NotImplementedError

    def identities(self) -> Future[tuple[Identity, ...]]:
        """`People.identities`."""
        raise NotImplementedError

    def problems(self) -> Future[tuple[str, ...]]:
        """`People.problems`, and how often the process died."""
        raise NotImplementedError

    def remember_satisfaction(
        self, person_id: str, subject: str, score: float, confidence: float, observed_s: float, stamp_s: float
    ) -> Future[Person]:
        """`People.remember_satisfaction`: score -1 to 1, confidence 0 to 1, stamp of the interaction's end."""
        raise NotImplementedError

    def close(self) -> None:
        """Let the process finish what it was asked, and end it."""
        raise NotImplementedError
