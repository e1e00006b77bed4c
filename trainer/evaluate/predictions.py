"""What a model answered on a test part, kept in a file, and the figures that follow from it."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from trainer.data.output import whole_file
from trainer.evaluate import metrics
from trainer.evaluate.intervals import bootstrap, sum_by_unit
from trainer.stages.result import ClassFigures, TestResult

MOST_CLASSES = 100
"""Of more, as of identities, neither the confusion nor the figures of each are listed, and only the top class and its
confidence are kept: the probabilities of thousands of people on all their pictures need more memory than there is."""
AFFECTS = ("valence", "arousal")
SHARES = ("neutral_called_negative", "teacher_agreement", "teacher_accuracy", "teacher_neutral_called_negative")
"""Figures that are the share of some pictures among others: neutral faces that are called negative; pictures of which
model and teacher say the same, of the classes that the teacher knows; and of these what it says itself."""
NEGATIVE = ("sadness", "fear", "disgust", "anger", "contempt")
_SEED = 0
"""Of the bootstrap: the same predictions give the same intervals."""
_DAMAGED = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
"""What numpy raises for a file that is cut off, changed or of something else."""

Floats = NDArray[np.float32]
Sums = NDArray[np.float64]
Names = NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Answers for N pictures of a test part, in any order.

    Attributes:
        labels: classes in the order of `probabilities`; empty where none are predicted.
        truth: int64 (N,), true class; -1 where it is not known.
        probabilities: float32 (N, classes); None where no classes are predicted, or more than `MOST_CLASSES`.
        valence_truth: float32 (N,), −1 to 1, NaN where it is not known; None where valence is not predicted.
        valence_predicted: float32 (N,); None likewise.
        arousal_truth: as of valence.
        arousal_predicted: as of valence.
        people: who it is, (N,), "" where that is not known.
        names: of the pictures, (N,), as `short_name` gives them.
        fold: int64 (N,), number of the fold whose model answered, from 0.
        top: int64 (N,), class with the highest probability, where that is all that is kept; else None.
        top_confidence: float32 (N,), its probability; None likewise.
        landmark_truth: float32 (N, K, 2), x and y across the crop, 0 to 1, NaN where not known; this and the following
            are None where no landmarks are predicted.
        landmark_predicted: float32 (N, K, 2).
        landmark_visible: bool (N, K), whether each can be seen.
        interocular: float32 (N,), distance of the outer corners of the eyes, in sides of the crop.
        yaw: float32 (N,), of the head, degrees, positive to the person's left; NaN where not known.
        teacher: float32 (N, classes), what another network says, NaN of classes that it does not know; None without.
    """

    labels: tuple[str, ...]
    truth: NDArray[np.int64]
    probabilities: Floats | None
    valence_truth: Floats | None
    valence_predicted: Floats | None
    arousal_truth: Floats | None
    arousal_predicted: Floats | None
    people: Names
    names: Names
    fold: NDArray[np.int64]
    top: NDArray[np.int64] | None = None
    top_confidence: Floats | None = None
    landmark_truth: Floats | None = None
    landmark_predicted: Floats | None = None
    landmark_visible: NDArray[np.bool_] | None = None
    interocular: Floats | None = None
    yaw: Floats | None = None
    teacher: Floats | None = None

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Class with the highest probability, int64 (N,); raises MienError where no classes are predicted."""
        return np.asarray(self.of_classes.argmax(axis=1), np.int64) if self.top is None else self.top

    @property
    def confidence(self) -> Floats:
        """Probability of that class, float32 (N,); raises MienError where no classes are predicted."""
        return np.asarray(self.of_classes.max(axis=1)) if self.top_confidence is None else self.top_confidence

    @property
    def has_classes(self) -> bool:
        """Whether classes are predicted."""
        return self.probabilities is not None or self.top is not None

    @property
    def of_classes(self) -> Floats:
        """The probabilities, float32 (N, classes); raises MienError where there are none."""
        if self.probabilities is None:
            raise MienError(
                "These predictions are of valence or arousal alone, or of too many classes to keep the probabilities",
                f"Give predictions of at most {MOST_CLASSES} classes",
            )
        return self.probabilities

    @property
    def landmark_errors(self) -> dict[str, Sums]:
        """Each picture's errors, as `trainer.evaluate.metrics.landmark_errors`; empty where none are predicted."""
        truth, predicted = self.landmark_truth, self.landmark_predicted
        visible, interocular = self.landmark_visible, self.interocular
        if truth is None or predicted is None or visible is None or interocular is None:
            return {}
        return metrics.landmark_errors(truth, predicted, visible, interocular)

    def select(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Predictions:
        """Some of the pictures, by mask or numbers."""
        chosen: dict[str, Any] = {
            name: None if values is None else values[which] for name, values in self._arrays().items()
        }
        return replace(self, **chosen)

    def save(self, path: Path) -> None:
        """Write an .npz, whole or not at all.

        Raises:
            MienError: the disk is full, or the folder cannot be written.
        """
        arrays: dict[str, Any] = {name: values for name, values in self._arrays().items() if values is not None}
        with whole_file(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, labels=np.array(self.labels, np.str_), **arrays)

    def _arrays(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "labels"}


def load_predictions(path: Path) -> Predictions:
    """Read what `Predictions.save` has written; no code is run.

    Raises:
        MienError: the file is missing, damaged, or of something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        labels = tuple(str(label) for label in arrays.pop("labels"))
        of_affects = {f"{affect}_{kind}" for affect in AFFECTS for kind in ("truth", "predicted")}
        optional = {"probabilities", "top", "top_confidence", *of_affects}
        found = Predictions(labels, **{**dict.fromkeys(optional), **arrays})
        # They were whole paths once.
        return replace(found, names=np.array([short_name(name) for name in found.names.tolist()], np.str_))
    except _DAMAGED as error:
        raise MienError(f"{path} holds no predictions ({error})", "Run the recipe again to write it anew") from error


def short_name(picture: str) -> str:
    """A picture's name without the folders that differ from machine to machine: its file and two folders above."""
    return "/".join(Path(picture).parts[-3:])


def pool(parts: Sequence[Predictions]) -> Predictions:
    """Put the folds of one stage together; all have the same labels and predict the same."""
    together: dict[str, Any] = {
        name: None if values is None else np.concatenate([part._arrays()[name] for part in parts])
        for name, values in parts[0]._arrays().items()
    }
    return replace(parts[0], **together)


@dataclass(frozen=True)
class Training:
    """What the figures need to know of a fold's training and validation part.

    Attributes:
        people: in either; None where not known.
        means: of valence and arousal over the training part, as far as they are predicted.
    """

    people: Collection[str] | None
    means: Mapping[str, float]


def figures(predictions: Predictions, training: Sequence[Training]) -> dict[str, float]:
    """Figures by name, as `trainer.stages.result.TestResult` lists them; without those that are not defined."""
    return _total(_sums_of_units(predictions, training))


def test_result(
    predictions: Predictions,
    training: Sequence[Training],
    *,
    source: str,
    data: str,
    split: str,
    left_out: Mapping[str, int],
    file: str,
) -> TestResult:
    """Everything that is reported of a stage on the test part of a source.

    Intervals are 95 % percentile intervals of a bootstrap over people, or over pictures where not all people are named
    (`people` is None then); there are none for fewer than two people. The calibration error has none: resampling
    raises it. A figure that is not defined is left out.

    Args:
        predictions: of all folds, pooled.
        training: what each fold was trained on, by number of the fold.
        source: name in the recipe.
        data: name of the data set.
        split: how it was divided, in words.
        left_out: pictures that could not be used, by reason.
        file: where the predictions are kept, relative to the run's folder.

    Raises:
        MienError: there is not one picture.
    """
    if len(predictions) == 0:
        why = "; ".join(left_out) or "its test part is empty"
        raise MienError(f"{source}: {data} has no picture to test on ({why})", "Check the source's split and crop")
    sums = _sums_of_units(predictions, training)
    intervals = bootstrap(sums, _figures, _SEED)
    confusion, of_classes = _classes(predictions)
    is_named = bool((predictions.people != "").all())
    return TestResult(
        source=source,
        data=data,
        split=split,
        people=len(np.unique(predictions.people)) if is_named else None,
        shared_people=_shared_people(predictions, training) if is_named else None,
        pictures=len(predictions),
        folds=len(np.unique(predictions.fold)),
        left_out=dict(left_out),
        labels=predictions.labels,
        figures=_total(sums),
        intervals={name: bounds for name, bounds in intervals.items() if name != "calibration_error"},
        confusion=confusion,
        classes=of_classes,
        predictions=file,
    )


def _shared_people(predictions: Predictions, training: Sequence[Training]) -> int | None:
    shared: set[str] = set()
    for fold in np.unique(predictions.fold):
        trained = training[fold].people
        if trained is None:
            return None
        shared |= set(predictions.people[predictions.fold == fold].tolist()) & set(trained)
    return len(shared)


def _classes(predictions: Predictions) -> tuple[list[list[int]], dict[str, ClassFigures]]:
    if not predictions.has_classes or len(predictions.labels) > MOST_CLASSES:
        return [], {}
    known = predictions.truth >= 0
    answers = predictions.truth[known], predictions.predicted[known], len(predictions.labels)
    counts = metrics.count(*answers)
    columns = [metrics.precision(counts), metrics.recall(counts), metrics.f1(counts)]
    of_classes = {}
    for number, label in enumerate(predictions.labels):
        precision, recall, f1 = (None if np.isnan(column[number]) else float(column[number]) for column in columns)
        of_classes[label] = ClassFigures(precision, recall, f1, int(counts.true[number]))
    return metrics.confusion_matrix(*answers).tolist(), of_classes


def _sums_of_units(predictions: Predictions, training: Sequence[Training]) -> dict[str, Sums]:
    """What each person, or each picture where not all are named, contributes to the figures: (units, K) by name."""
    is_named = bool((predictions.people != "").all())
    names, unit = np.unique(predictions.people if is_named else predictions.names, return_inverse=True)
    sums: dict[str, Sums] = {}
    if predictions.has_classes:
        known = predictions.truth >= 0
        sums |= _sums_of_classes(predictions.select(known), unit[known], len(names))
        if is_named:
            answers = sums["true"].sum(axis=1)
            share = np.divide(sums["right"].sum(axis=1), answers, out=np.zeros(len(names)), where=answers > 0)
            sums["people"] = np.stack([share, answers > 0], axis=1)
    sums |= {name: sum_by_unit(values, unit, len(names)) for name, values in _shares(predictions).items()}
    for affect in AFFECTS:
        truths, predicted = getattr(predictions, f"{affect}_truth"), getattr(predictions, f"{affect}_predicted")
        if truths is None or predicted is None:
            continue
        known = ~np.isnan(truths)
        means = np.array([fold.means[affect] for fold in training])[predictions.fold]
        for name, guess in ((affect, predicted), (f"{affect} of mean", means)):
            sums[name] = sum_by_unit(metrics.affect_terms(truths[known], guess[known]), unit[known], len(names))
    for name, errors in predictions.landmark_errors.items():
        known = ~np.isnan(errors)
        sums[name] = sum_by_unit(np.stack([errors[known], np.ones(known.sum())], 1), unit[known], len(names))
    return sums


def _shares(predictions: Predictions) -> dict[str, Sums]:
    """By figure: whether each picture is one that it counts, among those that it looks at, and whether it is one of
    these; (N, 2).
    """
    labels, truth, told = predictions.labels, predictions.truth, predictions.probabilities
    if told is None:
        return {}
    names = np.array([*labels, ""])
    is_neutral, is_negative = (names == "neutral")[truth], np.isin(names, NEGATIVE)
    found = {"neutral_called_negative": (is_negative[told.argmax(axis=1)], is_neutral)}
    if predictions.teacher is not None:
        is_known = np.asarray(np.isfinite(predictions.teacher).any(axis=0))
        theirs, ours = (np.where(is_known, each, -1).argmax(axis=1) for each in (predictions.teacher, told))
        found["teacher_agreement"] = (ours == theirs, np.ones(len(truth), np.bool_))
        found["teacher_accuracy"] = (theirs == truth, (truth >= 0) & is_known[truth])
        found["teacher_neutral_called_negative"] = (is_negative[theirs], is_neutral)
    return {name: np.stack([hit & looked_at, looked_at], 1).astype(float) for name, (hit, looked_at) in found.items()}


def _sums_of_classes(predictions: Predictions, unit: NDArray[np.intp], units: int) -> dict[str, Sums]:
    truth, predicted = predictions.truth, predictions.predicted
    right = truth == predicted
    # Of many classes only the totals: a table of people and classes could be too large.
    classes = len(predictions.labels) if len(predictions.labels) <= MOST_CLASSES else 1
    answers = {"right": (truth[right], unit[right]), "true": (truth, unit), "named": (predicted, unit)}
    sums = {}
    for name, (of_class, own) in answers.items():
        cells = np.bincount(own * classes + of_class % classes, minlength=units * classes)
        sums[name] = cells.reshape(units, classes).astype(np.float64)
    return sums | {"gaps": sum_by_unit(metrics.calibration_gaps(right, predictions.confidence), unit, units)}


def _total(sums: Mapping[str, Sums]) -> dict[str, float]:
    total = _figures({name: values.sum(axis=0, keepdims=True) for name, values in sums.items()})
    return {name: float(value[0]) for name, value in total.items() if not np.isnan(value[0])}


def _figures(sums: Mapping[str, Sums]) -> dict[str, Sums]:
    """Figures (R,) from sums (R, K)."""
    found = {}
    if "true" in sums:
        counts = metrics.Counts(sums["right"], sums["true"], sums["named"])
        found["accuracy"] = metrics.accuracy(counts)
        if counts.true.shape[-1] > 1:
            found["macro_precision"] = metrics.macro(metrics.precision(counts))
            found["macro_recall"] = metrics.macro(metrics.recall(counts))
            found["macro_f1"] = metrics.macro(metrics.f1(counts))
        found["calibration_error"] = metrics.calibration_error(sums["gaps"], counts.true.sum(axis=-1))
    if "people" in sums:
        found["mean_over_people"] = metrics.ratio(sums["people"][:, 0], sums["people"][:, 1])
    for affect in AFFECTS:
        if affect in sums:
            found[f"{affect}_rmse"] = metrics.rmse(sums[affect])
            found[f"{affect}_ccc"] = metrics.ccc(sums[affect])
            found[f"{affect}_rmse_of_mean"] = metrics.rmse(sums[f"{affect} of mean"])
    for name in sums:
        if name.endswith("landmark_error") or name in SHARES:
            found[name] = metrics.ratio(sums[name][:, 0], sums[name][:, 1])
    return found
