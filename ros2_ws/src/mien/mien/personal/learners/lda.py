"""Linear discriminant analysis that goes on from the base data with a person's moments."""

from __future__ import annotations

import numpy as np

from mien.personal.learners.prototypes import Classes, Matrix, NormalClasses


class Lda(NormalClasses):
    """The covariance, too, moves from the base data's to the person's.

    Σ = (B diag(v) + Σ w d dᵀ) / (B + N): the within-class variance v of the base data counts as B moments, the person's
    deviations d from their classes' means as one each. Means and covariance are sums over moments, as in streaming LDA
    (T. Hayes, C. Kanan, "Lifelong machine learning with deep streaming linear discriminant analysis", CVPR workshops
    2020), so the order does not matter. Σ⁻¹ by Woodbury's identity: N numbers squared, not F.

    Args:
        hesitation: as in `NormalClasses`.
        base_moments: B, > 0.
    """

    name = "lda"

    def __init__(self, hesitation: float = 8.0, base_moments: float = 64.0) -> None:
        super().__init__(hesitation)
        self.base_moments = base_moments

    def whiten(self, classes: Classes) -> Matrix:
        """Σ⁻¹ μ of the person's classes, float64 (L, F)."""
        deviations = classes.deviations
        total = self.base_moments + len(deviations)
        prior = classes.base_variance * (self.base_moments / total)
        scaled = deviations / prior
        inner = total * np.eye(len(deviations)) + deviations @ scaled.T
        rough: Matrix = classes.means / prior
        return rough - np.linalg.solve(inner, deviations @ rough.T).T @ scaled
