"""A bundle on labelled faces: the robot's own crop, network and head, and what came out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from mien.bundle import Bundle
from mien.errors import MienError
from mien.expression.recogniser import FaceInImage, Recogniser
from mien.faces.landmarks import LandmarkLocator
from mien.runtime.backend import Array, BackendOptions
from trainer.evaluate.faces import LabelledFace, LeftOut, load_images, read_face_manifest, summarise
from trainer.evaluate.metrics import accuracy, confusion_matrix, count, mean_over_people, recall


class PersonFigures(msgspec.Struct, frozen=True):
    """One person: right answers out of faces."""

    right: int
    faces: int


class FaceEvaluation(msgspec.Struct, frozen=True):
    """What a bundle makes of labelled faces.

    Attributes:
        model: name and checksum of the bundle.
        data: the manifest.
        splits: names of its splits.
        people: number of people.
        faces: number of faces.
        accuracy: share of right answers, 0 to 1.
        mean_over_people: mean of the people's own accuracies, 0 to 1.
        labels: order of `confusion`.
        confusion: rows = true label, columns = predicted label.
        recall: share of each label's faces that is found, 0 to 1; labels without a face are absent.
        per_person: by person.
        left_out: faces that do not count: package not to be had, or label that the model does not know.
    """

    model: str
    data: str
    splits: list[str]
    people: int
    faces: int
    accuracy: float
    mean_over_people: float
    labels: tuple[str, ...]
    confusion: list[list[int]]
    recall: dict[str, float]
    per_person: dict[str, PersonFigures]
    left_out: list[LeftOut]


def evaluate_on_faces(manifest: Path, bundle: Bundle) -> FaceEvaluation:
    """Measure a bundle on a manifest of labelled faces.

    Raises:
        MienError: the manifest or bundle cannot be used, or not one face could be had.
    """
    recogniser, spec = Recogniser(bundle, BackendOptions()), bundle.manifest.landmarks
    locator = None if spec is None else LandmarkLocator(bundle.read(spec.file), spec, BackendOptions())
    labels = bundle.manifest.labels
    faces, batch, left_out = cut_faces(recogniser, read_face_manifest(manifest), locator)
    known = [face.label in labels for face in faces]
    left_out += [(face, f"the model has no label {face.label}") for face in faces if face.label not in labels]
    faces = [face for face, is_known in zip(faces, known, strict=True) if is_known]
    if not faces:
        why = "; ".join(sorted({why for _, why in left_out}))
        raise MienError(f"{manifest}: none of its faces can be measured ({why})", "Mend that and try again")
    predicted = recogniser.classify(batch[known]).probabilities.argmax(axis=1)
    truth = np.array([labels.index(face.label) for face in faces])
    counts = count(truth, predicted, len(labels))
    people = [face.person for face in faces]
    return FaceEvaluation(
        model=f"{bundle.manifest.name} {bundle.sha256[:12]}",
        data=str(manifest),
        splits=sorted({face.split for face in faces}),
        people=len(set(people)),
        faces=len(faces),
        accuracy=float(accuracy(counts)),
        mean_over_people=mean_over_people(predicted == truth, people),
        labels=labels,
        confusion=confusion_matrix(truth, predicted, len(labels)).tolist(),
        recall={
            label: float(share) for label, share in zip(labels, recall(counts), strict=True) if not np.isnan(share)
        },
        per_person={
            person: PersonFigures(int((predicted == truth)[own].sum()), int(own.sum()))
            for person in sorted(set(people))
            for own in [np.array(people) == person]
        },
        left_out=summarise(left_out),
    )


def cut_faces(
    recogniser: Recogniser, faces: list[LabelledFace], locator: LandmarkLocator | None = None
) -> tuple[list[LabelledFace], Array, list[tuple[LabelledFace, str]]]:
    """Cut labelled faces out as the robot does.

    Args:
        recogniser: whose crop and input.
        faces: of a manifest.
        locator: of the bundle's landmarks, where it has them.

    Returns:
        The faces that could be had, in the order of the manifest; float32 (N, C, H, W), the network's input; and the
        others with the reason.
    """
    crops: list[tuple[LabelledFace, Array]] = []
    left_out: list[tuple[LabelledFace, str]] = []
    for face, image in load_images(faces):
        if isinstance(image, MienError):
            left_out.append((face, str(image)))
        else:
            points = None if locator is None else locator.locate(image, [face.box]).trusted()[0]
            crops.append((face, recogniser.prepare([FaceInImage(image, face.box, points)])[0].copy()))
    crops.sort(key=lambda pair: pair[0].row)
    batch = np.stack([crop for _, crop in crops]) if crops else recogniser.prepare([])
    return [face for face, _ in crops], batch, left_out
