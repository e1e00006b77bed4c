"""The score of an epoch, from sums that are kept on the device, so that no step has to wait for its figures."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mien.errors import MienError
from trainer.data.batches import Batch
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


@torch.no_grad()
def measure(output: NetworkOutput, batch: Batch, loss: Tensor | None = None) -> Tensor:
    """Sums of one batch, float64 (9,), as `Sums`; the loss is a mean, and counts once for each picture."""
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
    return torch.stack([value.double() for value in sums])


def score(sums: Sums, outputs: Outputs, where: str) -> float:
    """Accuracy, 0 to 1, for a network that tells classes; else minus the RMSE, the mean over valence and arousal.

    Args:
        sums: over the pictures.
        outputs: of the network.
        where: for the error.

    Raises:
        MienError: no picture has a label.
    """
    if outputs.labels:
        known, values = [sums.labelled], [sums.right]
    else:
        errors = {
            "valence": (sums.valence_known, sums.valence_error),
            "arousal": (sums.arousal_known, sums.arousal_error),
        }
        known, values = map(list, zip(*(errors[name] for name in outputs.affect), strict=True))
    if 0 in known:
        raise MienError(f"{where}: no picture has a label of what is learned", "Give this part pictures that have one")
    means = [value / count for value, count in zip(values, known, strict=True)]
    return means[0] if outputs.labels else -sum(map(math.sqrt, means)) / len(means)
