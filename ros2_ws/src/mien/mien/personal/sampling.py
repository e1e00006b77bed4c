"""Which moments of a pool to ask about: the samplers of paper 002 (section 3.4, Tables 2, 3 and 4).

All take a pool of N moments and choose K of them, in O(K·N) time and, beside the pool, O(N) memory. Distances are
Euclidean; where several moments are as good, the first of the pool is taken.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.personal.samples import Array, BaseHead

Sampler = Literal["random", "gsx", "gsy", "igs", "mcdue"]
SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)
DROPOUT_PASSES = 50
"""T of Table 4."""
DROPOUT_PROBABILITY = 0.5
"""π of Table 4."""

Rows = NDArray[np.int64]


def choose(
    sampler: Sampler,
    embeddings: Array,
    predictions: Array,
    count: int,
    random: np.random.Generator,
    uncertainty: NDArray[np.floating] | None = None,
) -> Rows:
    """Choose moments of a pool by a sampler of this module's name.

    Args:
        sampler: one of `SAMPLERS`.
        embeddings: float32 (N, D).
        predictions: float32 (N, P), what the base head says of them: probabilities, valence and arousal, or some.
        count: K, 0 to N.
        random: used by `random` only.
        uncertainty: float (N,) from `dropout_uncertainty`; needed by `mcdue` only.

    Returns:
        int64 (K,), different rows of the pool in the order of choosing.

    Raises:
        MienError: more are asked for than there are, numbers are not finite, or the sampler is unknown or lacks its
            uncertainty.
    """
    if sampler == "random":
        _check_count(count, len(embeddings))
        return random.choice(len(embeddings), count, replace=False).astype(np.int64)
    if sampler == "gsx":
        return gsx(embeddings, count)
    if sampler == "gsy":
        return gsy(predictions, count)
    if sampler == "igs":
        return igs(embeddings, predictions, count)
    if sampler == "mcdue" and uncertainty is not None:
        return mcdue(uncertainty, count)
    if sampler == "mcdue":
        raise MienError("The sampler mcdue needs the uncertainty of each moment", "Give it dropout_uncertainty(…)")
    raise MienError(f"There is no sampler {sampler!r}", f"Choose one of: {', '.join(SAMPLERS)}")


def gsx(embeddings: Array, count: int) -> Rows:
    """Greedy sampling in the feature space (Table 2): from the middle, always the farthest from all chosen."""
    return _greedy(_Points("embeddings", embeddings), (), count)


def gsy(predictions: Array, count: int) -> Rows:
    """Greedy sampling in the output space (Table 2, reduced): the same over predictions (N, P)."""
    return _greedy(_Points("predictions", predictions.astype(np.float64)), (), count)


def igs(embeddings: Array, predictions: Array, count: int) -> Rows:
    """Greedy sampling in both spaces (Table 3, reduced).

    Starts like `gsy`; then takes the moment whose smallest product of both distances to a chosen one is largest.
    """
    if len(embeddings) != len(predictions):
        raise MienError(f"{len(embeddings)} embeddings, {len(predictions)} predictions", "Give one for each moment")
    outputs = _Points("predictions", predictions.astype(np.float64))
    return _greedy(outputs, (_Points("embeddings", embeddings),), count)


def mcdue(uncertainty: NDArray[np.floating], count: int) -> Rows:
    """The most uncertain moments first (Table 4), from the uncertainty (N,) of `dropout_uncertainty`."""
    _check_count(count, len(uncertainty))
    _check_finite("uncertainty", uncertainty)
    return np.argsort(-uncertainty, kind="stable")[:count].astype(np.int64)


def dropout_uncertainty(
    head: BaseHead,
    embeddings: Array,
    random: np.random.Generator,
    passes: int = DROPOUT_PASSES,
    probability: float = DROPOUT_PROBABILITY,
) -> NDArray[np.float64]:
    """How much a head's predictions vary under dropout (Table 4): the inner loop of MCDUE.

    Dropout silences units of every hidden dense layer; of a part with a single layer, numbers of the embedding.

    Args:
        head: the general head that would be refined.
        embeddings: float32 (N, D).
        random: where the masks come from.
        passes: T, two or more.
        probability: π, the share of silenced units, above 0 and below 1.

    Returns:
        float64 (N,), the standard deviation over the passes; of several outputs (class probabilities, valence and
        arousal in units of their ranges) the root of their summed variances.

    Raises:
        MienError: passes or probability is out of its range, or numbers are not finite.
    """
    raise NotImplementedError


class _Points:
    """The pool as points of one space, with what makes distances to one of them a single matrix-vector product."""

    def __init__(self, name: str, points: NDArray[np.floating]) -> None:
        _check_finite(name, points)
        self._points = points
        self._squares: NDArray[np.floating] = np.einsum("nd,nd->n", points, points)

    def __len__(self) -> int:
        return len(self._points)

    def closest_to_centroid(self) -> int:
        """The row that is closest to the mean of all."""
        centroid = self._points.mean(axis=0, dtype=np.float64).astype(self._points.dtype)
        return int((self._squares - 2 * (self._points @ centroid)).argmin())

    def squared_distances(self, row: int) -> NDArray[np.floating]:
        """(N,) from every point to one of them: |a|² + |b|² − 2ab, at least 0."""
        distances = self._squares + self._squares[row] - 2 * (self._points @ self._points[row])
        return np.maximum(distances, 0, out=distances)


def _greedy(first: _Points, others: tuple[_Points, ...], count: int) -> Rows:
    """Tables 2 and 3: starts in the middle of the first space; distances are multiplied over all spaces.

    Works on squared distances: their products are ordered like those of the distances.
    """
    _check_count(count, len(first))
    chosen = np.empty(count, np.int64)
    nearest = np.full(len(first), np.inf)  # of each moment to the chosen ones
    for k in range(count):
        row = first.closest_to_centroid() if k == 0 else int(nearest.argmax())
        chosen[k] = row
        distances = first.squared_distances(row)
        for space in others:
            distances = distances * space.squared_distances(row)
        np.minimum(nearest, distances, out=nearest)
        nearest[chosen[: k + 1]] = -1
    return chosen


def _check_count(count: int, available: int) -> None:
    if not 0 <= count <= available:
        raise MienError(f"{count} moments are to be chosen of {available}", f"Choose from 0 to {available}")


def _check_finite(name: str, values: NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        raise MienError(f"The {name} of the pool hold numbers that are not finite", "Leave those moments out")
