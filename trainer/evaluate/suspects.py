"""Pictures that are likely mislabelled or ambiguous: found in held-out predictions, listed, and dropped on demand.

Dropping them from the test part flatters the score: the model that is judged has chosen them. So wherever they are
dropped, the figures with them are printed too, and first. Paper 001 (V.C, VI) found such pictures by eye; cleanlab
finds them by confident learning (Northcutt et al. 2021, Confident Learning: Estimating Uncertainty in Dataset Labels).

A network that is seldom right contradicts most labels, and that says nothing of the labels. So one names suspects only
where it is right for more than half of the pictures and more often than always naming the most frequent class, by the
lower end of a 95 % interval, and where it would not name more than a fifth of the pictures.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError, require
from trainer.data.output import whole_file
from trainer.data.sample import Dataset
from trainer.evaluate.predictions import Predictions, short_name

_FORMAT = "mien-suspects"
_VERSION = 1
_QUANTILE = 1.96
"""Of the normal distribution, for 95 %."""

LEAST_ACCURACY = 0.5
MOST_SUSPECTS = 0.2
"""Share of labels."""


class Suspect(msgspec.Struct, frozen=True):
    """A picture whose label the model contradicts.

    Attributes:
        name: of the picture.
        person: "" where not known.
        truth: its label.
        predicted: what the model says.
        confidence: probability of that, 0 to 1.
        quality: of the label, 0 (surely wrong) to 1: (1 + margin) / 2, its probability's margin above any other.
        is_issue: whether confident learning takes the label for wrong.
    """

    name: str
    person: str
    truth: str
    predicted: str
    confidence: float
    quality: float
    is_issue: bool


class Errors(NamedTuple):
    """Errors of a network, the most confident first; `distrust` says why none is an issue, empty where one may be."""

    errors: list[Suspect]
    distrust: str


class SuspectList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """suspects.json: pictures to leave out, as `short_name` calls them, by name of the data set; may be edited."""

    names: dict[str, list[str]]
    format: str = _FORMAT
    version: int = _VERSION


def find_suspects(predictions: Predictions) -> Errors:
    """The errors of models on pictures that they have not been trained on, the most confident first.

    Args:
        predictions: of classes; pictures without a label do not count.

    Returns:
        By rising quality of the label. Each picture whose label is taken for wrong is among them.

    Raises:
        MienError: cleanlab is not installed, or no classes are predicted.
    """
    known = np.flatnonzero(predictions.truth >= 0)
    truth, probabilities = predictions.truth[known], predictions.of_classes[known].astype(np.float64)
    quality, is_issue = _quality(truth, probabilities)
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != truth)
    distrust = _distrust(truth, len(truth) - len(wrong), int(is_issue.sum()))
    errors = [
        Suspect(
            name=str(predictions.names[known[number]]),
            person=str(predictions.people[known[number]]),
            truth=predictions.labels[truth[number]],
            predicted=predictions.labels[predicted[number]],
            confidence=float(probabilities[number].max()),
            quality=float(quality[number]),
            is_issue=bool(is_issue[number]) and not distrust,
        )
        for number in wrong[np.argsort(quality[wrong], kind="stable")]
    ]
    return Errors(errors, distrust)


def _distrust(truth: NDArray[np.int64], right: int, issues: int) -> str:
    """Why a network that is so often right says nothing of the labels; empty where it does."""
    if len(truth) == 0:
        return "was tested on no labelled picture"
    chance, lowest = float(np.bincount(truth).max()) / len(truth), _lower_end(right, len(truth))
    if lowest <= max(chance, LEAST_ACCURACY):
        least = f"the {100 * chance:.1f} % of the largest class" if chance > LEAST_ACCURACY else "half of them"
        share = f"{100 * right / len(truth):.1f} % of {len(truth)} pictures"
        return f"is right for {share}, not surely for more than {least}"
    if issues > MOST_SUSPECTS * len(truth):
        return f"would suspect {issues} of {len(truth)} labels, more than {100 * MOST_SUSPECTS:.0f} %"
    return ""


def _lower_end(right: int, count: int) -> float:
    """Lower end of Wilson's 95 % interval of a share."""
    share, square = right / count, _QUANTILE**2 / count
    return (share + square / 2 - math.sqrt(square * (share * (1 - share) + square / 4))) / (1 + square)


def _quality(
    truth: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Quality of each label, float64 (N,), 0 to 1, and whether it is taken for wrong, bool (N,)."""
    rank, find = require("cleanlab.rank", "trainer"), require("cleanlab.filter", "trainer")
    if len(np.unique(truth)) < 2:  # cleanlab compares classes
        is_issue = np.zeros(len(truth), np.bool_)
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="May not flag all label issues")
            is_issue = find.find_label_issues(truth, probabilities, n_jobs=1)
    if len(truth) == 0:
        return np.zeros(0), is_issue
    return rank.get_label_quality_scores(truth, probabilities, method="normalized_margin"), is_issue


def write_suspects(path: Path, names: Mapping[str, Sequence[str]]) -> None:
    """Write suspects.json for `mien-train run --without`.

    Args:
        path: of the file.
        names: of the pictures, by name of the data set.

    Raises:
        MienError: the file cannot be written.
    """
    content = SuspectList({data: sorted({short_name(name) for name in of_data}) for data, of_data in names.items()})
    with whole_file(path) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")


def read_suspects(path: Path) -> SuspectList:
    """Read suspects.json.

    Raises:
        MienError: the file is missing, is no such list, or comes from a newer version.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=SuspectList)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MienError(f"{path} cannot be read ({error})", "Give the suspects.json of a report") from error
    if (found.format, found.version) != (_FORMAT, _VERSION):
        raise MienError(
            f"{path} is {found.format} version {found.version}, not {_FORMAT} {_VERSION}",
            "Write it anew with this version",
        )
    return found


def suspected(dataset: Dataset, suspects: SuspectList) -> NDArray[np.intp]:
    """Numbers of a data set's suspects, ascending; none where the list does not name the data set.

    Raises:
        MienError: the list names pictures of this data set but it has none of them, or several of one name.
    """
    unwanted = set(suspects.names.get(dataset.name, ()))
    if not unwanted:
        return np.array([], np.intp)
    found = np.flatnonzero([short_name(sample.picture.name) in unwanted for sample in dataset])
    if not 0 < len(found) <= len(unwanted):
        raise MienError(
            f"The list of suspects names {len(unwanted)} pictures of {dataset.name}, such as {min(unwanted)}; "
            f"{len(found)} have such a name",
            "Give the list that a report on this very data has written",
        )
    return found
