"""Which head answers for which face: the person's own, one of the person's groups, the place's, or the base head."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from mien.expression.head import Head
from mien.expression.recogniser import BASE_HEAD, HeadInUse, HeadsInUse
from mien.personal.messages import Person, StoredHead
from mien.personal.samples import BaseHead


class HeadLookup:
    """Keeps the heads in use and who is who, and hands over what follows from them. For any thread.

    A person's head is looked up as person → groups and places of the person, in their order → the place where the robot
    is → base head; a face that is nobody's has the place's or the base head.

    Args:
        base: the bundle's own head, whose shapes all others have.
        hand_over: is given the heads whenever they have changed, one call at a time; must be short.
    """

    def __init__(self, base: BaseHead, hand_over: Callable[[HeadsInUse], None]) -> None:
        self._base, self._hand_over = base, hand_over
        self._lock = threading.RLock()
        self._heads: dict[str, tuple[Head, int]] = {}  # by owner, with the version
        self._groups: dict[str, tuple[str, ...]] = {}  # of each enrolled person, group and place
        self._persons: dict[str, str] = {}  # by face
        self._place = ""

    def replace_all(self, people: Iterable[Person], heads: Iterable[StoredHead]) -> None:
        """Everyone who is enrolled, and all heads in use.

        Raises:
            MienError: a head cannot be used.
        """
        made = {one.owner_id: made for one in heads if (made := self._made(one)) is not None}
        with self._lock:
            self._groups = {one.person_id: one.groups for one in people}
            self._heads = made
            self._persons = {face: person for face, person in self._persons.items() if person in self._groups}
            self._changed()

    def put_person(self, person: Person) -> None:
        """Somebody was enrolled, or belongs to other groups now."""
        with self._lock:
            self._groups[person.person_id] = person.groups
            self._changed()

    def put_head(self, stored: StoredHead) -> None:
        """Another head is in use; version 0 is the base head. One of somebody who is not enrolled any more is left out.

        Raises:
            MienError: it cannot be used; the present one goes on.
        """
        made = self._made(stored)
        with self._lock:
            if made is None:
                self._heads.pop(stored.owner_id, None)
            elif stored.owner_id in self._groups:
                self._heads[stored.owner_id] = made
            self._changed()

    def forget(self, owner_id: str) -> None:
        """Drop a person, group or place: nobody's face and no head is theirs any more."""
        with self._lock:
            self._groups.pop(owner_id, None)
            self._heads.pop(owner_id, None)
            self._persons = {face: person for face, person in self._persons.items() if person != owner_id}
            self._changed()

    def assign(self, persons: Mapping[str, str]) -> None:
        """Say whose some faces are, by face id; who is empty or not enrolled is nobody."""
        with self._lock:
            before = dict(self._persons)
            for face_id, person_id in persons.items():
                if person_id in self._groups:
                    self._persons[face_id] = person_id
                else:
                    self._persons.pop(face_id, None)
            if self._persons != before:
                self._changed()

    def drop_faces(self, is_known: Callable[[str], bool]) -> None:
        """Drop the faces that are gone for good."""
        with self._lock:
            gone = [face_id for face_id in self._persons if not is_known(face_id)]
        self.assign(dict.fromkeys(gone, ""))

    def set_place(self, place: str) -> None:
        """Where the robot is: the id of an enrolled place, or empty."""
        with self._lock:
            self._place = place
            self._changed()

    @property
    def place(self) -> str:
        """Where the robot is."""
        return self._place

    def is_enrolled(self, owner_id: str) -> bool:
        """Whether somebody is enrolled under this id."""
        return owner_id in self._groups

    def person_of(self, face_id: str) -> str:
        """Whose face it is; empty when unknown."""
        return self._persons.get(face_id, "")

    def faces_of(self, person_id: str) -> list[str]:
        """The faces that are taken for a person."""
        return [face_id for face_id, one in dict(self._persons).items() if one == person_id]

    @property
    def counts(self) -> tuple[int, int]:
        """How many people, groups and places are enrolled, and how many of them have a head of their own in use."""
        return len(self._groups), len(self._heads)

    def _made(self, stored: StoredHead) -> tuple[Head, int] | None:
        tensors = stored.tensors()
        if tensors is None:
            return None
        base = self._base
        return Head(base.spec, tensors, len(base.labels), base.embedding_size), stored.version

    def _changed(self) -> None:
        """Hand over; the lock is held, so that what was true last is what is handed over last."""
        place = self._head_of("", (self._place,))
        by_face = {face_id: self._of_person(person_id) for face_id, person_id in self._persons.items()}
        self._hand_over(HeadsInUse(by_face, place))

    def _of_person(self, person_id: str) -> HeadInUse:
        return self._head_of(person_id, (person_id, *self._groups[person_id], self._place))

    def _head_of(self, person_id: str, owners: Iterable[str]) -> HeadInUse:
        """The first owner's head that there is."""
        for owner in owners:
            if owner in self._heads:
                head, version = self._heads[owner]
                return HeadInUse(head, version, person_id, is_personal=owner == person_id)
        return HeadInUse(person_id=person_id) if person_id else BASE_HEAD
