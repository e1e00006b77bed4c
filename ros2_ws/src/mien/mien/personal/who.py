"""Who the faces in view are: looks at them now and then, off the camera path, and names them by the gallery."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import numpy as np

from mien.bundle import IdentitySpec
from mien.faces.detector import Image
from mien.faces.identity import IdentityNetwork
from mien.faces.quality import Unfit, fit_face
from mien.personal.gallery import MOST_LOOKS, FaceNames, Gallery
from mien.personal.messages import Identity
from mien.personal.samples import Array
from mien.pipeline import FaceAffect
from mien.runtime.backend import BackendOptions

FIRST_LOOKS_EVERY_S = 0.2
LATER_LOOKS_EVERY_S = 2.0
"""A look takes about 14 ms of one core: a new face gets some soon, then one now and then."""


class WhoIsWho:
    """Names faces by an identity network. `look` is called by one thread at a time, everything else by any.

    Args:
        model: the network's ONNX file.
        spec: of the network.
        options: what runs it.

    Raises:
        MienError: the network cannot be loaded.
    """

    def __init__(self, model: bytes, spec: IdentitySpec, options: BackendOptions) -> None:
        self._network, self._spec = IdentityNetwork(model, spec, options), spec
        self._lock = threading.Lock()  # of what follows; never held while the network runs
        self._gallery = Gallery(spec.threshold)
        self._enrolled: set[str] = set()
        self._names = FaceNames(self._gallery)
        self._due_s: dict[str, float] = {}  # by face, when it is looked at next
        self._unfit: dict[str, str] = {}  # by face, why it could not be looked at last

    @property
    def network_id(self) -> str:
        """Which network it is: the looks of different ones cannot be compared."""
        return self._network.id

    @property
    def runtime(self) -> str:
        """What runs the network, for people."""
        return self._network.runtime

    @property
    def problem(self) -> str | None:
        """Why it does not run where it should; None when all is well."""
        return self._network.problem

    def look(self, image: Image, faces: Sequence[FaceAffect], time_s: float) -> dict[str, str]:
        """Look at the one face of an image that has waited for longest, if any is due; returns who all of them are.

        Args:
            image: uint8 (H, W, 3) BGR or (H, W) grey.
            faces: in it.
            time_s: of the image, seconds.

        Returns:
            The person of each face, "" for unknown.
        """
        waiting = [(due_s, face) for face in faces if (due_s := self._due_s.get(face.face_id, -np.inf)) <= time_s]
        # Between two detections, landmarks only follow the box.
        waiting = [(due_s, face) for due_s, face in waiting if not face.box_is_predicted]
        if waiting:
            self._look_at(image, min(waiting, key=lambda one: one[0])[1], time_s)
        with self._lock:
            return self._names.name([face.face_id for face in faces])

    def looks(self, face_id: str) -> Array:
        """The latest looks at a face, float32 (looks, size): what its person is enrolled with; (0, 0) without any."""
        with self._lock:
            return self._names.looks(face_id)

    def unfit(self, face_id: str) -> str:
        """Why a face could not be looked at, for people to read; empty when it could, or was not tried yet."""
        return self._unfit.get(face_id, "")

    def replace_all(self, identities: Iterable[Identity]) -> None:
        """Everyone who is enrolled with this network.

        Raises:
            MienError: one cannot be used.
        """
        looks: dict[str, list[Array]] = {}
        for one in identities:
            looks.setdefault(one.person_id, []).append(np.frombuffer(one.embedding, "<f4"))
        with self._lock:
            for person_id in self._enrolled - looks.keys():
                self._gallery.remove(person_id)
            self._enrolled = set(looks)
            for person_id, embeddings in looks.items():
                self._gallery.put(person_id, np.stack(embeddings))

    def forget(self, person_id: str) -> None:
        """Drop a person."""
        with self._lock:
            self._gallery.remove(person_id)
            self._enrolled.discard(person_id)

    def drop_face(self, face_id: str) -> None:
        """A face that is gone for good, or whose looks are to be forgotten."""
        with self._lock:
            self._names.drop(face_id)
            self._due_s.pop(face_id, None)
            self._unfit.pop(face_id, None)

    def faces(self) -> list[str]:
        """Every face that was looked at and not dropped."""
        with self._lock:
            return list(self._due_s)

    def close(self) -> None:
        """Free the network."""
        self._network.close()

    def _look_at(self, image: Image, face: FaceAffect, time_s: float) -> None:
        fit = fit_face(image, face.landmarks, face.detection_confidence, self._spec)
        embedding = None if isinstance(fit, Unfit) else self._network.embed(fit)
        with self._lock:
            if isinstance(fit, Unfit):
                self._unfit[face.face_id] = fit.reason
            elif embedding is not None:
                self._unfit.pop(face.face_id, None)
                self._names.observe(face.face_id, embedding)
            few = len(self._names.looks(face.face_id)) < MOST_LOOKS
            self._due_s[face.face_id] = time_s + (FIRST_LOOKS_EVERY_S if few else LATER_LOOKS_EVERY_S)
