"""Which moments of a pool to ask about: the samplers of paper 002 (section 3.4, Tables 2, 3 and 4).

All take a pool of N moments and choose K of them, in O(K·N) time and, beside the pool, O(N) memory. Distances are
Euclidean; where several moments are as good, the first of the pool is taken.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.expression.combining import combine
from mien.expression.head import Prediction, softmax
from mien.personal.dense import Dense, Dropout
from mien.personal.samples import Array, BaseHead

Sampler = Literal["random", "gsx", "gsy", "igs", "mcdue"]
SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)
DROPOUT_PASSES = 50
"""T of Table 4."""
DROPOUT_PROBABILITY = 0.5
"""π of Table 4."""

_AHEAD = 16  # of 1152 numbers each, 320 of 10,000 take a third of the time that they take one by one
_ROWS_AT_ONCE = 512  # memory of dropout passes

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
        predictions: float32 (N, P), what the base head says of them, from `outputs_of`.
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


def outputs_of(head: BaseHead, prediction: Prediction) -> Array:
    """What a head says of N moments as points, float32 (N, P): probabilities, then valence and arousal.

    One unit is the same as on the scale from −1 to 1, whatever the head's own range; only distances have a meaning.
    """
    affect = [values * _unit(head) for values in (prediction.valence, prediction.arousal) if values is not None]
    return np.column_stack([prediction.probabilities, *affect]).astype(np.float32)


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
    if passes < 2 or not 0 < probability < 1:
        raise MienError(
            f"Dropout of {probability} in {passes} passes says nothing of uncertainty",
            "Take two or more passes, and a probability above 0 and below 1",
        )
    _check_finite("embeddings", embeddings)
    dense, dropout = Dense(head.spec), Dropout(probability, random)
    result = np.empty(len(embeddings))
    for start in range(0, len(embeddings), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        outputs = np.stack([_outputs(head, dense, embeddings[rows], dropout) for _ in range(passes)])
        result[rows] = np.sqrt(outputs.var(axis=0).sum(axis=1))
    return result


def _outputs(head: BaseHead, dense: Dense, embeddings: Array, dropout: Dropout) -> NDArray[np.float64]:
    """All outputs of a pass with dropout, float64 (N, P): probabilities, then valence and arousal from -1 to 1."""
    values = dense.forward(head.tensors, embeddings, dropout).values
    classes = [softmax(values[part.last]) for part in dense.parts if part.output == "classes"]
    affect = [values[part.last] * _unit(head) for part in dense.parts if part.output != "classes"]
    told = head.spec.classes
    probabilities = [] if told is None else [combine(told.rule, np.stack(classes))]
    return np.concatenate([*probabilities, *affect], axis=1, dtype=np.float64)


def _unit(head: BaseHead) -> float:
    """What turns a difference of valence or arousal in the head's range into one from −1 to 1."""
    low, high = head.affect_range or (-1.0, 1.0)
    return 2 / (high - low)


class _Points:
    """The pool as points of one space, with what makes distances to some of them a single product of matrices."""

    def __init__(self, name: str, points: NDArray[np.floating]) -> None:
        _check_finite(name, points)
        self._points = points
        self._squares: NDArray[np.floating] = np.einsum("nd,nd->n", points, points)

    def __len__(self) -> int:
        return len(self._points)

    def closest_to_centroid(self) -> int:
        """The row that is closest to the mean of all."""
        total = self._points.sum(axis=0, dtype=np.float64).astype(self._points.dtype)
        # N times the squared distance but for a constant: without dividing, equal ones stay equal.
        return int((len(self) * self._squares - 2 * (self._points @ total)).argmin())

    def squared_distances(self, rows: Rows) -> NDArray[np.floating]:
        """(rows, N) from some points to every one: |a|² + |b|² − 2ab, at least 0."""
        distances = self._points @ self._points[rows].T
        distances *= -2
        distances += self._squares[:, None]
        distances += self._squares[rows]
        return np.ascontiguousarray(np.maximum(distances, 0, out=distances).T)


def _greedy(first: _Points, others: tuple[_Points, ...], count: int) -> Rows:
    """Tables 2 and 3: starts in the middle of the first space; distances are multiplied over all spaces.

    Works on squared distances: their products are ordered like those of the distances. Reading the whole pool for each
    step takes most of the time, so one reading also gives the distances of those that look like being chosen next.
    """
    _check_count(count, len(first))
    chosen = np.empty(count, np.int64)
    nearest = np.full(len(first), np.inf)  # of each moment to the chosen ones; below 0: chosen itself
    ready: dict[int, NDArray[np.floating]] = {}
    ahead = min(_AHEAD, len(first))
    for k in range(count):
        row = int(nearest.argmax()) if k else first.closest_to_centroid()
        if row not in ready:
            rows = np.union1d(np.argpartition(nearest, -ahead)[-ahead:] if k else [], row).astype(np.int64)
            distances = first.squared_distances(rows)
            for space in others:
                distances = distances * space.squared_distances(rows)
            ready = dict(zip(rows.tolist(), distances, strict=True))
        chosen[k] = row
        np.minimum(nearest, ready[row], out=nearest)
        nearest[row] = -1
    return chosen


def _check_count(count: int, available: int) -> None:
    if not 0 <= count <= available:
        raise MienError(f"{count} moments are to be chosen of {available}", f"Choose from 0 to {available}")


def _check_finite(name: str, values: NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        raise MienError(f"The {name} of the pool hold numbers that are not finite", "Leave those moments out")
