"""Pictures that are likely mislabelled or ambiguous: found in held-out predictions, listed, and dropped on demand.

Dropping them from the test part flatters the score: the model that is judged has chosen them. So wherever they are
dropped, the figures with them are printed too, and first. Paper 001 (V.C, VI) found such pictures by eye; cleanlab
finds them by confident learning (Northcutt et al. 2021, Confident Learning: Estimating Uncertainty in Dataset Labels).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError, require
from trainer.data.output import whole_file
from trainer.data.sample import Dataset
from trainer.evaluate.predictions import Predictions

_FORMAT = "mien-suspects"
_VERSION = 1


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


class SuspectList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """suspects.json: pictures to leave out, as `short_name` calls them, by name of the data set; may be edited."""

    names: dict[str, list[str]]
    format: str = _FORMAT
    version: int = _VERSION


def find_suspects(predictions: Predictions) -> list[Suspect]:
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
    return [
        Suspect(
            name=str(predictions.names[known[number]]),
            person=str(predictions.people[known[number]]),
            truth=predictions.labels[truth[number]],
            predicted=predictions.labels[predicted[number]],
            confidence=float(probabilities[number].max()),
            quality=float(quality[number]),
            is_issue=bool(is_issue[number]),
        )
        for number in wrong[np.argsort(quality[wrong], kind="stable")]
    ]


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


def short_name(picture: str) -> str:
    """A picture's name without the folders that differ from machine to machine: its file and two folders above."""
    return "/".join(Path(picture).parts[-3:])


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
    except (OSError, msgspec.MsgspecError) as error:
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
