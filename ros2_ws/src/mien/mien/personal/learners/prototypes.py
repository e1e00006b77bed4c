"""Prototypes: the mean of each class, shrunk from the person's own moments to that of the base data."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.personal.dense import Dense
from mien.personal.learners.learner import ClosedForm
from mien.personal.samples import BaseHead, Samples, Tensors
from mien.personal.statistics import no_statistics, part_statistics
from mien.personal.targets import targets_of

Matrix = NDArray[np.float64]
_SMALLEST_VARIANCE = 0.01


@dataclass(frozen=True, slots=True)
class Classes:
    """Classes as normal distributions of one shape: what base data and a person's moments say of them.

    Attributes:
        base_means: float64 (L, F).
        base_variance: float64 (F,), within classes; no feature's is below a hundredth of the mean.
        means: float64 (L, F), the person's.
        deviations: float64 (N, F), the person's moments around the means of their classes, times the root of their
            weights.
    """

    base_means: Matrix
    base_variance: Matrix
    means: Matrix
    deviations: Matrix


class NormalClasses(ClosedForm):
    """Learners that describe each class by a mean, and all of them by one covariance.

    Such classes have linear logits: weight Σ⁻¹ μ, bias - μᵀ Σ⁻¹ μ / 2. The last layer takes up the difference of the
    person's from those of the base data, times the factor that fits the latter to the base head's own logits at the
    class means (least squares, at least 0): features that are not independent would count too much otherwise. Nothing
    changes without labels. Needs the statistics `class_means` and `within` (`mien.personal.statistics`). Valence and
    arousal stay the base head's.

    Args:
        hesitation: the number of labels of a class by which its mean moves half the way to the person's, > 0.
    """

    outputs = ("classes",)

    def __init__(self, hesitation: float = 8.0) -> None:
        self.hesitation = hesitation

    def solve(self, base: BaseHead, samples: Samples) -> Tensors:
        """The head that all samples make."""
        dense = Dense(base.spec)
        tensors = dense.tensors_of(base.tensors)
        done = dense.forward(base.tensors, samples.embeddings)
        targets = targets_of(base, samples, "classes")
        for part in [part for part in dense.parts if part.output == "classes"]:
            layer = dense.own_last_layer(part, self.name)
            found = part_statistics(base, part, done.inputs[part.last].shape[1])
            if found is None or found.class_means is None or found.within is None:
                raise no_statistics(self.name)
            variance = np.maximum(found.within, max(_SMALLEST_VARIANCE * found.within.mean(), 1e-12))
            features = done.inputs[part.last][targets.rows].astype(np.float64)
            shares = (targets.values * targets.weights[:, None]).astype(np.float64)
            classes = self._classes(found.class_means, variance, features, shares)
            before = _linear(classes.base_means, classes.base_means / variance)
            after = _linear(classes.means, self.whiten(classes))
            given = classes.base_means @ base.tensors[layer.weight].T + base.tensors[layer.bias]
            factor = _factor(classes.base_means @ before[0].T + before[1], given)
            for name, old, new in zip((layer.weight, layer.bias), before, after, strict=True):
                tensors[name] = np.asarray(tensors[name] + factor * (new - old), np.float32)
        return tensors

    @abstractmethod
    def whiten(self, classes: Classes) -> Matrix:
        """Σ⁻¹ μ of the person's classes, float64 (L, F)."""

    def _classes(self, base_means: Matrix, variance: Matrix, features: Matrix, shares: Matrix) -> Classes:
        counts = shares.sum(axis=0)[:, None]
        means = (self.hesitation * base_means + shares.T @ features) / (self.hesitation + counts)
        weights = shares.sum(axis=1, keepdims=True)
        return Classes(base_means, variance, means, np.sqrt(weights) * (features - shares / weights @ means))


class Prototypes(NormalClasses):
    """The covariance is the base data's, each feature for itself."""

    name = "prototypes"

    def whiten(self, classes: Classes) -> Matrix:
        """Σ⁻¹ μ of the person's classes, float64 (L, F)."""
        return classes.means / classes.base_variance


def _linear(means: Matrix, whitened: Matrix) -> tuple[Matrix, Matrix]:
    """Weight (L, F) and bias (L,) of the logits of normal classes."""
    return whitened, -0.5 * (means * whitened).sum(axis=1)


def _factor(logits: Matrix, wanted: Matrix) -> float:
    """By what to multiply logits (rows, L) so that they come nearest to others; what all classes share is free."""
    logits, wanted = (one - one.mean(axis=1, keepdims=True) for one in (logits, wanted))
    length = float((logits * logits).sum())
    return max(float((logits * wanted).sum()) / length, 0.0) if length > 0 else 0.0
