"""Faces as a bundle's backbone sees them: rendered people, and real ones that published packages carry."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mien.bundle import Bundle
from mien.errors import MienError
from mien.expression.recogniser import Recogniser
from mien.faces.landmarks import LandmarkLocator
from mien.runtime.backend import BackendOptions
from trainer.data.augmentation import middle
from trainer.data.crops import open_crops
from trainer.data.sample import Tell
from trainer.data.sources import open_source
from trainer.evaluate.evaluation import cut_faces
from trainer.evaluate.faces import read_face_manifest, summarise
from trainer.stages.recipe import Source, Stage

_DOMAIN = "wild"
_SIDE = 96
"""Of rendered pictures, pixels."""


class Faces(NamedTuple):
    """N faces.

    Attributes:
        name: of the data.
        pictures: float32 (N, C, H, W), the backbone's input.
        labels: expression of each.
        people: who each is.
        left_out: how many could not be had, by reason.
    """

    name: str
    pictures: NDArray[np.float32]
    labels: tuple[str, ...]
    people: tuple[str, ...]
    left_out: dict[str, int]


def rendered_faces(bundle: Bundle, count: int, seed: int, tell: Tell) -> Faces:
    """Rendered faces, cut as the bundle wants them; they are kept in the cache folder.

    Args:
        bundle: whose crop and input.
        count: that are rendered; those without a face are left out.
        seed: other seeds, other people.
        tell: told how many are rendered, then how many are cut.

    Raises:
        MienError: nothing can be rendered here.
    """
    spec = bundle.manifest.backbone
    source = Source(real="renders", rendered=_DOMAIN, count=count, seed=seed)
    dataset = open_source("faces", {"faces": source}, None, _SIDE, tell)
    crops = open_crops(dataset, Stage(data="faces", crop=spec.crop), spec.input, 1.0, tell)
    samples = [dataset[number] for number in crops.kept.tolist()]
    return Faces(
        name=dataset.name,
        pictures=middle(torch.from_numpy(crops.pixels(crops.kept)), spec.input).numpy(),
        labels=tuple(sample.expression or "" for sample in samples),
        people=tuple(sample.person or "" for sample in samples),
        left_out=crops.left_out,
    )


def real_faces(bundle: Bundle, manifest: Path) -> Faces:
    """Real faces of a manifest, cut as the robot does; their packages are fetched the first time.

    Args:
        bundle: whose crop and input.
        manifest: .csv of labelled faces.

    Raises:
        MienError: the manifest cannot be used, or not one face can be had.
    """
    recogniser, spec = Recogniser(bundle, BackendOptions()), bundle.manifest.landmarks
    locator = None if spec is None else LandmarkLocator(bundle.read(spec.file), spec, BackendOptions())
    faces, pictures, left_out = cut_faces(recogniser, read_face_manifest(manifest), locator)
    recogniser.close()
    if not faces:
        raise MienError(f"{manifest}: not one of its faces can be had ({left_out[0][1]})", "Mend that and try again")
    return Faces(
        name=manifest.name,
        pictures=pictures,
        labels=tuple(face.label for face in faces),
        people=tuple(face.person for face in faces),
        left_out={f"{part.archive}: {part.why}": part.faces for part in summarise(left_out)},
    )
