"""Re-centring: a person's embeddings are moved to where those of the base data are. Needs no labels."""

from __future__ import annotations

import numpy as np

from mien.errors import MienError
from mien.personal.dense import Dense
from mien.personal.learners.learner import ClosedForm
from mien.personal.samples import BaseHead, Samples, Tensors
from mien.personal.statistics import embedding_mean, no_statistics


class Recentre(ClosedForm):
    """The first layers' biases take up the distance d of the person's mean embedding from that of the base data.

    W (x - s d) + b = W x + (b - s W d), with s = N / (N + hesitation): few moments count little. Labels are not looked
    at, so the samples may be any moments of the person; they should show the mix of expressions that the base data
    shows, or expression is taken for identity. Needs `statistics.embedding_mean` (`mien.personal.statistics`).

    Args:
        hesitation: the number of moments that count half, >= 0.
    """

    name = "recentre"
    needs_labels = False

    def __init__(self, hesitation: float = 32.0) -> None:
        self.hesitation = hesitation

    def solve(self, base: BaseHead, samples: Samples) -> Tensors:
        """The head that all samples make."""
        middle = embedding_mean(base)
        if middle is None:
            raise no_statistics(self.name)
        dense = Dense(base.spec)
        tensors = dense.tensors_of(base.tensors)
        if len(samples) == 0:
            return tensors
        away = samples.embeddings.mean(axis=0, dtype=np.float64) - middle
        away *= len(samples) / (len(samples) + self.hesitation)
        first = [layer for layer in dense.layers if isinstance(layer.source, slice)]
        if len({layer.bias for layer in first}) != len({(layer.bias, str(layer.source)) for layer in first}):
            raise MienError("recentre cannot learn this head: slices of the embedding share a bias", "Use sgd")
        for layer in first:
            shift = base.tensors[layer.weight] @ away[layer.source]
            tensors[layer.bias] = np.asarray(base.tensors[layer.bias] - shift, np.float32)
        return tensors
