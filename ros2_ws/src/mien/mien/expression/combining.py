"""How the answers of several parts about one face become one answer; host and robot use these very functions.

`mean` is paper 004's eq. 4: the sum of the parts' probabilities, divided by their number, which changes no order.
`reliability` weighs each part by how sure it is about this very face: a part whose region is covered is seldom sure of
anything, and counts less. The paper weighs all parts alike; it never measured what a mask does.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

_Floats = TypeVar("_Floats", bound="np.floating[Any]")

Rule = Literal["mean", "reliability"]
"""In a bundle's head: `mean_of_softmax` and `reliability_of_softmax`."""

SHARPNESS = 4.0
"""Of the weights of `reliability`."""


def combine(rule: Rule, probabilities: NDArray[_Floats]) -> NDArray[_Floats]:
    """Combine the parts' probabilities.

    Args:
        rule: how.
        probabilities: float (parts, N, classes), of each part, each row summing to 1.

    Returns:
        Float (N, classes), of the same kind; each row sums to 1.
    """
    if rule == "mean":
        mean: NDArray[_Floats] = probabilities.mean(axis=0)
        return mean
    weighted: NDArray[_Floats] = (reliability(probabilities)[..., np.newaxis] * probabilities).sum(axis=0)
    return weighted


def reliability(probabilities: NDArray[_Floats]) -> NDArray[_Floats]:
    """Weight of each part for each face: exp(-`SHARPNESS` · H / ln classes), H the entropy of its answer.

    Args:
        probabilities: float (parts, N, classes), as for `combine`.

    Returns:
        Float (parts, N), of the same kind; each face's weights sum to 1. Parts that are equally sure weigh the same.
    """
    logarithms = np.log(np.maximum(probabilities, np.finfo(probabilities.dtype).tiny))
    entropy = -(probabilities * logarithms).sum(axis=-1) / np.log(probabilities.shape[-1])
    weights: NDArray[_Floats] = np.exp(-SHARPNESS * entropy).astype(probabilities.dtype)
    result: NDArray[_Floats] = weights / weights.sum(axis=0)
    return result
