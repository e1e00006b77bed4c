"""The most confident errors of each test, and the tests without the pictures whose labels are suspected."""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from trainer.evaluate.ensembles import member_figures
from trainer.evaluate.predictions import AFFECTS, Predictions, Training, load_predictions, short_name, test_result
from trainer.evaluate.suspects import Suspect, find_suspects
from trainer.stages.result import StageResult, TestResult

PictureOf = Callable[[str, str], NDArray[np.uint8] | None]
"""Given a source of the recipe and the name of a picture, its crop, uint8 (H, W, 3) BGR; None where it is not to be
had."""

_SHOWN = 12
_MOST_CLASSES = 20
_SIDE = 96
_QUALITY = 80

_Figure = TypeVar("_Figure")

Key = tuple[str, int, str]
"""Stage, seed and source of a test."""


def is_listed(test: TestResult) -> bool:
    """Whether a test's classes, if it has any, are few enough for the page to list each."""
    return bool(test.confusion) and len(test.labels) <= _MOST_CLASSES


class Error(NamedTuple):
    """A picture that was taken for another class; `confidence` in percent, `wrong` of `seeds` networks agree."""

    name: str
    person: str
    truth: str
    predicted: str
    confidence: str
    wrong: int
    seeds: int
    is_suspect: bool
    jpeg: str


class Gallery(NamedTuple):
    """The most confident errors of a stage on a source; `note` says what they are, or why there are none."""

    source: str
    note: str
    errors: list[Error]


