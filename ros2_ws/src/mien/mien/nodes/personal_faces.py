"""Whose the faces are: by enrolment, then by an identity network or by what another node says (REP-155)."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from rclpy.node import Node

from mien.bundle import Bundle
from mien.errors import MienError
from mien.faces.detector import Image
from mien.models.identity import find_identity
from mien.nodes.rep155_matches import CandidateMatches
from mien.personal.lookup import HeadLookup
from mien.personal.messages import Identity, Kind, Person
from mien.personal.moments import Moments
from mien.personal.samples import Array
from mien.personal.who import WhoIsWho
from mien.pipeline import FaceAffect
from mien.runtime.backend import BackendOptions


class FacePersons:
    """Tells lookup and moments whose the faces are. `look` is called by one thread at a time, everything else by any.

    Args:
        node: subscribes, where another node says who is who.
        bundle: may have an identity network.
        options: what runs that.
        identity: auto, rep155 or off, as the node's parameter.
        lookup: is told.
        moments: are told, and know which faces are gone.

    Attributes:
        recognition: what recognises people, or why nothing does, for people to read.
        network_id: which identity network it is; empty without one.
    """

    def __init__(
        self, node: Node, bundle: Bundle, options: BackendOptions, identity: str, lookup: HeadLookup, moments: Moments
    ) -> None:
        self._lookup, self._moments = lookup, moments
        self._turn = threading.Lock()  # of those who replace the following
        self._by_hand: Mapping[str, str] = {}  # the person that each face was enrolled as; replaced as a whole
        self._who: WhoIsWho | None = None
        self._matches: CandidateMatches | None = None
        self.recognition, self.network_id = "off", ""
        self._problem: str | None = None
        try:
            if identity == "rep155":
                self._matches = CandidateMatches(node, self._assign)
                self.recognition = "REP-155"
            elif identity == "auto":
                self._who = WhoIsWho(*find_identity(bundle), options)
                self.recognition, self.network_id = self._who.runtime, self._who.network_id
        except MienError as error:  # people are still known while the face that they were enrolled with is in view
            self.recognition = f"off: {error}"
            self._problem = str(error) if identity == "rep155" else None

    @property
    def problem(self) -> str | None:
        """Why people are not recognised as was asked for; None when all is well."""
        return self._problem if self._who is None else self._who.problem

    def look(self, image: Image, faces: Sequence[FaceAffect], now_s: float) -> None:
        """Recognise the faces of an image, where a network does."""
        if self._who is not None:
            self._assign(self._who.look(image, faces, now_s))

    def looks(self, face_id: str) -> Sequence[Array]:
        """What a person is enrolled with who has this face."""
        return [] if self._who is None else list(self._who.looks(face_id))

    def enrolled(self, person: Person, face_id: str) -> None:
        """Somebody was enrolled, with that face or without one."""
        if face_id and person.kind is Kind.PERSON:
            with self._turn:
                self._by_hand = {**self._by_hand, face_id: person.person_id}
            self._assign({face_id: person.person_id})
        if self._matches is not None:
            self._assign(self._matches.persons())

    def note(self, person: Person, face_id: str) -> str:
        """What should be known of an enrolment that succeeded, for people to read; empty when all is well."""
        if person.kind is not Kind.PERSON or self._matches is not None or person.identities:
            return ""
        if not face_id:
            return "Cannot be recognised without a face: enroll the person again with the face_id of a face in view"
        if self._who is None:
            return f"Known while this face stays in view and no longer: recognition is {self.recognition}"
        why = self._who.unfit(face_id) or "it has not been looked at yet"
        return f"Known while this face stays in view and no longer: {why}. Enroll again, near and facing the camera"

    def replace_all(self, identities: Sequence[Identity]) -> None:
        """Everyone who is enrolled with the identity network.

        Raises:
            MienError: one cannot be used.
        """
        if self._who is not None:
            self._who.replace_all(identities)

    def forget(self, person_id: str) -> None:
        """Drop a person, and the looks at the person's faces."""
        faces = self._lookup.faces_of(person_id)
        with self._turn:
            self._by_hand = {face: person for face, person in self._by_hand.items() if person != person_id}
        if self._who is not None:
            self._who.forget(person_id)
            for face_id in faces:
                self._who.drop_face(face_id)

    def drop_gone(self, now_s: float) -> None:
        """Drop the faces that do not come back."""
        self._moments.drop_old(now_s)

        def is_known(face_id: str) -> bool:
            return self._moments.is_known(face_id, now_s)

        self._lookup.drop_faces(is_known)
        with self._turn:
            self._by_hand = {face_id: person for face_id, person in self._by_hand.items() if is_known(face_id)}
        if self._who is not None:
            for face_id in self._who.faces():
                if not is_known(face_id):
                    self._who.drop_face(face_id)

    def close(self) -> None:
        """Free the network, stop listening."""
        if self._matches is not None:
            self._matches.close()
        if self._who is not None:
            self._who.close()

    def _assign(self, persons: Mapping[str, str]) -> None:
        """Say whose faces are; who was enrolled with one of them has that face, and no other of the same image."""
        by_hand = self._by_hand
        taken = {by_hand[face_id] for face_id in persons if face_id in by_hand}
        whose = {
            face_id: by_hand.get(face_id) or ("" if person_id in taken else person_id)
            for face_id, person_id in persons.items()
        }
        self._lookup.assign(whose)
        for face_id in whose:
            self._moments.belongs(face_id, self._lookup.person_of(face_id))
