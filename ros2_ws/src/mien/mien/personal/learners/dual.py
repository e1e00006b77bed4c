"""The ridge solution of one dense layer, kept so that samples can come and go.

The layer's output f0 becomes f0 + ΔW φ + c u. With φ a sample's features less the base data's mean, c the input of the
bias, n = ‖φ‖² + c² and w the sample's weight,

    minimise over ΔW and u    Σ (w / n) · loss(f0 + ΔW φ + c u, label)  +  λ (‖ΔW‖² + ‖u‖²)

Dividing by n frees λ of the features' scale: a lone value of weight 1 moves the output at its own sample by 1 / (1 + λ)
of what is missing. The solution has one number per sample and unit, α = M R, with M = (K + λ diag(n / w))⁻¹, K the
inner products of the features (and c), R what is missing at each sample, and ΔW = αᵀ Φ (the dual form: C. Saunders,
A. Gammerman, V. Vovk, "Ridge regression learning algorithm in dual variables", ICML 1998). M is kept. Samples enter by
bordering it and leave by the Schur complement of their block, both exact.

Values: squared error, R = label - f0. Classes: twice the cross-entropy with soft labels y. Cross-entropy's curvature in
the logits is at most I / 2 (D. Böhning, "Multinomial logistic regression algorithm", Ann. Inst. Statist. Math. 44,
1992), so the steps

    R = Δz + 2 (y - softmax(z0 + Δz)),    Δz = K α = R - 2 λ diag(n / w) α

from Δz = 0 lead to the only minimum, and one M (with 2 λ) serves them all. They are proximal gradient steps, so
momentum makes few of them enough (A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm", SIAM J.
Imaging Sci. 2, 2009). Where the base head is right with certainty y - p = 0, and nothing moves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.expression.head import softmax

ITERATIONS = 12
"""Steps for classes. A step costs N² numbers per class."""
_SMALL_BLOCK = 64
_SMALLEST_LENGTH = 1e-9

Matrix = NDArray[np.float64]
Values = NDArray[np.floating[Any]]


class Dual:
    """One layer's solution; empty at first, when nothing changes.

    Args:
        mean: float64 (F,), of the features over the base data, or zeros.
        units: of the layer's outputs.
        classes: they are logits of classes, not values.
        anchor: λ, > 0.
        bias_input: c, >= 0; at 0 only the change of the mean moves the bias.
    """

    def __init__(self, mean: Matrix, units: int, classes: bool, anchor: float, bias_input: float) -> None:
        self._mean, self._classes, self._bias_input = mean, classes, bias_input
        self._noise_share = anchor * (2 if classes else 1)
        self._inverse = np.empty((0, 0))
        self._noise = np.empty(0)
        self._given, self._labels = np.empty((units, 0)), np.empty((units, 0))  # this way round softmax is faster
        self._store = np.empty((0, len(mean)))  # grows by doubling: a copy of all features would take most of the time

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._noise)

    def add(self, features: Values, given: Values, labels: Values, weights: Values) -> None:
        """Take in M samples behind those that are there.

        Args:
            features: (M, F), what the layer takes.
            given: (M, units), what the base layer makes of them.
            labels: (M, units), shares per class, or values.
            weights: (M,), > 0.
        """
        old, new = self._features, self._append(features)
        inner, across = new @ new.T, old @ new.T
        inner += self._bias_input**2
        across += self._bias_input**2
        noise = self._noise_share * np.maximum(np.diag(inner), _SMALLEST_LENGTH) / weights
        inner[np.diag_indices_from(inner)] += noise
        self._inverse = _bordered(self._inverse, across, inner)
        self._noise = np.concatenate([self._noise, noise])
        self._given = np.concatenate([self._given, given.T], axis=1)
        self._labels = np.concatenate([self._labels, labels.T], axis=1)

    def without(self, left_out: NDArray[np.bool_]) -> Dual:
        """The solution without some samples, bool (N,); this one stays as it is."""
        kept = ~left_out
        edge, corner = self._inverse[np.ix_(kept, left_out)], self._inverse[np.ix_(left_out, left_out)]
        other = Dual(self._mean, len(self._given), self._classes, 0.0, self._bias_input)
        other._noise_share = self._noise_share
        other._inverse = self._inverse[np.ix_(kept, kept)] - edge @ np.linalg.solve(corner, edge.T)
        other._store, other._noise = self._features[kept], self._noise[kept]
        other._given, other._labels = self._given[:, kept], self._labels[:, kept]
        return other

    def change(self) -> tuple[Matrix, Matrix]:
        """ΔW, float64 (units, F), and Δb, (units,)."""
        missing = self._labels - self._given
        if self._classes:
            moved = ahead = np.zeros_like(self._given)
            twice = 2 * self._labels
            for step in range(ITERATIONS):
                missing = ahead + twice - 2 * softmax((self._given + ahead).T).T
                before, moved = moved, missing - missing @ self._inverse * self._noise
                ahead = moved + step / (step + 3) * (moved - before)
        strength = missing @ self._inverse
        weight = strength @ self._features
        return weight, strength.sum(axis=1) * self._bias_input**2 - weight @ self._mean

    @property
    def _features(self) -> Matrix:
        return self._store[: len(self)]

    def _append(self, features: Values) -> Matrix:
        """Keep features of more samples, less the mean."""
        size = len(self) + len(features)
        if size > len(self._store):
            store = np.empty((max(size, 2 * len(self)), len(self._mean)))
            store[: len(self)] = self._features
            self._store = store
        return np.subtract(features, self._mean, out=self._store[len(self) : size])


def _bordered(inverse: Matrix, across: Matrix, block: Matrix) -> Matrix:
    """The inverse of [[A, across], [acrossᵀ, block]], symmetric and positive definite, from that of A."""
    moved = inverse @ across
    left = block - across.T @ moved
    corner = _inverse((left + left.T) / 2)  # else rounding grows at every level of the halving, a thousandfold each
    edge = -moved @ corner
    old, size = len(inverse), len(inverse) + len(block)
    result = np.empty((size, size))
    np.subtract(inverse, edge @ moved.T, out=result[:old, :old])
    result[:old, old:], result[old:, :old], result[old:, old:] = edge, edge.T, corner
    return result


def _inverse(matrix: Matrix) -> Matrix:
    """The inverse of a symmetric positive definite matrix: by halves, three times as fast as numpy's at 320."""
    half = len(matrix) // 2
    if len(matrix) <= _SMALL_BLOCK:
        return np.asarray(np.linalg.inv(matrix), np.float64)
    return _bordered(_inverse(matrix[:half, :half]), matrix[:half, half:], matrix[half:, half:])
