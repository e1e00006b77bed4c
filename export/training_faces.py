"""Faces that a network was trained on, never those that it is tested on, from the run that its checkpoint lies in."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from trainer.data.crops import open_crops
from trainer.data.sample import Tell
from trainer.data.splits import draw
from trainer.stages.checkpoint import load_card
from trainer.stages.trained_on import trained_on


class TrainingFaces(NamedTuple):
    """N faces.

    Attributes:
        pixels: uint8 (N, height, width, C), as the robot cuts them.
        labels: names of the classes that were learned; empty where none were.
        classes: int64 (N,), place in `labels`, or -1 where unknown.
    """

    pixels: NDArray[np.uint8]
    labels: tuple[str, ...]
    classes: NDArray[np.int64]


def training_faces(checkpoint: Path, count: int, tell: Tell = lambda _done, _total: None) -> TrainingFaces:
    """Faces of the training part of the stage that left a checkpoint, evenly from its classes.

    Args:
        checkpoint: folder of a checkpoint, in the folder of its run.
        count: at most so many.
        tell: told how many pictures of the data are cut, where they are not yet.

    Raises:
        MienError: the checkpoint lies in no run, its data cannot be had, or they are of one class only.
    """
    card = load_card(checkpoint)
    try:
        stage, seed, train = trained_on(checkpoint, tell)
    except MienError as error:
        raise MienError(error.problem, f"{error.remedy}; or leave out int8") from error
    known = [label for label, pictures in train.class_counts.items() if pictures]
    if train.labels and len(known) < 2:
        raise MienError(
            f"{checkpoint}: all pictures that it was trained on are of one class ({', '.join(known) or 'none'})",
            "int8 needs pictures of all that the network tells apart: export a checkpoint of a whole data set",
        )
    dataset = train.crops.dataset
    crops = open_crops(dataset, stage, card.input, 1.0, tell)
    numbers = draw(dataset, train.numbers, stage.target, count, seed)
    classes = train.classes[np.searchsorted(train.numbers, numbers)]
    return TrainingFaces(crops.pixels(numbers), train.labels, classes)
