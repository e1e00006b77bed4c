"""What faces showed a moment ago: what a label given now, or the answer to a question, belongs to."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mien.errors import MienError
from mien.personal.samples import Array
from mien.pipeline import FaceAffect

NOW_WITHIN_S = 5.0
"""What a face shows "now" is no older than this: so long after it left, its last moment can still be labelled."""
KEPT_S = 60.0
"""How long a moment that was asked about or labelled is kept, and how long one knows of a face that left."""
MAXIMUM_FACES = 256
MAXIMUM_KEPT = 1024
"""Of faces and of kept moments; the oldest make room."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One face in one image.

    Attributes:
        sample_id: opaque, never given again.
        face_id: the tracked face.
        person_id: enrolled person, or empty when unknown.
        time_s: of the image, seconds on the clock that says what "now" is.
        stamp_s: of the image, seconds since 1970: what is stored with a label.
        embedding: float32 (D,).
        prediction: float32 (P,), what the head in use said: probabilities, valence and arousal, or some of these.
    """

    sample_id: str
    face_id: str
    person_id: str
    time_s: float
    stamp_s: float
    embedding: Array
    prediction: Array


class Moments:
    """The latest moment of each face, and those that somebody was asked about or has labelled. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[str, Moment] = {}  # by face, the one seen longest ago first
        self._kept: dict[str, Moment] = {}  # by sample, the oldest first

    def see(self, faces: Sequence[FaceAffect], time_s: float, stamp_s: float) -> list[Moment]:
        """Take note of the faces of one image; returns what they show."""
        moments = [moment_of(face, time_s, stamp_s) for face in faces]
        with self._lock:
            for moment in moments:
                self._latest.pop(moment.face_id, None)
                self._latest[moment.face_id] = moment
            while len(self._latest) > MAXIMUM_FACES:
                del self._latest[next(iter(self._latest))]
        return moments

    def keep(self, moment: Moment) -> None:
        """Let the moment be found by its sample id from now on, until `KEPT_S` after it was."""
        with self._lock:
            self._kept[moment.sample_id] = moment
            while len(self._kept) > MAXIMUM_KEPT:
                del self._kept[next(iter(self._kept))]

    def kept(self, sample_id: str, now_s: float) -> Moment | None:
        """The kept moment of that id; None where it is not kept (any more)."""
        with self._lock:
            found = self._kept.get(sample_id)
        return None if found is None or now_s - found.time_s > KEPT_S else found

    def find(self, face_id: str, person_id: str, now_s: float) -> Moment:
        """What somebody shows now.

        Args:
            face_id: whose face; or empty.
            person_id: with an empty face id: who.
            now_s: on the clock of the moments' `time_s`.

        Raises:
            MienError: there is no such moment, or it is too old.
        """
        with self._lock:
            seen = reversed(self._latest.values())
            if face_id:
                found = self._latest.get(face_id)
            elif person_id:
                found = next((moment for moment in seen if moment.person_id == person_id), None)
            else:
                raise MienError("Nothing says whose moment it is", "Give a sample_id, face_id or person_id")
        who = f"Face {face_id[:64]!r}" if face_id else f"Person {person_id[:64]!r}"
        if found is None or now_s - found.time_s > KEPT_S:
            raise MienError(f"{who} is not in view and was not within the last {KEPT_S:g} s", "Label who is in view")
        if now_s - found.time_s > NOW_WITHIN_S:
            raise MienError(
                f"{who} left {now_s - found.time_s:.0f} s ago",
                f"A label of what is shown now is taken until {NOW_WITHIN_S:g} s after; label who is in view",
            )
        return found

    def is_known(self, face_id: str, now_s: float) -> bool:
        """Whether the face was seen within the last `KEPT_S`: it may come back."""
        with self._lock:
            found = self._latest.get(face_id)
        return found is not None and now_s - found.time_s <= KEPT_S

    def drop_old(self, now_s: float) -> None:
        """Let go of the moments that nobody can label any more, and of the faces that left."""
        with self._lock:
            for moments in (self._latest, self._kept):
                for key in [key for key, moment in moments.items() if now_s - moment.time_s > KEPT_S]:
                    del moments[key]

    def belongs(self, face_id: str, person_id: str) -> None:
        """Let a face's latest moment be that person's; empty: nobody's."""
        with self._lock:
            if face_id in self._latest:
                self._latest[face_id] = replace(self._latest[face_id], person_id=person_id)

    def forget(self, person_id: str) -> None:
        """Drop what a person showed."""
        with self._lock:
            for moments in (self._latest, self._kept):
                for key in [key for key, moment in moments.items() if moment.person_id == person_id]:
                    del moments[key]


def moment_of(face: FaceAffect, time_s: float, stamp_s: float) -> Moment:
    """What a face shows, with an id that is drawn, not counted: it says nothing about when or of whom."""
    told = np.array([*face.probabilities_raw, face.valence, face.arousal], np.float32)
    prediction = told[np.isfinite(told)]
    sample_id = f"s{uuid.uuid4().hex}"
    return Moment(sample_id, face.face_id, face.person_id, time_s, stamp_s, face.embedding, prediction)
