"""From faces to expressions: crops into one batch, backbone, head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.bundle import Bundle
from mien.errors import MienError
from mien.expression.circumplex import circumplex
from mien.expression.head import Head
from mien.faces.crop import crop_square, write_crop
from mien.faces.detector import Box, Image
from mien.networks import backbone_model
from mien.runtime.backend import BackendOptions, load_network

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FaceInImage:
    """Where a face is: image, box and, where the bundle locates them, 68 landmarks (float32 (68, 2), pixels)."""

    image: Image
    box: Box
    landmarks: Array | None = None


@dataclass(frozen=True, slots=True)
class HeadInUse:
    """The head that answers for a face, and whose face it is.

    Attributes:
        head: None: the base head, whichever that is when the face is read.
        version: 0 is the bundle's own; base heads are counted as they were given, the others as they were learned.
        person_id: who the face belongs to; empty when unknown.
        is_personal: the head is that person's own, not one of a group or place or the base head.
    """

    head: Head | None = None
    version: int = 0
    person_id: str = ""
    is_personal: bool = False


BASE_HEAD = HeadInUse()
"""For a face that is nobody's."""


@dataclass(frozen=True, slots=True)
class HeadsInUse:
    """Whose the faces are and which heads answer for them; not to be changed, only replaced as a whole.

    Attributes:
        by_face: by face id.
        otherwise: for every other face.
    """

    by_face: Mapping[str, HeadInUse] = field(default_factory=dict)
    otherwise: HeadInUse = BASE_HEAD

    def of(self, face_id: str) -> HeadInUse:
        """The head that answers for a face."""
        return self.by_face.get(face_id, self.otherwise)


@dataclass(frozen=True, slots=True)
class Recognition:
    """What N faces express.

    Attributes:
        probabilities: float32 (N, labels), rows sum to 1; (N, 0) where the bundle has no classes.
        valence: float32 (N,), -1 to 1; NaN where the bundle gives none.
        arousal: float32 (N,), -1 to 1; NaN where the bundle gives none.
        part_confidences: float32 (N, parts), 0 to 1; (N, 0) for heads of one part.
        embeddings: float32 (N, embedding size): what a personal head learns from.
        heads: which head answered for each face; none is None.
    """

    probabilities: Array
    valence: Array
    arousal: Array
    part_confidences: Array
    embeddings: Array
    heads: tuple[HeadInUse, ...]


class _Told(NamedTuple):
    """What heads tell of faces, as in Recognition."""

    probabilities: Array
    valence: Array
    arousal: Array
    part_confidences: Array


