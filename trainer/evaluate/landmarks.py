"""Errors of located landmarks by how far the head is turned."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mien.errors import MienError
from trainer.evaluate.predictions import Predictions


class YawError(NamedTuple):
    """Error of the faces that are turned aside by `least` to less than `most` degrees, and how many there are."""

    least: float
    most: float
    pictures: int
    error: float


def errors_by_yaw(predictions: Predictions, edges: Sequence[float] = (0, 15, 30, 45, 90)) -> list[YawError]:
    """Mean landmark error of faces by how far they are turned aside, to either side (paper 004, VI's limitation).

    Args:
        predictions: of a network that locates landmarks.
        edges: between the groups, degrees, ascending.

    Returns:
        One for each group that has a picture; none where the data set does not say how far heads are turned.

    Raises:
        MienError: the predictions are of no landmarks.
    """
    if predictions.yaw is None:
        raise MienError("These predictions are of no landmarks", "Give those of a stage with target: landmarks")
    error, yaw = predictions.landmark_errors["landmark_error"], np.abs(predictions.yaw)
    groups = []
    for least, most in pairwise(edges):
        chosen = error[(yaw >= least) & (yaw < most) & np.isfinite(error)]
        if len(chosen):
            groups.append(YawError(least, most, len(chosen), float(chosen.mean())))
    return groups
