"""Whose face this is: identity embeddings of enrolled people, and the name of a tracked face by several looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mien.runtime.backend import Array


class Match(NamedTuple):
    """What a gallery says of a face.

    Attributes:
        person_id: the person; empty when unknown.
        similarity: to the most similar person, −1 to 1; −1 with an empty gallery.
        margin: by how much that is more than to the second; 2 where there is no second.
    """

    person_id: str
    similarity: float
    margin: float


class Gallery:
    """Identity embeddings of enrolled people; used by one thread at a time.

    Args:
        threshold: lowest similarity at which a face is taken for a person, −1 to 1.
    """

    def __init__(self, threshold: float) -> None:
        raise NotImplementedError

    def put(self, person_id: str, embeddings: Array) -> None:
        """Enrol a person, or replace what was enrolled.

        Args:
            person_id: not empty.
            embeddings: float32 (looks, size), each of length 1, one or more looks.

        Raises:
            MienError: they are of another size than those of other people, or not finite.
        """
        raise NotImplementedError

    def remove(self, person_id: str) -> None:
        """Forget a person; nothing happens when unknown."""
        raise NotImplementedError

    def match(self, embedding: Array) -> Match:
        """The person that an embedding (size,) of length 1 belongs to."""
        raise NotImplementedError


class FaceNames:
    """Which person each tracked face belongs to; used by one thread at a time.

    Args:
        gallery: of enrolled people; may change at any time.
    """

    def __init__(self, gallery: Gallery) -> None:
        raise NotImplementedError

    def observe(self, face_id: str, embedding: Array) -> None:
        """One more look at a face: its embedding (size,) of length 1."""
        raise NotImplementedError

    def looks(self, face_id: str) -> int:
        """How often a face was looked at: those with few looks are worth the next one."""
        raise NotImplementedError

    def embeddings(self, face_id: str) -> Array:
        """The latest looks at a face, float32 (looks, size): what its person is enrolled with."""
        raise NotImplementedError

    def name(self, in_view: Sequence[str]) -> dict[str, str]:
        """The person of each face that one image shows, "" for unknown; no person appears twice.

        Call it per camera. Faces that are in no camera's view any more are dropped with `drop`.
        """
        raise NotImplementedError

    def drop(self, face_id: str) -> None:
        """A face that is gone for good."""
        raise NotImplementedError
