"""The robot's people, in a process of their own: never waits, so that any thread of a node may ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.numpy

from mien.errors import MienError
from mien.personal.life import Life, Tell
from mien.personal.messages import (
    AddIdentity,
    AddLabel,
    Cancel,
    Enroll,
    Export,
    Forget,
    Forgotten,
    Heads,
    Identities,
    Identity,
    Kind,
    Labelled,
    ListPeople,
    Open,
    Outcome,
    Person,
    Personalise,
    Problems,
    Relabel,
    RememberSatisfaction,
    Rollback,
    StoredHead,
)
from mien.personal.samples import Array, BaseHead, Label
from mien.personal.wire import Request

_SHORT_LIFE_S = 10.0
"""A process that dies so soon would die again and again."""


class PeopleClient:
    """`People` in another process, of lower priority. For any thread; every request is answered through a Future.

    A process that dies is started again, at once or, where it did not live long or could not open the store, for the
    next request; what it was asked and had not answered fails with a MienError. A future's callbacks run in this
    client's thread: they must be short.

    Args:
        folder: where the store is kept.
        base: the bundle's own head.
        embedding_id: which backbone the embeddings come from.
        identity_id: which identity network the identity embeddings come from; empty without one.
        learner: what learns from labels as they come; empty: the default.

    Each future raises MienError when the store cannot be opened, the process died, more than `MAXIMUM_WAITING` requests
    wait, or what the method of `People` says.

    Raises:
        MienError: the folder cannot be made, or the process not be started.
    """

    def __init__(
        self, folder: Path, base: BaseHead, embedding_id: str, identity_id: str = "", learner: str = ""
    ) -> None:
        tensors = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in base.tensors.items()}
        self._opening = Open(
            folder=str(folder.absolute()),
            spec=base.spec,
            tensors=safetensors.numpy.save(tensors),
            labels=base.labels,
            embedding_size=base.embedding_size,
            affect_range=base.affect_range,
            embedding_id=embedding_id,
            identity_id=identity_id,
            learner=learner,
        )
        self._turn, self._closed, self._deaths = threading.Lock(), False, 0
        with self._turn:
            self._life = Life(self._opening, self._on_end)

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
        looks = tuple(_bytes(one) for one in identity)
        request = Enroll(kind, person_id, display_name, consent, consent_statement, tuple(groups), looks)
        return self._ask(request, _decoder(Person))

    def add_identity(self, person_id: str, embedding: Array) -> Future[Person]:
        """`People.add_identity` of a float32 (I,) embedding."""
        return self._ask(AddIdentity(person_id, _bytes(embedding)), _decoder(Person))

    def add_label(
        self, person_id: str, place: str, sample_id: str, stamp_s: float, embedding: Array, label: Label
    ) -> Future[Labelled]:
        """Store one label of one moment (float32 (D,) embedding) and learn at once; see `AddLabel`."""
        request = AddLabel(person_id, place, sample_id, stamp_s, _bytes(embedding), label)
        return self._ask(request, _decoder(Labelled))

    def relabel(self, sample_id: str, label: Label) -> Future[Labelled]:
        """`People.relabel`."""
        return self._ask(Relabel(sample_id, label), _decoder(Labelled))

    def personalise(
        self, person_id: str, learner: str, max_steps: int, tell: Tell, run_id: str = ""
    ) -> Future[Outcome]:
        """`People.personalise`; an empty learner and 0 steps are the defaults, `run_id` is for `cancel`.

        `tell` is called in this client's thread and must be short. Cancelled: an Outcome without success.
        """
        return self._ask(Personalise(person_id, learner, max_steps, run_id), _decoder(Outcome), tell)

    def cancel(self, run_id: str) -> Future[None]:
        """End the `personalise` of that id, if it runs or waits."""
        return self._ask(Cancel(run_id), _decoder(type(None)))

    def rollback(self, person_id: str, version: int) -> Future[StoredHead]:
        """`People.rollback`."""
        return self._ask(Rollback(person_id, version), _decoder(StoredHead))

    def forget(self, person_id: str) -> Future[Forgotten]:
        """`People.forget`; a running `personalise` that uses the person's moments is cancelled."""
        return self._ask(Forget(person_id), _decoder(Forgotten))

    def export(self, person_id: str) -> Future[Path]:
        """`People.export`."""
        decode = _decoder(str)
        return self._ask(Export(person_id), lambda raw: Path(decode(raw)))

    def list_people(self) -> Future[tuple[Person, ...]]:
        """`People.list_people`."""
        return self._ask(ListPeople(), _decoder(tuple[Person, ...]))

    def heads(self) -> Future[tuple[StoredHead, ...]]:
        """`People.heads`."""
        return self._ask(Heads(), _decoder(tuple[StoredHead, ...]))

    def identities(self) -> Future[tuple[Identity, ...]]:
        """`People.identities`."""
        return self._ask(Identities(), _decoder(tuple[Identity, ...]))

    def problems(self) -> Future[tuple[str, ...]]:
        """`People.problems`, and how often the process died."""
        decode = _decoder(tuple[str, ...])

        def with_deaths(raw: msgspec.Raw) -> tuple[str, ...]:
            deaths = [f"The process that keeps the people died {self._deaths} times"] if self._deaths else []
            return (*decode(raw), *deaths)

        return self._ask(Problems(), with_deaths)

    def remember_satisfaction(
        self, person_id: str, subject: str, score: float, confidence: float, observed_s: float, stamp_s: float
    ) -> Future[Person]:
        """`People.remember_satisfaction`: score -1 to 1, confidence 0 to 1, stamp of the interaction's end."""
        request = RememberSatisfaction(person_id, subject, score, confidence, observed_s, stamp_s)
        return self._ask(request, _decoder(Person))

    def close(self) -> None:
        """Let the process finish what it was asked, and end it; a running `personalise` is cancelled."""
        with self._turn:
            self._closed, life = True, self._life
        life.close()

    def _ask(self, request: Request, decode: Callable[[msgspec.Raw], Any], tell: Tell | None = None) -> Future[Any]:
        with self._turn:
            if self._life.ended and not self._closed:
                self._begin()
            return self._life.ask(request, decode, tell)

    def _begin(self) -> None:
        with suppress(MienError):  # the old life answers why there is none
            self._life = Life(self._opening, self._on_end)

    def _on_end(self, life: Life) -> None:
        with self._turn:
            if not life.opened or self._closed:
                return
            self._deaths += 1
            may_last = time.monotonic() - life.started_s > _SHORT_LIFE_S
            if may_last and life is self._life:  # nobody has asked since
                self._begin()


def _decoder(result: Any) -> Callable[[msgspec.Raw], Any]:
    return msgspec.msgpack.Decoder(result).decode


def _bytes(embedding: Array) -> bytes:
    return np.ascontiguousarray(embedding, "<f4").tobytes()
