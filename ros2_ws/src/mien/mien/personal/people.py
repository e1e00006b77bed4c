"""What a robot does with the people it knows: store, learner and gate together. Synchronous, no ROS."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from mien.errors import MienError
from mien.expression.head import Head
from mien.personal.afresh import Learn, Task, learn
from mien.personal.checks import check_enrolment, check_identities, check_label, check_satisfaction
from mien.personal.gate import Decision, decide
from mien.personal.head_rows import HeadRows
from mien.personal.learners import Learner, find_learner, say_nothing
from mien.personal.learners.ridge import LastingRidge
from mien.personal.messages import (
    AddLabel,
    Enroll,
    Forgotten,
    Identity,
    Kind,
    Labelled,
    Outcome,
    Person,
    Personalise,
    Progress,
    RememberSatisfaction,
    StoredHead,
)
from mien.personal.model import head_id
from mien.personal.person_file import export_person
from mien.personal.person_rows import PersonRows
from mien.personal.sample_rows import SampleRows
from mien.personal.samples import BaseHead, Cancelled, Label, Tensors
from mien.personal.store import Store
from mien.personal.targets import learnable


class People:
    """The people of one robot. One process owns a store; in it, any thread may call.

    Args:
        folder: where the store is kept; made where it does not exist.
        base: the bundle's own head.
        embedding_id: which backbone the embeddings come from (`embedding_id` of `mien.personal.model`).
        identity_id: which identity network the identity embeddings come from; empty without one.
        learner: what learns from labels as they come; empty: the default.
        learn: how `personalise` learns: here, or where it keeps nobody waiting.

    Raises:
        MienError: the folder cannot be used, somebody else owns the store, it is on a network disk, or a newer version
            of mien wrote it; the learner is unknown.
    """

    def __init__(
        self,
        folder: Path,
        base: BaseHead,
        embedding_id: str,
        identity_id: str,
        learner: str,
        learn: Learn = learn,
    ) -> None:
        self._base, self._learner, self._learn = base, find_learner(learner), learn
        self._ridge = LastingRidge()  # for labels, which come one by one
        self._at_once = self._ridge if self._learner.name == self._ridge.name else self._learner
        self._store = Store(folder)
        self._rows = PersonRows(self._store, identity_id)
        self._samples = SampleRows(self._store, embedding_id)
        self._heads = HeadRows(self._store, head_id(base, embedding_id))
        self._turn = threading.RLock()
        self._runs: list[_Run] = []

    def enroll(self, request: Enroll) -> Person:
        """Make a person, group or place known, or change what is known of one; identity embeddings are added.

        Raises:
            MienError: a person without consent and statement, an id or name that cannot be used, another kind under the
                same id, an unknown group, identity embeddings of a group or place.
        """
        check_enrolment(request)
        with self._turn:
            self._store.check_room()
            person_id = request.person_id or uuid.uuid4().hex
            known = self._rows.kind(person_id)
            if known is not None and known is not request.kind:
                raise MienError(f"{person_id} is enrolled as a {known.name.lower()}", "Choose another id")
            for group in request.groups:
                if self._rows.kind(group) not in (Kind.GROUP, Kind.PLACE):
                    raise MienError(f"There is no group or place {group[:80]!r}", "Enrol the group or place first")
            self._check_identities(request.identity)
            with self._store.writing():
                self._rows.put(person_id, request, time.time())
                self._rows.add_identities(person_id, request.identity)
            return self._person(person_id)

    def add_identity(self, person_id: str, embedding: bytes) -> Person:
        """Add an identity embedding (float32 bytes) of a person; the oldest of too many goes."""
        with self._turn:
            self._require_person(person_id)
            self._check_identities((embedding,))
            with self._store.writing():
                self._rows.add_identities(person_id, (embedding,))
            return self._person(person_id)

    def add_labels(self, requests: Sequence[AddLabel]) -> list[Labelled | MienError]:
        """Store labels and learn at once, each person's head once for all of them.

        Returns:
            What became of each, in order; a MienError where one cannot be used (unknown person, unknown class, values
            outside [-1, 1], another embedding size) or nothing could be stored.
        """
        with self._turn:
            results: list[str | MienError] = []  # a note about each
            try:
                self._store.check_room()
                with self._store.writing():
                    for request in requests:
                        results.append(self._add_label(request))
                    stored = {r.person_id for r, note in zip(requests, results, strict=True) if isinstance(note, str)}
                    for person_id in stored:
                        self._samples.trim(person_id)
            except MienError as error:
                return [error] * len(requests)
            learned = {person_id: self._learn_at_once(person_id) for person_id in stored}
            return [
                note if isinstance(note, MienError) else self._labelled(request, note, *learned[request.person_id])
                for request, note in zip(requests, results, strict=True)
            ]

    def relabel(self, sample_id: str, label: Label) -> Labelled:
        """Say something else of a stored moment, or, by a label that says nothing, take one back; and learn at once.

        Args:
            sample_id: of the moment.
            label: takes the place of what the same annotator and source said of it.

        Raises:
            MienError: it is not stored, or not so labelled; or what `add_labels` refuses.
        """
        with self._turn:
            request = self._samples.stored(sample_id, label)
            if request is None:
                problem = f"The moment {sample_id[:64]!r} is not kept (any more)"
                raise MienError(problem, "Answer a question within a minute, or label what a face shows now")
            if not label.is_empty:
                (result,) = self.add_labels([request])
                if isinstance(result, MienError):
                    raise result
                return result
            owner = request.person_id
            with self._store.writing():
                if not self._samples.take_back(request):
                    who = f"{label.annotator[:64]!r} as {label.source.name.lower()}"
                    raise MienError(f"There is no label by {who} of the moment {sample_id}", "Give who gave it")
                lesson = learnable(self._base, self._samples.load(owner, Kind.PERSON, self._base.labels)[0])
                if not lesson.outputs:
                    self._end_runs(owner)
                    return self._labelled(request, "", self._heads.roll_back(owner, 0), ". ".join(lesson.notes))
            return self._labelled(request, "", *self._learn_at_once(owner, taken_back=True))

    def personalise(
        self, request: Personalise, tell: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> Outcome:
        """Learn a head afresh from all stored moments; it replaces the one in use if it is no worse.

        Where neither betters the base head, that is used again; so it is after labels.

        Raises:
            MienError: unknown person or learner, or nothing to learn from.
            Cancelled: asked for, or a person it learned from was forgotten or took all labels back; nothing is kept.
        """
        started_s = time.monotonic()
        learner, owner = find_learner(request.learner) if request.learner else self._learner, request.person_id
        with self._turn:
            samples, people = self._samples.load(owner, self._rows.require(owner), self._base.labels)
            lesson = learnable(self._base, samples, learner.outputs)
            if not len(samples) or (learner.needs_labels and not lesson.outputs):
                raise MienError(f"{owner} has nothing to learn from", ". ".join(lesson.notes))
            now = self._heads.in_use(owner)
            head = now.head
            before = self._heads.learned_from(owner, head.version) if learner.resumes else set()
            run = _Run({owner, *people, *before}, tell, cancelled)
            self._runs.append(run)
        try:
            start = head.tensors() if learner.resumes else None
            task = Task(self._base, samples, learner.name, now.learner, start, request.max_steps)
            learned = self._learn(task, run.hear)
            decision = learned.decision
            with self._turn:
                run.check()
                if learned.tensors is not None:
                    head = self._keep(owner, learner, learned.tensors, len(samples), {*people, *before}, decision)
                elif decision.base_is_better and self._heads.in_use(owner).head.version == head.version:
                    head = self._heads.roll_back(owner, 0)  # unless labels have changed it since
        finally:
            with self._turn:
                self._runs.remove(run)
        return Outcome(
            success=decision.accepted,
            message=". ".join((decision.reason, *lesson.notes)),
            head=head,
            samples=len(samples),
            score_before=decision.score_before,
            score_after=decision.score_after,
            duration_s=time.monotonic() - started_s,
        )

    def rollback(self, person_id: str, version: int) -> StoredHead:
        """Use an earlier (or later) stored version again; 0 is the bundle's own head."""
        with self._turn:
            self._rows.require(person_id)
            return self._heads.roll_back(person_id, version)

    def forget(self, person_id: str) -> Forgotten:
        """Remove every trace; returns only when nothing is left in any file of the store.

        Heads of groups and places that learned from the person are removed, too. What the person said of others stays,
        without a name.

        Raises:
            MienError: nobody has this id, or another program reads the database.
        """
        with self._turn:
            if self._rows.kind(person_id) is None and self._store.finish_forgetting():
                return Forgotten(0, 0, ())  # of an attempt that was interrupted
            kind = self._rows.require(person_id)
            self._end_runs(person_id)
            samples = sum(self._samples.count(person_id, kind)) if kind is Kind.PERSON else 0
            heads = self._heads.count(person_id)
            self._ridge.forget()
            with self._store.forgetting(person_id):
                self._samples.forget_annotator(person_id)
                others, owners = self._heads.remove_learned_from(person_id)
            in_use = tuple(self._heads.in_use(owner).head for owner in sorted(owners))
            return Forgotten(samples, heads + others, in_use)

    def export(self, person_id: str) -> Path:
        """Write all that is stored about one as a .zip of JSON and safetensors; `forget` removes it too."""
        with self._turn:
            self._rows.require(person_id)
            self._store.check_room()
            return export_person(self._store, self._person(person_id))

    def list_people(self) -> tuple[Person, ...]:
        """Everyone, in the order of enrolment."""
        with self._turn:
            return tuple(self._person(person_id) for person_id in self._rows.ids())

    def head(self, person_id: str) -> StoredHead:
        """The head in use of a person, group or place; the bundle's own where nothing is known of it."""
        with self._turn:
            return self._heads.in_use(person_id).head

    def heads(self) -> tuple[StoredHead, ...]:
        """The heads in use with this model, without those that use the bundle's own."""
        with self._turn:
            return self._heads.all_in_use()

    def identities(self) -> tuple[Identity, ...]:
        """The identity embeddings of this identity network."""
        with self._turn:
            return self._rows.identities()

    def problems(self) -> tuple[str, ...]:
        """What was found damaged and set aside, and what is kept but not applied, for people to read."""
        with self._turn:
            people = [self._person(person_id) for person_id in self._rows.ids()]
            foreign = sum(one.foreign_heads for one in people)
            kept = f"{foreign} heads were learned with another model: they are kept and not applied"
            return (*self._store.problems, *([kept] if foreign else []))

    def remember_satisfaction(self, request: RememberSatisfaction) -> Person:
        """Keep the outcome of one interaction of a person."""
        check_satisfaction(request)
        with self._turn:
            self._require_person(request.person_id)
            with self._store.writing():
                self._rows.add_satisfaction(request)
            return self._person(request.person_id)

    def close(self) -> None:
        """Give the store back; a `personalise` that runs keeps nothing."""
        with self._turn:
            for run in self._runs:
                run.ended = True
            self._store.close()

    def _add_label(self, request: AddLabel) -> str | MienError:
        """Store one; returns what was left out, or why it cannot be stored. Raises what nothing can be stored for."""
        try:
            check_label(request, self._base)
            self._require_person(request.person_id)
            self._samples.check(request)
        except MienError as error:
            return error
        place = request.place if self._rows.kind(request.place) is Kind.PLACE else None
        self._samples.add(request, place)
        return "" if place == (request.place or None) else f"There is no place {request.place[:80]!r}: stored without"

    def _learn_at_once(self, person_id: str, taken_back: bool = False) -> tuple[StoredHead | None, str]:
        """The head that is used from now on, where that is another one than before, and what was not learned."""
        learner = self._at_once
        try:
            samples, _ = self._samples.load(person_id, Kind.PERSON, self._base.labels)
            lesson = learnable(self._base, samples, learner.outputs)
            if not lesson.outputs:
                return None, ". ".join(lesson.notes)
            now = self._heads.in_use(person_id)
            ours = now.learner == learner.name
            decision = decide(learner, self._base, samples, learner if ours else None)
            # What other learners make takes long to judge: their score of then must do.
            outlived = taken_back and ours and not decision.base_is_better  # by a head that knows the label
            if outlived or (decision.accepted and (ours or not decision.score_after < now.score)):
                tensors = learner.fit(self._base, samples, None, 0, say_nothing)
                head = self._keep(person_id, learner, tensors, len(samples), {person_id}, decision)
                return head, ". ".join(lesson.notes)
            if decision.base_is_better:
                return self._heads.roll_back(person_id, 0), ". ".join((decision.reason, *lesson.notes))
            reason = f"The head in use, made by {now.learner}, is better" if decision.accepted else decision.reason
            return None, ". ".join((reason, *lesson.notes))
        except MienError as error:
            return None, f"Nothing was learned at once. {error}"

    def _keep(
        self, owner: str, learner: Learner, tensors: Tensors, samples: int, people: set[str], decision: Decision
    ) -> StoredHead:
        Head(self._base.spec, tensors, len(self._base.labels), self._base.embedding_size)  # says what is not finite
        data = safetensors.numpy.save({name: np.ascontiguousarray(one, np.float32) for name, one in tensors.items()})
        self._store.check_room()
        with self._store.writing():
            scores = decision.score_before, decision.score_after
            return self._heads.add(owner, learner.name, data, samples, people, scores)

    def _labelled(self, request: AddLabel, note: str, head: StoredHead | None, message: str) -> Labelled:
        samples, _ = self._samples.count(request.person_id, Kind.PERSON)
        return Labelled(request.sample_id, samples, head, ". ".join(filter(None, (note, message))))

    def _person(self, person_id: str) -> Person:
        kind, name, statement, consent_time_s, groups, identities = self._rows.record(person_id)
        samples, foreign_samples = self._samples.count(person_id, kind)
        versions, foreign_heads = self._heads.versions(person_id)
        return Person(
            person_id=person_id,
            kind=kind,
            display_name=name,
            consent=consent_time_s > 0,
            consent_statement=statement,
            consent_time_s=consent_time_s,
            groups=groups,
            samples=samples,
            foreign_samples=foreign_samples,
            head_version=self._heads.in_use(person_id).head.version,
            versions=versions,
            foreign_heads=foreign_heads,
            identities=identities,
            satisfaction=self._rows.satisfaction(person_id),
        )

    def _require_person(self, person_id: str) -> None:
        kind = self._rows.require(person_id)
        if kind is not Kind.PERSON:
            raise MienError(f"{person_id} is a {kind.name.lower()}", "Give the id of a person")

    def _end_runs(self, person_id: str) -> None:
        """Let nothing be kept of what is being learned from a person's moments."""
        for run in self._runs:
            run.ended |= person_id in run.people

    def _check_identities(self, embeddings: Sequence[bytes]) -> None:
        check_identities(embeddings, self._rows.identity_size())


@dataclass
class _Run:
    """A `personalise` that runs: whose it is or whose moments are in it, and whether it is to end."""

    people: set[str]
    tell: Callable[[Progress], None]
    cancelled: Callable[[], bool]
    ended: bool = False

    def check(self) -> None:
        """Raise Cancelled when it is to end."""
        if self.ended or self.cancelled():
            raise Cancelled

    def hear(self, progress: Progress | None) -> None:
        """Raise Cancelled when it is to end, or pass on how far it is."""
        self.check()
        if progress is not None:
            self.tell(progress)
