"""Temperature scaling: probabilities that mean what they say, without another answer (Guo and others 2017).

C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017 (arXiv 1706.04599),
4.2. The temperature becomes part of the last layer, so that neither checkpoints nor bundles need to know of it.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mien.errors import MienError
from trainer.data.batches import Batches
from trainer.data.labels import UNKNOWN
from trainer.models import Network
from trainer.stages.predict import answers
from trainer.stages.processes import gather

LARGEST = 20.0
"""Temperature, and one divided by the smallest: beyond it the pictures say nothing of it."""
_HALVINGS = 40


def calibrate(network: Network, validation: Batches, fabric: Fabric) -> float:
    """Divide the logits of a network's classes by the temperature with which other pictures are likeliest.

    Args:
        network: whose last layer is changed in place; it tells classes. It is moved to the processes' device.
        validation: this process's share of pictures that it was not trained on.
        fabric: of the processes, all of which call this.

    Returns:
        The temperature.

    Raises:
        MienError: none of the pictures has a class.
    """
    network.to(fabric.device)
    logits, classes = [], []
    for output, batch in answers(network, validation, fabric):
        told = cast(Tensor, output.classes)
        known = batch.classes != UNKNOWN
        logits.append(told[known].double())
        classes.append(batch.classes[known])
    temperature = likeliest_temperature(gather(torch.cat(logits), fabric), gather(torch.cat(classes), fabric))
    last = cast(nn.ModuleDict, network.parts["output"])["classes"]
    with torch.no_grad():
        for weights in last.parameters():
            weights.div_(temperature)
    return temperature


def likeliest_temperature(logits: Tensor, classes: Tensor) -> float:
    """The temperature T for which softmax(logits / T) gives the true classes the largest likelihood.

    The likelihood is concave in 1 / T, where its slope is the sum of the true logits minus the expected ones.

    Args:
        logits: float64 (N, classes).
        classes: int64 (N,), true ones.

    Returns:
        T, above 1 / `LARGEST` and at most `LARGEST`; 1 where a smaller one were likelier still, as without any mistake:
        then the pictures say nothing of it.

    Raises:
        MienError: there is no picture.
    """
    if not len(logits):
        raise MienError(
            "No picture of the validation part has a class to calibrate by", "Leave out calibrate, or give it some"
        )
    right = logits.gather(1, classes[:, None]).sum()
    low, high = 1 / LARGEST, LARGEST  # of 1 / T
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        is_rising = bool(right >= ((middle * logits).softmax(1) * logits).sum())
        low, high = (middle, high) if is_rising else (low, middle)
    found = 1 / math.sqrt(low * high)
    return found if found > 1.001 / LARGEST else 1.0
