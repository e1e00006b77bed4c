"""The score of an epoch, from sums that are kept on the device, so that no step has to wait for its figures."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mien.errors import MienError
from trainer.data.batches import Batch
from trainer.data.face_parts import INTEROCULAR, PARTS
from trainer.data.labels import UNKNOWN
from trainer.models import NetworkOutput, Outputs


class Sums(NamedTuple):
    """Sums over the pictures of an epoch, in the order of `measure`'s tensor.

    Attributes:
        pictures: that were seen.
        loss: of each.
        finite_steps: batches whose loss was a finite number.
        labelled: pictures with a class.
        right: of these, those whose class the network gave the highest logit.
        valence_known: pictures with a valence.
        valence_error: sum of the squared errors.
        arousal_known: as of valence.
        arousal_error: as of valence.
        landmarks_known: pictures with landmarks and both outer corners of the eyes.
        landmarks_error: sum of the mean distances of their landmarks, over that of these corners.
    """

    pictures: float
    loss: float
    finite_steps: float
    labelled: float
    right: float
    valence_known: float
    valence_error: float
    arousal_known: float
    arousal_error: float
    landmarks_known: float = 0.0
    landmarks_error: float = 0.0


@torch.no_grad()
def measure(output: NetworkOutput, batch: Batch, outputs: Outputs, loss: Tensor | None = None) -> Tensor:
    """Sums of one batch, float64 (11,), as `Sums`; the loss is a mean, and counts once for each picture."""
    pictures = len(batch.numbers)
    zero = torch.zeros((), device=batch.images.device)
    loss = zero if loss is None else loss.detach()
    labelled = right = zero
    if output.classes is not None:
        labelled = (batch.classes != UNKNOWN).sum()
        right = (output.classes.argmax(dim=1) == batch.classes).sum()  # Never -1, so unknown ones are not right.
    sums = [zero + pictures, loss * pictures, loss.isfinite(), labelled, right]
    for values, truth in ((output.valence, batch.valence), (output.arousal, batch.arousal)):
        known = zero if values is None else truth.isfinite()
        errors = zero if values is None else (values.float() - truth).square().nan_to_num(nan=0.0)
        sums += [known.sum(), errors.sum()]
    sums += _of_landmarks(output.landmarks, batch.landmarks, outputs) if output.landmarks is not None else [zero, zero]
    return torch.stack([value.double() for value in sums])


def _of_landmarks(told: Tensor, truth: Tensor, outputs: Outputs) -> list[Tensor]:
    """How many pictures' errors are known, and their sum; as `trainer.evaluate.metrics.landmark_errors`."""
    right, left = (truth[:, corner] for corner in INTEROCULAR)
    truth = truth[:, PARTS[outputs.points or "all"]]
    distance = torch.linalg.vector_norm(told.float().reshape(truth.shape) - truth, dim=2).nanmean(dim=1)
    errors = distance / torch.linalg.vector_norm(right - left, dim=1)
    known = errors.isfinite()
    return [known.sum(), errors[known].sum()]


def score(sums: Sums, outputs: Outputs, where: str) -> float:
    """Accuracy, 0 to 1, for a network that tells classes; else minus its error.

    That is the mean distance of landmarks over that of the eyes' outer corners, or the RMSE, the mean over valence and
    arousal.

    Args:
        sums: over the pictures.
        outputs: of the network.
        where: for the error.

    Raises:
        MienError: no picture has a label.
    """
    if outputs.labels:
        known, values = [sums.labelled], [sums.right]
    elif outputs.points:
        known, values = [sums.landmarks_known], [sums.landmarks_error]
    else:
        errors = {
            "valence": (sums.valence_known, sums.valence_error),
            "arousal": (sums.arousal_known, sums.arousal_error),
        }
        known, values = map(list, zip(*(errors[name] for name in outputs.affect), strict=True))
    if 0 in known:
        raise MienError(f"{where}: no picture has a label of what is learned", "Give this part pictures that have one")
    means = [value / count for value, count in zip(values, known, strict=True)]
    if outputs.labels or outputs.points:
        return means[0] if outputs.labels else -means[0]
    return -sum(map(math.sqrt, means)) / len(means)
