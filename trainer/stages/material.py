"""The data of a run: its sources, opened when they are needed and divided; the pictures stay on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from trainer.data.augmentation import PRESETS
from trainer.data.batches import Examples, find_labels, make_examples
from trainer.data.crops import Crops, open_crops
from trainer.data.sample import Dataset, Subset, Tell
from trainer.data.sources import open_source
from trainer.data.splits import Parts, divide
from trainer.evaluate.suspects import SuspectList, suspected
from trainer.models import Outputs, find_architecture
from trainer.stages.recipe import Recipe

_NO_ROOM = 1.0
"""Around the crops of sources that a stage is only tested on."""
_LINEAGE_NAMES = {
    "imagenet": "IN",
    "ms-celeb": "MC1M",
    "vggface2": "VF2",
    "affectnet": "AffectNet",
    "amigos": "AMIGOS",
    **{name: name.upper() for name in ("ck+", "jaffe", "fer2013", "fer+", "sfew", "raf-db")},
}
"""As in the papers."""
_AFFECT: Mapping[str, tuple[Literal["valence", "arousal"], ...]] = {
    "affect": ("valence", "arousal"),
    "valence": ("valence",),
    "arousal": ("arousal",),
}


class Part(NamedTuple):
    """What one job learns, and is tested on; the validation part may be empty."""

    outputs: Outputs
    train: Examples
    validation: Examples
    test: Examples


class Material:
    """Sources of a recipe, for its stages."""

    def __init__(
        self,
        recipe: Recipe,
        root: Path | None,
        side: int,
        without: SuspectList,
        tell: Tell = lambda _done, _total: None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            recipe: as it is run.
            root: folder of the data sets; None = rendered.
            side: of rendered pictures, pixels.
            without: pictures to leave out of training and validation.
            tell: told how many pictures are rendered or cut.
        """
        self._recipe, self._root, self._side, self._without, self._tell = recipe, root, side, without, tell
        self.dataset = cache(self._open)
        self._opened_crops: dict[tuple[object, ...], Crops] = {}

    def prepare(self, stages: Iterable[str]) -> dict[str, int | None]:
        """Render and cut whatever these stages need.

        Returns:
            Number of folds of each stage; None where its source has none.
        """
        folds: dict[str, int | None] = {}
        for name in stages:
            stage = self._recipe.stages[name]
            for source in (stage.data, *stage.tests):
                self.crops(name, source)
            split = self._recipe.sources[stage.data].split
            folds[name] = len(divide(self.dataset(stage.data), split, 0)) if split.kind == "folds" else None
        return folds

    def part(self, stage_name: str, seed: int, fold: int) -> Part:
        """Training, validation and test part of a stage's own source."""
        stage = self._recipe.stages[stage_name]
        source, parts = self._recipe.sources[stage.data], self._parts(stage.data, seed)[fold]
        dataset = self.dataset(stage.data)
        # Nothing is learned of people and things that are in the test part alone.
        known = Subset(dataset, parts.train) if stage.target in ("identity", "category") else dataset
        outputs = Outputs(find_labels(known, stage.target, source.classes), _AFFECT.get(stage.target, ()))
        examples = self._examples(stage_name, stage.data, outputs.labels)
        train, validation = (
            examples.subset(np.setdiff1d(numbers, self._suspects(stage.data)))
            for numbers in (parts.train, parts.validation)
        )
        test = _not_empty(examples.subset(parts.test), stage_name, stage.data)
        return Part(outputs, train.drawn_evenly(source.samples, seed), validation, test)

    def test(self, stage_name: str, source: str, labels: tuple[str, ...], seed: int) -> Examples:
        """Test part of another source; of one with folds, those of all folds together."""
        numbers = np.concatenate([parts.test for parts in self._parts(source, seed)])
        return _not_empty(self._examples(stage_name, source, labels).subset(numbers), stage_name, source)

    def lineage_name(self, source: str) -> str:
        """What a source is called in a lineage such as "IN → MC1M → VF2 → AffectNet"; of renders, their domain."""
        found = self._recipe.sources[source]
        parts = [found, *(self._recipe.sources[name] for name in found.more)]
        if self._root is None:
            return " + ".join(f"rendered {part.rendered.partition(':')[0]}" for part in parts)
        names = (part.real.partition(":")[0] for part in parts)
        return " + ".join(_LINEAGE_NAMES.get(name, name) for name in names)

    def crops(self, stage_name: str, source: str) -> Crops:
        """Faces of a source as a stage sees them."""
        stage = self._recipe.stages[stage_name]
        spec = find_architecture(stage.architecture or self._recipe.architecture).input
        room = PRESETS[stage.augmentation].room if source == stage.data else _NO_ROOM
        key = (source, stage.crop, stage.detector, stage.landmarks, stage.target == "category", spec, room)
        if key not in self._opened_crops:
            self._opened_crops[key] = open_crops(self.dataset(source), stage, spec, room, self._tell)
        return self._opened_crops[key]

    def _open(self, source: str) -> Dataset:
        return open_source(source, self._recipe.sources, self._root, self._side, self._tell)

    def _parts(self, source: str, seed: int) -> list[Parts]:
        return divide(self.dataset(source), self._recipe.sources[source].split, seed)

    def _examples(self, stage_name: str, source: str, labels: tuple[str, ...]) -> Examples:
        target = self._recipe.stages[stage_name].target
        return make_examples(self.dataset(source), self.crops(stage_name, source), target, labels)

    def _suspects(self, source: str) -> NDArray[np.intp]:
        return suspected(self.dataset(source), self._without)


def _not_empty(test: Examples, stage: str, source: str) -> Examples:
    if not len(test):
        reasons = ", ".join(f"{count} × {reason}" for reason, count in test.left_out.items())
        raise MienError(
            f"The test part of {source} has no picture that {stage} can be tested on ({reasons or 'it is empty'})",
            "Divide the source otherwise, or test the stage on another one",
        )
    return test
