"""The data of a run: its sources, opened when they are needed and divided; the pictures stay on the disk.

A source of which a stage uses only some samples is drawn first, by its labels alone, so that no face is searched in
pictures that nobody uses. Which identities are learned follows from the pictures that are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from mien.errors import MienError
from trainer.data.augmentation import PRESETS
from trainer.data.batches import Examples, find_labels, make_examples
from trainer.data.crops import Crops, open_crops
from trainer.data.sample import Dataset, Subset, Tell
from trainer.data.sources import open_source
from trainer.data.splits import Parts, divide, draw
from trainer.evaluate.suspects import SuspectList, suspected
from trainer.models import Outputs, find_architecture
from trainer.stages.recipe import Recipe, Target

_NO_ROOM = 1.0
"""Around the crops of sources that a stage is only tested on."""
JOINT = " + "
"""Between the names of joined sources in a lineage."""
_RENDERED = "rendered "
"""Before a domain in a lineage."""
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


class Prepared(NamedTuple):
    """What `Material.prepare` found, by stage.

    Attributes:
        folds: number of folds; None where the source has none.
        dropped: how many pictures the list of suspects takes from the training parts, seed by seed.
    """

    folds: dict[str, int | None]
    dropped: dict[str, list[int]]


class _Selection(NamedTuple):
    """The samples of a source that are used, and how they are divided, by their numbers there; a part for each fold."""

    dataset: Dataset
    folds: list[Parts]
    dropped: int


class Material:
    """Sources of a recipe, for its stages."""

    def __init__(
        self,
        recipe: Recipe,
        root: Path | None,
        side: int,
        without: SuspectList,
    ) -> None:
        """Nothing is opened yet.

        Args:
            recipe: as it is run.
            root: folder of the data sets; None = rendered.
            side: of rendered pictures, pixels.
            without: pictures to leave out of training and validation.
        """
        self._recipe, self._root, self._side, self._without = recipe, root, side, without
        self._tell: Tell | None = None  # nothing is rendered or cut but by `prepare`
        self.dataset = cache(self._open)
        self._selection = cache(self._select)
        self._opened_crops: dict[tuple[object, ...], Crops] = {}

    def prepare(self, stages: Iterable[str], seeds: int, tell: Tell) -> Prepared:
        """Render and cut whatever these stages need with so many seeds; `tell` is told how many pictures are done.

        Raises:
            MienError: as `part` and `test`, for any of the stages.
        """
        self._tell = tell
        try:
            return self._prepare(stages, seeds)
        finally:
            self._tell = None

    def _prepare(self, stages: Iterable[str], seeds: int) -> Prepared:
        prepared = Prepared({}, {})
        for name in stages:
            stage = self._recipe.stages[name]
            divided = [self._selection(stage.data, stage.target, seed) for seed in range(seeds)]
            prepared.dropped[name] = [found.dropped for found in divided]
            is_folded = self._recipe.sources[stage.data].split.kind == "folds"
            prepared.folds[name] = len(divided[0].folds) if is_folded else None
            for seed, found in enumerate(divided):
                for fold in range(len(found.folds)):
                    labels = self.part(name, seed, fold).outputs.labels
                for source in stage.tests:
                    self.test(name, source, labels, seed)
        return prepared

    def part(self, stage_name: str, seed: int, fold: int) -> Part:
        """Training, validation and test part of a stage's own source.

        Raises:
            MienError: the source cannot be had or divided, no picture can be tested on, or none says what is learned.
        """
        stage = self._recipe.stages[stage_name]
        dataset, folds, _ = self._selection(stage.data, stage.target, seed)
        parts, known = folds[fold], dataset
        if _is_of_many(stage.target):
            # Nothing is learned of people and things that are in the test part alone, or of whom no face was found.
            kept = self.crops(stage_name, stage.data, seed).kept
            known = Subset(dataset, np.intersect1d(parts.train, kept))
        labels = find_labels(known, stage.target, self._recipe.sources[stage.data].classes)
        examples = self._examples(stage_name, stage.data, labels, seed)
        train, validation, test = (examples.subset(numbers) for numbers in parts)
        affects = _AFFECT.get(stage.target, ())
        _check_known(stage_name, stage.target, affects, train)
        points = stage.points if stage.target == "landmarks" else ""
        outputs = Outputs(labels, affects, points, scales=stage.loss == "laplace")
        return Part(outputs, train, validation, _not_empty(test, stage_name, stage.data))

    def test(self, stage_name: str, source: str, labels: tuple[str, ...], seed: int) -> Examples:
        """Test part of another source; of one with folds, those of all folds together.

        Raises:
            MienError: the source cannot be had or divided, or no picture can be tested on.
        """
        folds = self._selection(source, self._recipe.stages[stage_name].target, seed).folds
        numbers = np.concatenate([parts.test for parts in folds])
        return _not_empty(self._examples(stage_name, source, labels, seed).subset(numbers), stage_name, source)

    def lineage_name(self, source: str) -> str:
        """What a source is called in a lineage such as "IN → MC1M → VF2 → AffectNet"; of renders, their domain."""
        found = self._recipe.sources[source]
        parts = [found, *(self._recipe.sources[name] for name in found.more)]
        is_rendered = self._root is None
        return JOINT.join(name_in_lineage(part.real, part.rendered if is_rendered else "") for part in parts)

    def crops(self, stage_name: str, source: str, seed: int) -> Crops:
        """Faces of the used samples of a source, as a stage sees them."""
        stage = self._recipe.stages[stage_name]
        spec = find_architecture(stage.architecture or self._recipe.architecture).input_for(
            contrast=stage.input_contrast
        )
        room = PRESETS[stage.augmentation].room if source == stage.data else _NO_ROOM
        drawn = (stage.target, seed) if self._recipe.sources[source].samples else None
        kind = stage.target if stage.target in ("category", "landmarks") else ""  # what decides how they are cut
        found = stage.crop, stage.detector, stage.contrast, stage.landmarks, kind
        key = (source, drawn, *found, spec, room)
        if key not in self._opened_crops:
            dataset = self._selection(source, stage.target, seed).dataset
            self._opened_crops[key] = open_crops(dataset, stage, spec, room, self._tell)
        return self._opened_crops[key]

    def _open(self, source: str) -> Dataset:
        return open_source(source, self._recipe.sources, self._root, self._side, self._tell)

    def _select(self, source: str, target: Target, seed: int) -> _Selection:
        """Divide a source; of one that gives only some samples, draw those that are used."""
        dataset, settings = self.dataset(source), self._recipe.sources[source]
        suspects = suspected(dataset, self._without)
        divided = divide(dataset, settings.split, seed)
        lost = [np.intersect1d(parts.train, suspects) for parts in divided]
        dropped = len(np.unique(np.concatenate(lost)))
        folds = [
            Parts(np.setdiff1d(train, suspects), np.setdiff1d(validation, suspects), test)
            for train, validation, test in divided
        ]
        if not settings.samples:
            return _Selection(dataset, folds, dropped)
        folds = [_drawn(dataset, parts, target, settings.samples, seed) for parts in folds]
        used = np.unique(np.concatenate([numbers for parts in folds for numbers in parts]))
        places = [Parts(*(np.searchsorted(used, numbers) for numbers in parts)) for parts in folds]
        return _Selection(Subset(dataset, used), places, dropped)

    def _examples(self, stage_name: str, source: str, labels: tuple[str, ...], seed: int) -> Examples:
        crops = self.crops(stage_name, source, seed)
        return make_examples(crops.dataset, crops, self._recipe.stages[stage_name].target, labels)


def name_in_lineage(data: str, domain: str = "") -> str:
    """What a data set, or the domain of renders in its place, is called in a lineage, without selections of frames."""
    name = data.partition(":")[0]
    return f"{_RENDERED}{domain.partition(':')[0]}" if domain else _LINEAGE_NAMES.get(name, name)


def names_renders(data: str) -> bool:
    """Whether data, as a lineage names those of a stage, are renders only."""
    return all(name.startswith(_RENDERED) for name in data.split(JOINT))


def _is_of_many(target: Target) -> bool:
    """Whether classes are people or things, of which a data set may have more than are used."""
    return target in ("identity", "category")


def _drawn(dataset: Dataset, parts: Parts, target: Target, samples: int, seed: int) -> Parts:
    """The parts with a few training pictures; validated and tested are only the people and things among them."""
    train = draw(dataset, parts.train, target, samples, seed)
    if not _is_of_many(target):
        return parts._replace(train=train)
    classes = dataset.labels.classes(target).places
    is_learned = np.isin(classes, classes[train])
    return Parts(train, *(numbers[is_learned[numbers]] for numbers in parts[1:]))


def _check_known(stage: str, target: Target, affects: Iterable[str], train: Examples) -> None:
    """Check that something of all that is learned is known."""
    missing = [name for name in affects if np.isnan(getattr(train, name)).all()]
    if target == "affect" and not train.labels:
        missing.append("expression")
    if missing:
        raise MienError(
            f"{train.source} has no {' and no '.join(missing)} in its training part, which the stage {stage} learns"
            f" (target: {target})",
            "Train the stage on a source that has it, or set another target",
        )


def _not_empty(test: Examples, stage: str, source: str) -> Examples:
    if not len(test):
        reasons = ", ".join(f"{count} × {reason}" for reason, count in test.left_out.items())
        raise MienError(
            f"The test part of {source} has no picture that {stage} can be tested on ({reasons or 'it is empty'})",
            "Divide the source otherwise, or test the stage on another one",
        )
    return test
