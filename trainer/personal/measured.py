"""What is measured: how well heads tell a person's moments that they did not learn from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.expression.head import Head
from mien.personal.samples import Array, BaseHead, Samples, Tensors
from trainer.data.output import whole_file
from trainer.evaluate import metrics

FILE = "measured.json"
"""In a job's folder, once the job is done."""


class Key(NamedTuple):
    """What was done.

    Attributes:
        experiment: `transfer`, `curve`, `few`, `shift`, or a hard case.
        protocol: how the moments are divided: `frames`, `blocks` or `later`.
        arm: `base` (transfer 0 %), `no transfer`, or the way of learning.
        sampler: that chose the labelled moments; empty where all are labelled.
        amount: share that is labelled (`curve`), number of labels (`few`), or strength (`shift`); else 0.
    """

    experiment: str
    protocol: str
    arm: str
    sampler: str = ""
    amount: float = 0.0


class Measured(msgspec.Struct, frozen=True):
    """Figures of one person and one seed: `valence_rmse`, `arousal_rmse`, `accuracy`, `macro_f1`, `seconds` a fold."""

    key: Key
    figures: dict[str, float]


class Told(NamedTuple):
    """What heads said of N moments: float32 (N,), (N,) in -1 to 1, and probabilities (N, L)."""

    valence: Array
    arousal: Array
    probabilities: Array


def tell(base: BaseHead, tensors: Tensors, embeddings: Array) -> Told:
    """What a head with these tensors says."""
    head = Head(base.spec, tensors, len(base.labels), base.embedding_size)
    found = head.predict(embeddings)
    if found.valence is None or found.arousal is None:
        raise MienError("The general model tells no valence or no arousal", "Train it with target: affect")
    return Told(found.valence, found.arousal, found.probabilities)


def pooled(parts: list[Told]) -> Told:
    """Those of several folds as one."""
    return Told(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def figures(truth: Samples, told: Told) -> dict[str, float]:
    """RMSE of valence and arousal, accuracy and F1 of the classes; without those of which nothing is known."""
    found = {}
    for name in ("valence", "arousal"):
        true: NDArray[np.float32] = getattr(truth, name)
        known = ~np.isnan(true)
        if known.any():
            terms = metrics.affect_terms(true[known], getattr(told, name)[known]).sum(axis=0)
            found[f"{name}_rmse"] = float(metrics.rmse(terms))
    labelled = ~np.isnan(truth.classes).any(axis=1)
    if truth.classes.shape[1] and labelled.any():
        classes, named = truth.classes[labelled].argmax(axis=1), told.probabilities[labelled].argmax(axis=1)
        counts = metrics.count(classes, named, truth.classes.shape[1])
        found["accuracy"] = float(metrics.accuracy(counts))
        found["macro_f1"] = float(metrics.macro(metrics.f1(counts)))
    return found


def write_measured(folder: Path, rows: list[Measured]) -> None:
    """Say that the job of a folder is done."""
    with whole_file(folder / FILE) as partial:
        partial.write_bytes(msgspec.json.encode(rows) + b"\n")


def read_measured(folder: Path) -> list[Measured] | None:
    """What the job of a folder gave; None while it is not done.

    Raises:
        MienError: the file is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Measured])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MienError(f"{file} cannot be read ({error})", "Remove it and give the same command again") from error
