"""Whose face this is: identity embeddings of enrolled people, and the name of a tracked face by several looks at it."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mien.errors import MienError
from mien.personal.samples import Array

LEAST_LOOKS = 2
"""At a face before it gets a name: their mean is far more alike than one, at the same rate of false names."""
MOST_LOOKS = 8
"""At a face, the latest: what its name is decided by, and what its person is enrolled with."""
HYSTERESIS = 0.1
"""How much less similar a face may become before it loses the name that it has."""
LEAST_MARGIN = 0.1
"""A face that is about as similar to two people is neither: what keeps those apart who look alike."""
OTHER_FACE = 0.35
"""Less similar to the looks before, a look shows another face, a hand or a blur: of rendered people it is 1 in 40 of
their own and half of others', of real ones nearly all of others'."""
MOST_FACES = 256


class Match(NamedTuple):
    """What a gallery says of a face.

    Attributes:
        person_id: the person; empty when unknown.
        similarity: to the most similar person, −1 to 1; −1 with an empty gallery.
        margin: by how much that is more than to the second, 0 to 2; 2 where there is no second.
    """

    person_id: str
    similarity: float
    margin: float


class Gallery:
    """Identity embeddings of enrolled people; used by one thread at a time.

    A face is compared with the mean of a person's looks.

    Args:
        threshold: lowest similarity at which a face is taken for a person, −1 to 1; the identity network's spec has it.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._people: dict[str, Array] = {}

    def put(self, person_id: str, embeddings: Array) -> None:
        """Enrol a person, or replace what was enrolled.

        Args:
            person_id: not empty.
            embeddings: float32 (looks, size), each of length 1, one or more looks.

        Raises:
            MienError: they are none, not finite, or of another size than those of other people.
        """
        sizes = {len(mean) for other, mean in self._people.items() if other != person_id}
        if len(embeddings) == 0 or not np.isfinite(embeddings).all() or sizes - {embeddings.shape[1]}:
            raise MienError(
                f"The identity of {person_id} cannot be used: {embeddings.shape[0]} looks of {embeddings.shape[1:]} "
                "numbers, or numbers that are not finite",
                "Enrol the person again with this identity network",
            )
        self._people[person_id] = _unit(embeddings.mean(axis=0))

    def remove(self, person_id: str) -> None:
        """Forget a person; nothing happens when unknown."""
        self._people.pop(person_id, None)

    def match(self, embedding: Array, favoured: str = "") -> Match:
        """The person that an embedding (size,) of length 1 belongs to.

        Args:
            embedding: of a face.
            favoured: the person that it was taken for until now, kept down to `HYSTERESIS` below the threshold.
        """
        if not self._people:
            return Match("", -1.0, 2.0)
        people = list(self._people)
        similarities = np.stack(list(self._people.values())) @ embedding
        best, *others = np.argsort(-similarities, kind="stable").tolist()
        similarity = float(similarities[best])
        margin = similarity - float(similarities[others[0]]) if others else 2.0
        is_same = people[best] == favoured
        known = similarity >= self.threshold - HYSTERESIS * is_same and (is_same or margin >= LEAST_MARGIN)
        return Match(people[best] if known else "", similarity, margin)


class _Face:
    """A tracked face: its latest looks, and the person that it was last taken for."""

    def __init__(self) -> None:
        self.looks: deque[Array] = deque(maxlen=MOST_LOOKS)
        self.odd: list[Array] = []
        self.person_id = ""

    @property
    def mean(self) -> Array:
        return _unit(np.mean(self.looks, axis=0))

    def look(self, embedding: Array) -> None:
        """One odd look is left out; from the second in a row on, the tracker has put another face in its place."""
        if not self.looks or float(self.mean @ embedding) >= OTHER_FACE:
            self.looks.append(embedding)
            self.odd.clear()
            return
        self.odd.append(embedding)
        if len(self.odd) >= LEAST_LOOKS:
            self.looks.clear()
            self.looks.extend(self.odd)
            self.odd.clear()
            self.person_id = ""


class FaceNames:
    """Which person each tracked face belongs to; used by one thread at a time.

    The `MOST_FACES` faces looked at last are remembered.

    Args:
        gallery: of enrolled people; may change at any time.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._faces: OrderedDict[str, _Face] = OrderedDict()

    def observe(self, face_id: str, embedding: Array) -> None:
        """One more look at a face: its embedding (size,) of length 1."""
        self._faces.setdefault(face_id, _Face()).look(embedding)
        self._faces.move_to_end(face_id)
        if len(self._faces) > MOST_FACES:
            self._faces.popitem(last=False)

    def looks(self, face_id: str) -> Array:
        """The latest looks at a face, float32 (looks, size), at most `MOST_LOOKS`; (0, 0) without any.

        Faces with few looks are worth the next one; a person is enrolled with all of them.
        """
        face = self._faces.get(face_id)
        return np.stack(face.looks) if face is not None else np.empty((0, 0), np.float32)

    def name(self, in_view: Sequence[str]) -> dict[str, str]:
        """The person of each face that one image shows, "" for unknown.

        No person appears twice: of several faces the most similar one is that person, the others stay unknown.
        """
        matches = {face_id: self._match(face_id) for face_id in in_view}
        names = dict.fromkeys(in_view, "")
        taken: set[str] = set()
        for face_id in sorted(matches, key=lambda one: -matches[one].similarity):
            person_id = matches[face_id].person_id
            if person_id not in taken:
                names[face_id] = person_id
                taken.update({person_id} - {""})
            if face_id in self._faces:
                self._faces[face_id].person_id = names[face_id]
        return names

    def drop(self, face_id: str) -> None:
        """A face that is gone for good."""
        self._faces.pop(face_id, None)

    def _match(self, face_id: str) -> Match:
        face = self._faces.get(face_id)
        if face is None or len(face.looks) < LEAST_LOOKS:
            return Match("", -1.0, 2.0)
        return self._gallery.match(face.mean, face.person_id)


def _unit(vector: Array) -> Array:
    """The vector at length 1."""
    return np.asarray(vector / (float(np.linalg.norm(vector)) or 1.0), np.float32)
