"""The people of the study: their pictures, and what a general model's frozen part makes of them.

People are rendered, each as often as there are strengths of the shift, or those of AMIGOS.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.numpy
from lightning_fabric import Fabric
from numpy.typing import NDArray

from mien.errors import MienError
from mien.personal.samples import Samples
from trainer.data.batches import Batches, Examples, make_examples
from trainer.data.crops import open_crops
from trainer.data.labels import UNKNOWN
from trainer.data.output import output_errors, whole_file
from trainer.data.sample import Dataset, Subset, Tell
from trainer.data.sets.amigos import FRAME_EVERY_S
from trainer.data.sources import open_source
from trainer.models import Network
from trainer.stages.checkpoint import Card
from trainer.stages.predict import answers
from trainer.stages.recipe import Source, Stage

_NAME = "people"
_BATCH_SIZE = 64
_NO_ROOM = 1.0
OWN_SHIFT = 1.0
"""The shift of a rendered person as it is (`trainer.data.synthetic.diary.Diary`); that of a real one is called so."""


class Person(NamedTuple):
    """One person, with one strength of the shift.

    Attributes:
        name: as the data set calls the person, or the seed of the renders.
        shift: how far a rendered person differs from people in general; 1 for a real one.
    """

    name: str
    shift: float


@dataclass(frozen=True)
class People:
    """Where pictures of people come from.

    Attributes:
        root: folder of the data sets; None = rendered.
        frames: of each person, in the order of time; 0 = all there are.
        side: of rendered pictures, pixels.
        first_seed: of the first rendered person; the next ones follow.
        count: how many people.
    """

    root: Path | None
    frames: int
    side: int
    first_seed: int
    count: int

    def names(self) -> tuple[str, ...]:
        """Who takes part; of a data set the first ones, by name.

        Raises:
            MienError: the data set cannot be opened, or has fewer people.
        """
        if self.root is None:
            return tuple(str(self.first_seed + number) for number in range(self.count))
        found = self._open("", OWN_SHIFT, None).labels.person.used
        if len(found) < self.count:
            raise MienError(
                f"{self.root / 'amigos'} has videos of {len(found)} people, not of {self.count}",
                "Put more recordings of the short-video experiment there",
            )
        return found[: self.count]

    def examples(self, person: Person, card: Card, tell: Tell | None = None) -> Examples:
        """A person's pictures, cut as a network wants them, in the order of time.

        Args:
            person: who.
            card: of the network.
            tell: told how many pictures are rendered or cut; None = nothing is rendered or cut.

        Raises:
            MienError: they cannot be had, or are not there and must not be made.
        """
        dataset = self._open(person.name, person.shift, tell)
        stage = Stage(
            data=_NAME,
            target="affect",
            crop=card.crop,
            detector=card.detector,  # type: ignore[arg-type]
            contrast=card.contrast,
            landmarks=card.landmarks,  # type: ignore[arg-type]
        )
        crops = open_crops(dataset, stage, card.input, _NO_ROOM, tell)
        return make_examples(dataset, crops, "affect", card.outputs.labels)

    def _open(self, name: str, shift: float, tell: Tell | None) -> Dataset:
        """Pictures of one person, or of a data set's whole people where none is named."""
        domain = "person" if shift == OWN_SHIFT else f"person@{shift:g}"
        seed = int(name) if self.root is None else 0
        source = Source(real="amigos", rendered=domain, count=self.frames, seed=seed)
        dataset = open_source(_NAME, {_NAME: source}, self.root, self.side, tell)
        if self.root is None or not name:
            return dataset
        column = dataset.labels.person
        own = np.flatnonzero(column.places == column.names.index(name))
        return Subset(dataset, own[: self.frames or None])


def embed(network: Network, examples: Examples, fabric: Fabric, file: Path) -> Samples:
    """What the frozen part of a network makes of a person's pictures, with their labels; kept in a file.

    Args:
        network: trained.
        examples: of one person, in the order of time.
        fabric: where to compute.
        file: .safetensors, made by the first call and read by the next ones.

    Raises:
        MienError: the file cannot be written.
    """
    if not file.is_file():
        embeddings = embeddings_of(network, examples, fabric)
        with output_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as partial:
            partial.write_bytes(safetensors.numpy.save({"embeddings": embeddings}))
    return samples_of(examples, safetensors.numpy.load(file.read_bytes())["embeddings"])


def embeddings_of(network: Network, examples: Examples, fabric: Fabric) -> NDArray[np.float32]:
    """What the frozen part of a network makes of pictures, float32 (N, D)."""
    batches = Batches(examples, _BATCH_SIZE, is_training=False, device=fabric.device)
    network.to(fabric.device)
    parts = [output.embedding.float().cpu().numpy() for output, _ in answers(network, batches, fabric)]
    return np.concatenate(parts)


def samples_of(examples: Examples, embeddings: NDArray[np.float32]) -> Samples:
    """Embeddings with the labels of their pictures; a picture every four seconds, as in paper 002."""
    classes = np.zeros((len(examples), len(examples.labels)), np.float32)
    known = examples.classes != UNKNOWN
    classes[np.flatnonzero(known), examples.classes[known]] = 1
    classes[~known] = np.nan
    stamps = np.arange(len(examples), dtype=np.float64) * FRAME_EVERY_S
    weights = np.ones(len(examples), np.float32)
    return Samples(embeddings, stamps, classes, examples.valence, examples.arousal, weights)
