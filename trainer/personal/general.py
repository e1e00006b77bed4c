"""The general model: a network trained on other people, as the robot would get it.

It is trained by a recipe in the study's folder, or is a checkpoint that a run of another recipe left.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.numpy
from lightning_fabric import Fabric

from mien.errors import MienError
from mien.personal.samples import BaseHead
from mien.personal.statistics import measure_statistics
from trainer.data.labels import UNKNOWN
from trainer.data.output import whole_file
from trainer.data.sample import Tell
from trainer.models import Network
from trainer.models.heads import make_head
from trainer.personal.people import embeddings_of, samples_of
from trainer.stages.checkpoint import Card, load_card, open_network
from trainer.stages.recipe_file import built_in_recipes, load_recipe
from trainer.stages.trained_on import find_place, trained_on

STAGE = "general"
"""The stage of the recipe whose network is the general model."""
FOLDER = "general"
"""Of the recipe's run, in the folder of the study."""
_MOST_PICTURES = 5_000
"""Of the training part, for the statistics."""


class Choice(NamedTuple):
    """Which general model is wanted.

    Attributes:
        name: file or name of the recipe without its folder; of a checkpoint, the run's folder and its place there.
        checkpoint: its absolute folder; None = a recipe is to be trained.
        sha256: of the checkpoint's weights; empty for a recipe.
    """

    name: str
    checkpoint: str | None = None
    sha256: str = ""


class General(NamedTuple):
    """A general model: its network, what is said of it, and its head with the statistics of what it was trained on."""

    network: Network
    card: Card
    base: BaseHead


def choose_general(given: str) -> Choice:
    """Tell a checkpoint from a recipe.

    Args:
        given: folder of a checkpoint in its run, name of a built-in recipe, or path of a yaml file.

    Raises:
        MienError: the folder holds no checkpoint, lies in no run, or its network does not tell what is personal; or
            there is no such recipe, or it has no such stage.
    """
    folder = Path(given).expanduser()
    if not folder.is_dir() or given in built_in_recipes():
        if STAGE not in load_recipe(given).stages:
            raise MienError(
                f"--general {given}: the recipe has no stage {STAGE}", "Name another, or the folder of a checkpoint"
            )
        return Choice(Path(given).name)
    card = _check(folder, load_card(folder))
    return Choice(find_place(folder).name, str(folder.resolve()), card.sha256)


def open_general(checkpoint: Path, file: Path, fabric: Fabric, tell: Tell) -> General:
    """Open a general model.

    Args:
        checkpoint: its folder, in the folder of its run.
        file: .safetensors with the statistics of what it was trained on, made by the first call.
        fabric: where to compute them.
        tell: told how many pictures of its data are rendered or cut, where they are not yet.

    Raises:
        MienError: it is not there, tells no expression, valence or arousal, or its data cannot be had.
    """
    network, card = open_network(checkpoint)
    spec, tensors = make_head([network])
    base = BaseHead(spec, tensors, _check(checkpoint, card).outputs.labels, card.embedding_size, (-1.0, 1.0))
    if not file.is_file():
        train = trained_on(checkpoint, tell).train
        named = np.flatnonzero(train.classes != UNKNOWN)
        shown = train.take(named[:: max(1, len(named) // _MOST_PICTURES)])
        samples = samples_of(shown, embeddings_of(network, shown, fabric))
        file.parent.mkdir(exist_ok=True)
        with whole_file(file) as partial:
            partial.write_bytes(safetensors.numpy.save(measure_statistics(base, samples.embeddings, samples.classes)))
    statistics = safetensors.numpy.load(file.read_bytes())
    return General(network, card, replace(base, tensors={**tensors, **statistics}))


def _check(checkpoint: Path, card: Card) -> Card:
    if card.outputs.affect != ("valence", "arousal") or not card.outputs.labels:
        raise MienError(
            f"{checkpoint} does not tell expressions, valence and arousal", "Give its stage the target affect"
        )
    return card
