"""What a finished job leaves in its folder (job.json), beside its network and its answers."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mien.errors import MienError
from trainer.data.output import whole_file
from trainer.stages.result import Epoch

JOB_FILE = "job.json"
"""It is there once the job is finished."""


class JobTest(msgspec.Struct, frozen=True):
    """A job's network on the test part of a source; its answers are in `answers_file`.

    Attributes:
        data: name of the data set.
        split: how it is divided, in words.
        left_out: pictures that could not be used, by reason.
    """

    data: str
    split: str
    left_out: dict[str, int]


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a job gives; written last.

    Attributes:
        architecture: of the network.
        parameters: of the network.
        macs: multiply-accumulates for one picture.
        has_classes: whether it tells classes, so that scores are accuracies; else minus the RMSE, or the error of
            landmarks.
        has_landmarks: whether it locates landmarks.
        lineage: as "IN → MC1M → VF2 → AffectNet".
        trained: share of the parameters that were trained.
        people: in the training and the validation part; None where the data set does not name all.
        means: of valence and arousal over the training part, as far as they are learned.
        parts: pictures of each class in the training part as it was used, in the validation and in the test part.
        epochs: of the training.
        tests: by source.
    """

    architecture: str
    parameters: int
    macs: int
    has_classes: bool
    has_landmarks: bool = False
    lineage: str
    trained: float
    people: list[str] | None
    means: dict[str, float]
    parts: dict[str, dict[str, int]]
    epochs: list[Epoch]
    tests: dict[str, JobTest]

    @property
    def score(self) -> float:
        """Of the last epoch of a training, held out where that was measured: accuracy, or minus the error."""
        last = self.epochs[-1]
        return last.training_score if last.validation_score is None else last.validation_score


def answers_file(folder: Path, source: str) -> Path:
    """Where the answers on the test part of a source are kept."""
    return folder / f"{source}.npz"


def write_job(folder: Path, result: JobResult) -> None:
    """Say that the job of a folder is finished."""
    with whole_file(folder / JOB_FILE) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")


def read_job(folder: Path) -> JobResult | None:
    """What the job of a folder gave; None while it is not finished.

    Raises:
        MienError: the file is damaged.
    """
    file = folder / JOB_FILE
    if not file.is_file():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=JobResult)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MienError(f"{file} cannot be read ({error})", "Remove it and give the same command again") from error
