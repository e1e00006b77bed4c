"""Checkpoints of small networks that have learned nothing, but whose numbers are of the size of those that have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien.bundle import CropSpec
from trainer.evaluate.predictions import Predictions
from trainer.models import Network, Outputs, build_network
from trainer.stages.checkpoint import Card, Step, save_checkpoint
from trainer.stages.job_result import JobResult, JobTest, answers_file, write_job

LABELS = ("neutral", "happiness", "anger")
SIDE_PX = 32


def settled_network(architecture: str, outputs: Outputs, seed: int, side: int = SIDE_PX) -> Network:
    """A network whose batch normalisation has seen noise; else the numbers of deep networks vanish."""
    network = build_network(architecture, outputs, seed, image_side=side)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all that it sees
    with torch.no_grad():
        network.train()(noise(network, 64))
    return network.eval()


def noise(network: Network, count: int) -> torch.Tensor:
    """Pictures of noise as a network sees them."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, network.input.depth, network.input.height, network.input.width, generator=generator)


def save_network(folder: Path, network: Network, **keys: Any) -> Path:
    """Save a network with a card; `keys` change it."""
    step = Step(
        stage="one", source="lab", data="CK+", pictures=9, people=3, split="by person", target="expression", epochs=1,
        images_seen=9, learning_rate=0.1, seed=0,
    )  # fmt: skip
    fields = {
        "architecture": network.architecture.name,
        "image_side": network.input.width,
        "outputs": network.outputs,
        "crop": CropSpec("box", 0.2),
        "detector": "yunet",
        "input": network.input,
        "embedding_size": network.architecture.embedding_size,
        "weights": "IN",
        "lineage": (step,),
        "licences": ("Weights of somebody: MIT.",),
    }
    save_checkpoint(folder, network, Card(**fields | keys))
    return folder


def save_answers(folder: Path) -> None:
    """Say that a job has tested the checkpoint: two people, one of them trained on, three of four faces right."""
    given = Predictions(
        labels=LABELS,
        truth=np.array([0, 1, 2, 0]),
        probabilities=np.eye(3, dtype=np.float32)[[0, 1, 2, 1]],
        people=np.array(["a", "a", "b", "b"]),
        **_of_pictures(4),
    )
    _save(folder, given, {"lab": JobTest("CK+", "by person", {"no face found": 2})})


def save_landmark_answers(folder: Path, off: float, tests: Mapping[str, JobTest] | None = None) -> None:
    """Say that a job has tested the checkpoint: all landmarks are off by a share of the distance of the eyes."""
    truth = np.full((2, 68, 2), 0.5, np.float32)
    given = Predictions(
        labels=(),
        truth=np.full(2, -1),
        probabilities=None,
        people=np.array(["a", "b"]),
        landmark_truth=truth,
        landmark_predicted=truth + np.array([off / 2, 0], np.float32),
        landmark_visible=np.ones((2, 68), np.bool_),
        interocular=np.full(2, 0.5, np.float32),
        yaw=np.zeros(2, np.float32),
        **_of_pictures(2),
    )
    _save(folder, given, tests or {"unseen": JobTest("renders faces", "by person", {})})


def _of_pictures(count: int) -> dict[str, Any]:
    names = np.array([f"{number}" for number in range(count)])
    nothing = dict.fromkeys(("valence_truth", "valence_predicted", "arousal_truth", "arousal_predicted"))
    return {"names": names, "fold": np.zeros(count, np.int64), **nothing}


def _save(folder: Path, given: Predictions, tests: Mapping[str, JobTest]) -> None:
    for source in tests:
        given.save(answers_file(folder, source))
    write_job(
        folder,
        JobResult(
            architecture="", parameters=1, macs=1, has_classes=True, lineage="", trained=1.0, people=["b", "c"],
            means={}, parts={}, epochs=[], tests=dict(tests),
        ),
    )  # fmt: skip
