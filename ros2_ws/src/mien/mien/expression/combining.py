"""How the answers of several parts about one face become one answer; host and robot use these very functions.

`mean` is paper 004's eq. 4: the sum of the parts' probabilities, divided by their number, which changes no order.
`reliability` weighs each part by how far the others bear it out on this very face: a part whose region is covered may
be as sure as ever, but is borne out less. The paper weighs all parts alike; it never measured what a mask does.

Weights by how sure a part is itself (entropy, margin or highest probability) were tried and left: a sure part already
has a louder voice in the sum, and more of it cost up to two points of accuracy on rendered people, covered or not.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

_Floats = TypeVar("_Floats", bound="np.floating[Any]")

Rule = Literal["mean", "reliability"]
"""In a bundle's head: `mean_of_softmax` and `reliability_of_softmax`."""

_LEAST_AGREEMENT = 1e-6
"""Of parts that all contradict each other, which weigh the same then."""


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
    """Weight of each part for each face: how likely it and another part, each drawing by its probabilities, agree.

    For part m, the sum over the others j of Σ_k p_m(k) p_j(k), divided by that of all parts.

    Args:
        probabilities: float (parts, N, classes), as for `combine`.

    Returns:
        Float (parts, N), of the same kind; each face's weights sum to 1. Parts that say the same, and two parts
        whatever they say, weigh the same.
    """
    others = probabilities.sum(axis=0) - probabilities
    agreement: NDArray[_Floats] = np.maximum((probabilities * others).sum(axis=-1), _LEAST_AGREEMENT)
    result: NDArray[_Floats] = agreement / agreement.sum(axis=0)
    return result