class Recogniser:
    """The expression network of a bundle; used by one thread at a time.

    Args:
        bundle: the opened bundle.
        options: what runs the backbone.

    Raises:
        MienError: a file is damaged, or backbone, head and manifest do not fit each other.
    """

    def __init__(self, bundle: Bundle, options: BackendOptions) -> None:
        manifest = bundle.manifest
        self._bundle = bundle
        self._crop = manifest.backbone.crop
        self._input = manifest.backbone.input
        self._batch = np.empty((0, self._input.depth, self._input.height, self._input.width), np.float32)
        self._base, self._heads_given = HeadInUse(bundle.load_head()), 0
        self._network = load_network(backbone_model(bundle, options.precision), options)
        with ExitStack() as on_error:
            on_error.callback(self._network.close)
            self._check_outputs()
            on_error.pop_all()

    @property
    def runtime(self) -> str:
        """What runs the backbone, for people."""
        return self._network.runtime

    @property
    def head(self) -> Head:
        """The base head: it answers for every face that has no head of its own."""
        assert self._base.head is not None  # noqa: S101
        return self._base.head

    def exchange_head(self, path: Path | None) -> None:
        """Let another base head answer from the next batch on; the backbone is not touched. For any thread.

        Args:
            path: as in `Bundle.load_head`.

        Raises:
            MienError: the new head cannot be used; the present one goes on.
        """
        head = self._bundle.load_head(path)
        self._heads_given += path is not None
        self._base = HeadInUse(head, self._heads_given if path is not None else 0)  # at once: a batch has one of them

    @property
    def problem(self) -> str | None:
        """Why the backbone does not run where it should; None when all is well."""
        return self._network.problem

    def prepare(self, faces: Sequence[FaceInImage]) -> Array:
        """Cut the faces out into one float32 batch (N, C, H, W); the next call reuses its memory."""
        if len(faces) > len(self._batch):
            self._batch = np.empty((len(faces), *self._batch.shape[1:]), np.float32)
        for slot, face in zip(self._batch, faces, strict=False):
            height, width = face.image.shape[:2]
            square = crop_square(self._crop, face.box, face.landmarks, width, height)
            write_crop(face.image, square, self._input, slot)
        return self._batch[: len(faces)]

    def classify(self, batch: Array, heads: Sequence[HeadInUse] = ()) -> Recognition:
        """Run the backbone on a batch from `prepare`, and on each face's embedding the head that is to answer for it.

        Args:
            batch: float32 (N, C, H, W).
            heads: of each face; none: the base head for all. Where one gives numbers that are not finite, the base head
                answers.

        Raises:
            MienError: backbone or base head gives numbers that are not finite.
        """
        embeddings = self._network.run(batch)[self._bundle.manifest.backbone.embedding_output]
        if not np.isfinite(embeddings).all():
            raise MienError(
                f"{self._bundle.path}: the backbone gives embeddings that are not finite",
                "Export the bundle again, or choose another precision",
            )
        base = self._base  # one for the whole batch
        answering = [_or_base(one, base) for one in heads or [BASE_HEAD] * len(batch)]
        told = self._tell_all(answering, base, embeddings)
        return Recognition(
            told.probabilities, told.valence, told.arousal, told.part_confidences, embeddings, tuple(answering)
        )

    def close(self) -> None:
        """Free the network."""
        self._network.close()

    def _tell_all(self, answering: list[HeadInUse], base: HeadInUse, embeddings: Array) -> _Told:
        """What each face's head tells of it. Where a head fails, the base head takes its place in `answering`."""
        rows_of: dict[int, list[int]] = {}
        for row, one in enumerate(answering):
            rows_of.setdefault(id(one.head), []).append(row)
        told = []
        for rows in rows_of.values():
            some = embeddings if len(rows) == len(embeddings) else embeddings[rows]
            own = self._tell(answering[rows[0]], some)
            if own is None:
                for row in rows:
                    answering[row] = _or_base(HeadInUse(person_id=answering[row].person_id), base)
                own = self._tell(base, some)
            if own is None:
                raise MienError(
                    f"{self._bundle.path}: the head gives numbers that are not finite",
                    "Export it again, or take another",
                )
            told.append(own)
        if len(told) == 1:
            return told[0]
        order = np.argsort(np.concatenate(list(rows_of.values())))
        return _Told(*(np.concatenate(parts)[order] for parts in zip(*told, strict=True)))

    def _tell(self, one: HeadInUse, embeddings: Array) -> _Told | None:
        """What one head tells; None where that is not finite."""
        assert one.head is not None  # noqa: S101
        prediction = one.head.predict(embeddings)
        told = (prediction.probabilities, prediction.valence, prediction.arousal)
        if not all(np.isfinite(values).all() for values in told if values is not None):
            return None
        valence, arousal = self._affect(*told)
        return _Told(prediction.probabilities, valence, arousal, prediction.part_confidences)

    def _affect(self, probabilities: Array, valence: Array | None, arousal: Array | None) -> tuple[Array, Array]:
        spec = self._bundle.manifest.valence_arousal
        if spec is None:
            unknown = np.full(len(probabilities), np.nan, np.float32)
            return unknown, unknown
        if spec.source == "circumplex":
            coordinates = np.array([spec.coordinates[label] for label in self._bundle.manifest.labels], np.float32)
            return circumplex(probabilities, coordinates)
        middle, half = (spec.low + spec.high) / 2, (spec.high - spec.low) / 2
        scaled = [np.clip((values - middle) / half, -1, 1) for values in (valence, arousal) if values is not None]
        return scaled[0], scaled[1]

    def _check_outputs(self) -> None:
        spec, where = self._bundle.manifest.backbone, self._bundle.path
        remedy = "Export the bundle again"
        expected = (spec.input.depth, spec.input.height, spec.input.width)
        shape = self._network.input_shape
        if len(shape) != 4 or any(
            found not in (None, wanted) for found, wanted in zip(shape[1:], expected, strict=True)
        ):
            raise MienError(f"{where}: the backbone takes {shape}, the manifest says (n, {expected})", remedy)
        if spec.embedding_output not in self._network.output_names:
            raise MienError(f"{where}: the backbone has no output {spec.embedding_output!r}", remedy)
        if shape[0] is not None:
            raise MienError(
                f"{where}: the backbone takes batches of {shape[0]} only", f"{remedy} with a free batch size"
            )
        found = self._network.run(np.zeros((2, *expected), np.float32))[spec.embedding_output].shape
        if found != (2, spec.embedding_size):
            raise MienError(f"{where}: the embedding is {found}, the manifest says (n, {spec.embedding_size})", remedy)


def _or_base(one: HeadInUse, base: HeadInUse) -> HeadInUse:
    """The same, with the base head where it has none."""
    return one if one.head is not None else HeadInUse(base.head, base.version, one.person_id)