class Answers:
    """What the networks of a run answered on its tests, as far as the files are there.

    Attributes:
        predictions: by stage, seed and source.
        errors: of each test of classes, the most confident first.
        suspected: names of pictures by name of the data set: of the networks that were tested on the picture and can be
            trusted (`find_suspects`), more than half take its label for wrong. They are the same for all stages, so
            that the stages remain comparable.
        suspicion: by name of the data set, of how many pictures the labels are suspected, or why of none.
        asked: number of test pictures on which a network was that can be trusted.
        missing: why there are no predictions, or no errors, of a test.
    """

    def __init__(self, stages: Sequence[StageResult], folder: Path) -> None:
        self.predictions: dict[Key, Predictions] = {}
        self.errors: dict[Key, list[Suspect]] = {}
        self.missing: dict[Key, str] = {}
        asked: dict[str, Counter[str]] = defaultdict(Counter)
        flagged: dict[str, Counter[str]] = defaultdict(Counter)
        silent: dict[str, list[tuple[float, str]]] = defaultdict(list)
        for stage in stages:
            for source, test in stage.tests.items():
                key = stage.stage, stage.seed, source
                try:
                    self.predictions[key] = answers = load_predictions(folder / test.predictions)
                    if not is_listed(test):
                        continue
                    self.errors[key], distrust = find_suspects(answers)
                except MienError as error:
                    self.missing[key] = str(error)
                    continue
                if stage.members:
                    continue  # they have been asked one by one
                if distrust:
                    silent[test.data].append((test.figures.get("accuracy", 0.0), distrust))
                    continue
                asked[test.data].update(answers.names.tolist())
                flagged[test.data].update(error.name for error in self.errors[key] if error.is_issue)
        self.suspected: dict[str, set[str]] = {
            data: {name for name, votes in names.items() if 2 * votes > asked[data][name]}
            for data, names in flagged.items()
        }
        self.asked = sum(map(len, asked.values()))
        self.suspicion = {
            data: f"{len(names)} of {len(asked[data]):,} test pictures" for data, names in self.suspected.items()
        } | {
            data: f"none are named, no network can be trusted to: the best one {max(reasons)[1]}"
            for data, reasons in silent.items()
            if data not in asked
        }

    def of_test(self, stage: str, source: str) -> list[Predictions]:
        """Predictions of all seeds."""
        return [answers for key, answers in self.predictions.items() if (key[0], key[2]) == (stage, source)]

    def drop(self, stages: Sequence[StageResult]) -> list[StageResult]:
        """The stages with the figures of their tests without the suspected pictures."""
        reduced = {
            (stage.stage, stage.seed, source): self._reduced(
                test, self.predictions.get((stage.stage, stage.seed, source))
            )
            for stage in stages
            for source, test in stage.tests.items()
        }

        def figures(stage: StageResult, source: str) -> dict[str, float]:
            own = [reduced[member, stage.seed, source] for member in stage.members]
            return reduced[stage.stage, stage.seed, source].figures | member_figures(own)

        return [
            msgspec.structs.replace(
                stage,
                tests={
                    source: msgspec.structs.replace(
                        reduced[stage.stage, stage.seed, source], figures=figures(stage, source)
                    )
                    for source in stage.tests
                },
            )
            for stage in stages
        ]

    def kept(self, data: str, answers: Predictions) -> Predictions:
        """Predictions for the pictures that are not suspected."""
        return answers.select(~np.isin(answers.names, list(self.suspected.get(data, ()))))

    def gallery(self, stage: str, source: str, data: str, picture: PictureOf | None) -> Gallery:
        """The most confident errors of a stage on a source, all seeds together."""
        keys = [key for key in self.errors if (key[0], key[2]) == (stage, source)]
        if not keys:
            reasons = [why for key, why in self.missing.items() if (key[0], key[2]) == (stage, source)]
            return Gallery(source, " ".join(reasons[:1]), [])
        by_name: dict[str, list[Suspect]] = defaultdict(list)
        for key in keys:
            for error in self.errors[key]:
                by_name[error.name].append(error)
        asked = Counter(name for key in keys for name in self.predictions[key].names.tolist())
        worst = sorted(by_name.values(), key=lambda errors: min(error.quality for error in errors))[:_SHOWN]
        errors = []
        for same in worst:
            error = min(same, key=lambda one: one.quality)
            is_suspect = error.name in self.suspected.get(data, ())
            jpeg = to_jpeg(picture(source, error.name)) if picture is not None else ""
            errors.append(
                Error(
                    short_name(error.name),
                    error.person,
                    error.truth,
                    error.predicted,
                    f"{100 * error.confidence:.1f}",
                    len(same),
                    asked[error.name],
                    is_suspect,
                    jpeg,
                )
            )
        note = f"The {len(errors)} surest of {len(by_name)} pictures that were taken for another class in any seed."
        if errors and not any(error.jpeg for error in errors):
            note += " Their pictures are left out." if picture is None else " Their pictures are not at hand."
        return Gallery(source, note, errors)

    def _reduced(self, test: TestResult, answers: Predictions | None) -> TestResult:
        names = self.suspected.get(test.data)
        if answers is None or not names or not answers.has_classes:
            return test
        kept = self.kept(test.data, answers)
        if len(kept) in (0, len(answers)):
            return test
        # A label of a class says nothing against those of valence and arousal: their figures stay.
        no_affect: dict[str, Any] = {f"{affect}_{kind}": None for affect in AFFECTS for kind in ("truth", "predicted")}
        reduced = test_result(
            replace(kept, **no_affect),
            [Training(None, {})] * (int(kept.fold.max()) + 1),
            source=test.source,
            data=test.data,
            split=test.split,
            left_out={**test.left_out, "with a suspected label": len(answers) - len(kept)},
            file=test.predictions,
        )
        return msgspec.structs.replace(
            reduced,
            shared_people=test.shared_people,
            figures={**_of_affect(test.figures), **reduced.figures},
            intervals={**_of_affect(test.intervals), **reduced.intervals},
        )


def _of_affect(figures: Mapping[str, _Figure]) -> dict[str, _Figure]:
    return {name: figure for name, figure in figures.items() if name.startswith(AFFECTS)}


def to_jpeg(crop: NDArray[np.uint8] | None) -> str:
    """A crop as base64 JPEG of at most 96 pixels; empty without one."""
    if crop is None or crop.size == 0:
        return ""
    crop = np.ascontiguousarray(crop)  # OpenCV takes no mirrored views
    scale = min(1.0, _SIDE / max(crop.shape[:2]))
    small = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else crop
    _, coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return base64.b64encode(coded.tobytes()).decode()
