"""What the training data of a head looks like, measured through its own graph, for the learners that ask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.training_faces import TrainingFaces, training_faces
from mien.bundle import InputSpec
from mien.errors import MienError
from mien.personal.samples import BaseHead, Tensors
from mien.personal.statistics import measure_statistics
from mien.runtime.backend import BackendOptions, Model, load_network
from trainer.data.augmentation import middle
from trainer.data.labels import UNKNOWN
from trainer.data.sample import Tell

FACES = 1_000
"""Of each network's training part; more make class means little better, and the export slow."""
_BATCH = 16


def head_statistics(
    base: BaseHead, graph: bytes, spec: InputSpec, checkpoints: Sequence[Path], tell: Tell
) -> tuple[Tensors, int]:
    """Measure the tensors `statistics.*` (`mien.personal.statistics`) on faces that the networks were trained on.

    Args:
        base: the head, without statistics.
        graph: its backbone in fp32.
        spec: the backbone's input.
        checkpoints: that both were made of, in the folders of their runs.
        tell: told how many pictures of the data are cut, where they are not yet, and how many faces are measured.

    Returns:
        The tensors by name, and on how many faces they were measured.

    Raises:
        MienError: a checkpoint lies in no run, its data cannot be had, or no face shows a class.
    """
    found: list[TrainingFaces] = []
    for checkpoint in checkpoints:
        faces = training_faces(checkpoint, FACES, tell)
        # Of classes only those pictures tell something that are labelled with them.
        rows = (faces.classes != UNKNOWN) if base.labels else np.ones(len(faces.pixels), np.bool_)
        faces = TrainingFaces(faces.pixels[rows], faces.labels, faces.classes[rows])
        if len(faces.pixels) and not any(np.array_equal(faces.pixels, other.pixels) for other in found):
            found.append(faces)
    if not found:
        raise MienError("No face that was trained on has a label", "Export a stage that learned expressions")
    pixels = np.concatenate([faces.pixels for faces in found])
    classes = np.concatenate([faces.classes for faces in found])[:, np.newaxis] == np.arange(len(base.labels))
    return measure_statistics(base, _embeddings(graph, spec, pixels, tell), classes.astype(np.float32)), len(pixels)


def _embeddings(graph: bytes, spec: InputSpec, pixels: NDArray[np.uint8], tell: Tell) -> NDArray[np.float32]:
    network = load_network(Model.of("backbone", "the exported graph", graph), BackendOptions())
    found = []
    for begin in range(0, len(pixels), _BATCH):
        pictures = middle(torch.from_numpy(pixels[begin : begin + _BATCH]), spec).numpy()
        found.append(np.array(network.run(np.ascontiguousarray(pictures))["embedding"]))
        tell(min(begin + _BATCH, len(pixels)), len(pixels))
    network.close()
    return np.concatenate(found)
