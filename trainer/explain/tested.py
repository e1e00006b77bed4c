"""Why the networks of a run answered what they answered about its test pictures, for the run's report."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch

from mien.errors import MienError
from mien.faces.detector import Image
from trainer.data.augmentation import middle
from trainer.data.crops import Crops
from trainer.evaluate.predictions import short_name
from trainer.explain.explanation import Explanation, Floats
from trainer.explain.networks import explain_networks
from trainer.models.network import Network
from trainer.stages.checkpoint import open_network
from trainer.stages.claim import Claim
from trainer.stages.jobs import Job
from trainer.stages.material import Material
from trainer.stages.recipe import Recipe

_NETWORKS = 8
"""Opened at a time: an ensemble's, and some more."""


class TestedFaces:
    """Explains answers of a run, as far as its pictures and checkpoints are there.

    Args:
        material: its data; nothing is rendered or cut.
        claim: what was run.
        folder: of the run.
    """

    def __init__(self, material: Material, claim: Claim, folder: Path) -> None:
        self._material, self._claim, self._folder = material, claim, folder
        self._numbers = cache(self._find_numbers)
        self._network = lru_cache(_NETWORKS)(self._open)

    def look(
        self, stage: str, seed: int, source: str, fold: int, picture: str, class_name: str
    ) -> tuple[Image, Explanation] | None:
        """What a stage or an ensemble saw of a picture, and what of it spoke for a class.

        Args:
            stage: or ensemble.
            seed: of the repetition.
            source: that was tested on.
            fold: whose network answered, from 0.
            picture: its short name.
            class_name: that is explained.

        Returns:
            uint8 (H, W, 3) BGR, exactly as the network was given it, and the explanation; None where the picture or a
            checkpoint is not at hand.
        """
        recipe = self._claim.recipe
        members = recipe.members(stage)
        try:
            crops, numbers = self._numbers(members[0], source, seed)
            stored = torch.from_numpy(np.ascontiguousarray(crops.pixels(np.array([numbers[picture]]))))
            image: Floats = middle(stored, crops.spec)[0].numpy()
            networks = {
                name: self._network(member, seed, fold)
                for name, member in zip(names_of_parts(recipe, members), members, strict=True)
            }
            rule = recipe.ensembles[stage].combine if stage in recipe.ensembles else "mean"
            return _pixels(image, crops), explain_networks(networks, image, class_name, rule)
        except (MienError, KeyError):
            return None

    def _find_numbers(self, stage: str, source: str, seed: int) -> tuple[Crops, dict[str, int]]:
        crops = self._material.crops(stage, source, seed)
        return crops, {short_name(sample.picture.name): number for number, sample in enumerate(crops.dataset)}

    def _open(self, stage: str, seed: int, fold: int) -> Network:
        has_folds = self._claim.folds[stage] is not None
        job = Job(self._claim.recipe.name, stage, seed, fold if has_folds else None)
        return open_network(self._folder / job.place)[0]


def names_of_parts(recipe: Recipe, members: tuple[str, ...]) -> list[str]:
    """What networks are called: the parts of the face whose landmarks they learned first, else as their stages."""
    points = [_learned_points(recipe, member) for member in members]
    return points if len(set(points)) == len(members) > 1 and all(points) else list(members)


def _learned_points(recipe: Recipe, name: str) -> str:
    while name in recipe.stages:
        stage = recipe.stages[name]
        if stage.target == "landmarks":
            return stage.points
        name = stage.start
    return ""


def _pixels(image: Floats, crops: Crops) -> Image:
    """What a network was given as a picture again."""
    spec = crops.spec
    scale, mean = (np.array(values, np.float32)[:, None, None] for values in (spec.scale, spec.mean))
    planes = np.rint(image / scale + mean).clip(0, 255).astype(np.uint8)
    colours = planes.transpose(1, 2, 0)[..., :: -1 if spec.channels == "rgb" else 1]
    return np.ascontiguousarray(np.broadcast_to(colours, (*colours.shape[:2], 3)))
