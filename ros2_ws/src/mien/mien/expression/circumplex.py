"""Valence and arousal from class probabilities, for models that have no outputs of their own for them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

RUSSELL_MEHRABIAN_1977 = {
    "happiness": (0.81, 0.51),
    "surprise": (0.40, 0.67),
    "anger": (-0.51, 0.59),
    "fear": (-0.64, 0.60),
    "disgust": (-0.60, 0.35),
    "sadness": (-0.63, -0.27),
    "neutral": (0.0, 0.0),
}
"""(valence, arousal), -1 to 1: the mean pleasure and arousal of the terms happy, surprised, angry, fearful, disgusted
and sad in J. A. Russell and A. Mehrabian, "Evidence for a three-factor theory of emotions", Journal of Research in
Personality 11 (1977) 273-294. Neutral is the origin by definition, it is not among their terms."""

CITATION = (
    "J. A. Russell, A. Mehrabian: Evidence for a three-factor theory of emotions. Journal of Research in Personality "
    "11 (1977) 273-294: mean pleasure and arousal of happy, surprised, angry, fearful, disgusted and sad; neutral is "
    "the origin by definition. Ratings of words, not of faces."
)
"""Of these coordinates, for people."""

CONTEMPT = (RUSSELL_MEHRABIAN_1977["disgust"][0] / 2, RUSSELL_MEHRABIAN_1977["disgust"][1] / 2)
"""(valence, arousal). Not among the published terms. Our choice: half of disgust, the calmer of the two rejections."""
COORDINATES = {**RUSSELL_MEHRABIAN_1977, "contempt": CONTEMPT}
"""(valence, arousal), -1 to 1, of all canonical expressions."""


def citation(labels: Iterable[str]) -> str:
    """Where the coordinates of these expressions come from, for people."""
    return f"{CITATION} Contempt: half of disgust, our choice." if "contempt" in labels else CITATION


def circumplex(probabilities: Array, coordinates: Array) -> tuple[Array, Array]:
    """The mean of the classes' coordinates, weighted by the probabilities.

    A mixture lies inside the polygon of the coordinates, so a hesitant classifier gives values near the middle.

    Args:
        probabilities: float32 (N, classes), rows sum to 1.
        coordinates: float32 (classes, 2), valence and arousal of each class.

    Returns:
        Valence and arousal, float32 (N,) each, in the range of the coordinates.
    """
    mean = np.asarray(probabilities @ coordinates, np.float32)
    return mean[:, 0], mean[:, 1]
