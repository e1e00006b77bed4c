"""Who is in which interaction window: windows that were asked for, and one for everybody who is present."""

from __future__ import annotations

import math
import uuid
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.expression.satisfaction import SatisfactionParameters, SatisfactionState, SatisfactionWindow

ABSENCE_TIMEOUT_S = 10.0
"""A window that began by presence ends when its face has not been seen for so long."""
BEGUN_ABSENCE_S = 60.0
"""In an interaction that was begun, who has not been seen for so long is no longer among the states; the summary still
has them."""
MAXIMUM_INTERACTIONS = 32
MAXIMUM_PEOPLE = 256
"""In one interaction, and present; the one not seen for longest makes room."""
MAXIMUM_SUBJECT_BYTES = 256
"""Of mien_msgs/Satisfaction.subject, in UTF-8."""


@dataclass(frozen=True, slots=True)
class PersonSatisfaction:
    """One person in one window.

    Attributes:
        interaction_id: empty for a window that began by presence.
        subject: product or service; empty for a window that began by presence.
        face_id: the face seen last; empty in a summary over several faces of one person.
        person_id: enrolled person, or empty when unknown.
        state: score, level, confidence and the rest.
    """

    interaction_id: str
    subject: str
    face_id: str
    person_id: str
    state: SatisfactionState


@dataclass(frozen=True, slots=True)
class InteractionSummary:
    """How an interaction went.

    Attributes:
        subject: product or service.
        duration_s: from begin to end, seconds.
        people: everyone who was seen, the one seen last at the end.
    """

    subject: str
    duration_s: float
    people: list[PersonSatisfaction]


@dataclass(slots=True)
class _Person:
    face_id: str
    person_id: str
    window: SatisfactionWindow
    several_faces: bool = False


class _Interaction:
    """One subject and the windows of its people, the one not seen for longest first."""

    def __init__(
        self,
        labels: Sequence[str],
        parameters: SatisfactionParameters,
        subject: str = "",
        ids: Collection[str] = (),
        start_s: float | None = None,
        absence_timeout_s: float = math.inf,
    ) -> None:
        self.subject, self.start_s = subject, start_s
        self._labels, self._parameters, self._ids = labels, parameters, frozenset(ids)
        self._absence_timeout_s = absence_timeout_s
        self._people: dict[tuple[str, str], _Person] = {}
        self._ended: deque[PersonSatisfaction] = deque(maxlen=MAXIMUM_PEOPLE)

    def concerns(self, face_id: str, person_id: str) -> bool:
        return not self._ids or face_id in self._ids or (person_id != "" and person_id in self._ids)

    def window(self, face_id: str, person_id: str, stamp_s: float) -> SatisfactionWindow:
        """The window of a person, or of a face whose person is not known; a new one if need be."""
        person_id = person_id or self._person_of(face_id)
        as_face = self._take("face", face_id, stamp_s)
        person = self._take("person", person_id, stamp_s) or as_face
        if person is None:
            window = SatisfactionWindow(self._labels, self.subject, self._parameters, self.start_s)
            person = _Person(face_id, person_id, window)
        elif as_face is not None and as_face is not person:
            person.window.absorb(as_face.window)  # this face has been recognised only now
        person.several_faces |= person.face_id != face_id
        person.face_id, person.person_id = face_id, person_id
        self._people["person" if person_id else "face", person_id or face_id] = person
        if len(self._people) > MAXIMUM_PEOPLE:
            del self._people[next(iter(self._people))]
        return person.window

    def drop_absent(self, now_s: float) -> None:
        for key, person in list(self._people.items()):
            if person.window.absence_s(now_s) > self._absence_timeout_s:
                del self._people[key]
                self._end(person)

    def forget(self, person_id: str) -> None:
        self._people.pop(("person", person_id), None)
        for ended in [ended for ended in self._ended if ended.person_id == person_id]:
            self._ended.remove(ended)

    def take_ended(self) -> list[PersonSatisfaction]:
        ended = list(self._ended)
        self._ended.clear()
        return ended

    def states(
        self, interaction_id: str, now_s: float, name_faces: bool = True, seen_within_s: float = math.inf
    ) -> list[PersonSatisfaction]:
        return [
            PersonSatisfaction(
                interaction_id=interaction_id,
                subject=self.subject,
                face_id=person.face_id if name_faces or not person.several_faces else "",
                person_id=person.person_id,
                state=person.window.summary(now_s),
            )
            for person in self._people.values()
            if person.window.absence_s(now_s) <= seen_within_s
        ]

    def _person_of(self, face_id: str) -> str:
        """Who a face was recognised as before; a face does not change hands when it is not recognised once."""
        if ("face", face_id) in self._people:
            return ""
        latest_first = reversed(self._people.values())
        return next((person.person_id for person in latest_first if person.face_id == face_id), "")

    def _take(self, kind: str, name: str, stamp_s: float) -> _Person | None:
        person = self._people.pop((kind, name), None)
        if person is not None and person.window.absence_s(stamp_s) > self._absence_timeout_s:
            self._end(person)
            return None
        return person

    def _end(self, person: _Person) -> None:
        """Keep how it stood when the person was last seen: absence, which ended it, says nothing about before."""
        state = person.window.summary(person.window.last_seen_s)
        self._ended.append(PersonSatisfaction("", self.subject, person.face_id, person.person_id, state))


