"""The general model: a network trained on other people, by a recipe, as the robot would get it."""

from __future__ import annotations

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
from trainer.models import Network
from trainer.models.heads import make_head
from trainer.personal.people import embeddings_of, samples_of
from trainer.stages.checkpoint import Card, open_network
from trainer.stages.claim import read_claim
from trainer.stages.run import Run

STAGE = "general"
"""The stage of the recipe whose network is the general model."""
FOLDER = "general"
"""Of the recipe's run, in the folder of the study."""
_STATISTICS = "statistics.safetensors"
_MOST_PICTURES = 5_000
"""Of the training part, for the statistics."""


class General(NamedTuple):
    """A general model: its network, what is said of it, and its head with the statistics of what it was trained on."""

    network: Network
    card: Card
    base: BaseHead


def open_general(folder: Path, seed: int, fabric: Fabric) -> General:
    """Open the general model of a repetition.

    Args:
        folder: of the study, where the recipe has been run.
        seed: of the repetition.
        fabric: where to compute the statistics, if they are not there yet.

    Raises:
        MienError: it is not there, or tells no valence and arousal.
    """
    own = folder / FOLDER / f"seed{seed}" / STAGE
    network, card = open_network(own)
    if card.outputs.affect != ("valence", "arousal"):
        raise MienError(f"{own} tells no valence and arousal", "Give its stage the target affect")
    spec, tensors = make_head([network])
    base = BaseHead(spec, tensors, card.outputs.labels, card.embedding_size, (-1.0, 1.0))
    file = folder / f"seed{seed}" / _STATISTICS
    if not file.is_file():
        claim = read_claim(folder / FOLDER)
        train = Run(claim, folder / FOLDER).material.part(STAGE, seed, 0).train
        named = np.flatnonzero(train.classes != UNKNOWN)
        shown = train.take(named[:: max(1, len(named) // _MOST_PICTURES)])
        samples = samples_of(shown, embeddings_of(network, shown, fabric))
        file.parent.mkdir(exist_ok=True)
        with whole_file(file) as partial:
            partial.write_bytes(safetensors.numpy.save(measure_statistics(base, samples.embeddings, samples.classes)))
    statistics = safetensors.numpy.load(file.read_bytes())
    return General(
        network, card, BaseHead(spec, {**tensors, **statistics}, base.labels, base.embedding_size, (-1.0, 1.0))
    )
