"""What trained networks answer on pictures: of a job's test parts, and of any data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from mien.errors import MienError
from trainer.data.batches import Batches, Examples, make_examples
from trainer.data.catalogue import open_dataset
from trainer.data.crops import open_crops
from trainer.data.face_parts import PARTS
from trainer.data.sample import Dataset, Tell
from trainer.evaluate.metrics import interocular_distance
from trainer.evaluate.predictions import Predictions, Training, short_name, test_result
from trainer.models import Network
from trainer.models.teacher import Teacher
from trainer.stages.checkpoint import open_network
from trainer.stages.fit import Predicted, make_fabric, predict
from trainer.stages.material import JOINT, name_in_lineage
from trainer.stages.recipe import Stage
from trainer.stages.result import TestResult

_BATCH_SIZE = 64
_ROBOT_CROP = 1.0
"""No room around it."""


def answer(
    network: Network, examples: Examples, fabric: Fabric, fold: int = 0, teacher: Teacher | None = None
) -> Predictions:
    """Let a network answer on a test part; in every process with the whole.

    Args:
        network: trained; moved to the fabric's device.
        examples: the test part.
        fabric: of the processes that share the work.
        fold: whose network it is.
        teacher: with whose answers the network's are compared.
    """
    rank, world_size = fabric.global_rank, fabric.world_size
    batches = Batches(examples, _BATCH_SIZE, rank=rank, world_size=world_size, is_training=False, device=fabric.device)
    told = predict(network, batches, fabric, teacher)
    return replace(_answers(told, examples, fold), **_landmarks(network, told, examples))


def _answers(told: Predicted, examples: Examples, fold: int) -> Predictions:
    """Answers without landmarks."""
    return Predictions(
        labels=examples.labels,
        truth=told.classes,
        probabilities=told.probabilities,
        valence_truth=None if told.valence is None else told.true_valence,
        valence_predicted=told.valence,
        arousal_truth=None if told.arousal is None else told.true_arousal,
        arousal_predicted=told.arousal,
        people=examples.people,
        names=np.array([short_name(name) for name in examples.names], np.str_),
        fold=np.full(len(examples), fold, np.int64),
        top=told.top,
        top_confidence=told.top_confidence,
        teacher=told.teacher,
    )


def _landmarks(network: Network, told: Predicted, examples: Examples) -> dict[str, Any]:
    """Landmarks as `Predictions` has them, where the network locates some."""
    points, located = network.outputs.points, examples.located
    if not points or told.landmarks is None or located is None:
        return {}
    return {
        "landmark_truth": located.points[:, PARTS[points]],
        "landmark_predicted": told.landmarks.reshape(len(examples), -1, 2),
        "landmark_visible": located.visible[:, PARTS[points]],
        "interocular": interocular_distance(located.points),
        "yaw": located.yaw,
    }


def evaluate_checkpoint(
    folder: Path, dataset_name: str, path: Path, tell: Tell, warn: Callable[[str], None]
) -> TestResult:
    """Measure a trained network on all pictures of a data set, cut as those that it was trained on.

    Args:
        folder: of the checkpoint.
        dataset_name: name of the data set, one of `trainer.data.catalogue.ENTRIES`.
        path: its folder, or its file where it is one.
        tell: told how many pictures are cut.
        warn: told where the network has learned from this data set.

    Raises:
        MienError: the checkpoint or the data cannot be used, or no picture has a label that the network knows.
    """
    network, card = open_network(folder)
    if not card.lineage:
        raise MienError(f"{folder}: its card does not say what it has learned", "Name the folder of a trained stage")
    dataset = open_dataset(dataset_name, path)
    for step in card.lineage:
        if _name_in_lineage(dataset_name, dataset) in step.data.split(JOINT):
            warn(
                f"{folder} has learned from {step.data} (stage {step.stage}; {step.split}): the figures are too good"
                " where it has seen these pictures or people"
            )
    stage = Stage(
        data=dataset_name,
        target=card.lineage[-1].target,  # type: ignore[arg-type]
        crop=card.crop,
        detector=card.detector,  # type: ignore[arg-type]
        contrast=card.contrast,
        landmarks=card.landmarks,  # type: ignore[arg-type]
        points=card.outputs.points or "all",
    )
    crops = open_crops(dataset, stage, card.input, _ROBOT_CROP, tell)
    examples = make_examples(dataset, crops, stage.target, card.outputs.labels)
    splits = sorted({dataset[number].split for number in examples.numbers.tolist()})
    return test_result(
        answer(network, examples, make_fabric()),
        [Training(None, dict.fromkeys(card.outputs.affect, float("nan")))],
        source=dataset_name,
        data=dataset.name,
        split=f"split {', '.join(splits)}",
        left_out=examples.left_out,
        file="",
    )


def _name_in_lineage(name: str, dataset: Dataset) -> str:
    """What a data set would be called in a card; of renders, the domain follows from what they say of themselves."""
    if name.partition(":")[0] == "renders":
        return name_in_lineage("", dataset.name.removeprefix("renders ").partition(",")[0])
    return name_in_lineage(name)