class Interactions:
    """All interaction windows: those begun for a subject, and one without a subject for everybody who is present.

    A window by presence begins when a face appears and ends after `ABSENCE_TIMEOUT_S` unseen. Windows belong to the
    person where known, else to the face, and follow when a face is recognised. All times are seconds on the clock of
    the image stamps. Used by one thread at a time.

    Args:
        labels: class labels in the order of the probabilities; none for a model without classes.
        parameters: constants of the formula.
    """

    def __init__(self, labels: Sequence[str], parameters: SatisfactionParameters) -> None:
        self._labels, self._parameters = tuple(labels), parameters
        self._present = _Interaction(self._labels, parameters, absence_timeout_s=ABSENCE_TIMEOUT_S)
        self._begun: dict[str, _Interaction] = {}

    def begin(self, subject: str, ids: Collection[str], now_s: float) -> str:
        """Begin an interaction about a subject and return its id, opaque and never given again.

        Args:
            subject: product or service, 1 to `MAXIMUM_SUBJECT_BYTES` bytes.
            ids: people or faces it is about, at most `MAXIMUM_PEOPLE`; empty: everyone seen.
            now_s: when it begins.

        Raises:
            MienError: the subject is empty or too long, there are too many ids, or too many interactions are open.
        """
        size = len(subject.encode(errors="replace"))
        if not subject.strip() or size > MAXIMUM_SUBJECT_BYTES:
            raise MienError(
                f"The subject of an interaction has {size} bytes" if subject.strip() else "The subject is empty",
                f"Name the product or service in 1 to {MAXIMUM_SUBJECT_BYTES} bytes",
            )
        if len(ids) > MAXIMUM_PEOPLE:
            raise MienError(
                f"The interaction {subject!r} names {len(ids)} people",
                f"Name at most {MAXIMUM_PEOPLE}, or nobody for everyone seen",
            )
        if len(self._begun) >= MAXIMUM_INTERACTIONS:
            oldest_id, oldest = next(iter(self._begun.items()))
            raise MienError(
                f"{MAXIMUM_INTERACTIONS} interactions are open",
                f"End one before beginning another; the oldest is {oldest_id} about {oldest.subject!r}",
            )
        interaction_id = f"i{uuid.uuid4().hex}"
        self._begun[interaction_id] = _Interaction(self._labels, self._parameters, subject, ids, now_s)
        return interaction_id

    def end(self, interaction_id: str, now_s: float) -> InteractionSummary:
        """End an interaction and sum it up, one entry per person seen.

        Raises:
            MienError: there is no open interaction of that id.
        """
        interaction = self._begun.pop(interaction_id, None)
        if interaction is None:
            raise MienError(
                f"There is no open interaction {interaction_id[:64]!r}",
                "Give the id that beginning it returned; an interaction ends only once",
            )
        people = interaction.states(interaction_id, now_s, name_faces=False)
        started_s = now_s if interaction.start_s is None else interaction.start_s
        durations_s = [person.state.duration_s for person in people]
        return InteractionSummary(interaction.subject, max([0.0, now_s - started_s, *durations_s]), people)

    def observe(
        self,
        face_id: str,
        person_id: str,
        stamp_s: float,
        probabilities: NDArray[np.float32],
        valence: float,
        confidence: float,
    ) -> None:
        """Add what one image shows of a face to every window it belongs to; see `SatisfactionWindow.observe`.

        Args:
            face_id: the tracked face.
            person_id: the enrolled person, or empty when unknown.
            stamp_s: when the image was taken.
            probabilities: (labels,), sums to 1.
            valence: -1 to 1, or NaN.
            confidence: 0 to 1.
        """
        for interaction in (self._present, *self._begun.values()):
            if interaction.concerns(face_id, person_id):
                interaction.window(face_id, person_id, stamp_s).observe(stamp_s, probabilities, valence, confidence)

    def states(self, now_s: float) -> list[PersonSatisfaction]:
        """The state of every open window, except those of people gone for long.

        Windows by presence end then (`ABSENCE_TIMEOUT_S`); begun ones wait for their summary (`BEGUN_ABSENCE_S`).
        """
        self._present.drop_absent(now_s)
        result = self._present.states("", now_s)
        for interaction_id, interaction in self._begun.items():
            result += interaction.states(interaction_id, now_s, seen_within_s=BEGUN_ABSENCE_S)
        return result

    def ended(self, now_s: float) -> list[PersonSatisfaction]:
        """The windows by presence that have ended since the last call, each as it stood when its person was last seen.

        Args:
            now_s: seconds; infinity ends all of them.
        """
        self._present.drop_absent(now_s)
        return self._present.take_ended()

    def forget(self, person_id: str) -> None:
        """Drop all windows of a person; the face begins anew as nobody's."""
        for interaction in (self._present, *self._begun.values()):
            interaction.forget(person_id)
