"""What learning by gradients lowers: mean squared error for valence and arousal, cross-entropy for classes."""

from __future__ import annotations

import numpy as np

from mien.expression.head import softmax
from mien.personal.dense import Dense, Pass
from mien.personal.samples import Array, BaseHead, Samples, Tensors
from mien.personal.targets import targets_of


def loss_and_gradients(base: BaseHead, dense: Dense, done: Pass, samples: Samples) -> tuple[float, list[Array]]:
    """The loss of a forward pass, and its gradients in the values of each part.

    The sum over parts of the weighted mean over the samples that are labelled for it; valence and arousal in the head's
    own range. Several parts that tell the classes have a cross-entropy each: every one learns to tell them by itself,
    as paper 004 trains its subnets.

    Args:
        base: the head that learns.
        dense: its layers.
        done: a forward pass of the samples.
        samples: N of them.

    Returns:
        The loss, and by part float32 (N, units).
    """
    loss, gradients = 0.0, []
    for part in dense.parts:
        values, targets = done.values[part.last], targets_of(base, samples, part.output)
        gradient = np.zeros_like(values)
        if targets.rows.any():
            told, shares = values[targets.rows], (targets.weights / targets.weights.sum())[:, None]
            if part.output == "classes":
                probabilities = softmax(told)
                loss -= float((shares * targets.values * np.log(np.maximum(probabilities, 1e-30))).sum())
                gradient[targets.rows] = shares * (probabilities - targets.values)
            else:
                error = told - targets.values
                loss += float((shares * error**2).sum())
                gradient[targets.rows] = shares * 2 * error
        gradients.append(gradient)
    return loss, gradients


def loss_of(base: BaseHead, tensors: Tensors, samples: Samples) -> float:
    """The loss of a head on samples."""
    dense = Dense(base.spec)
    return loss_and_gradients(base, dense, dense.forward(tensors, samples.embeddings), samples)[0]
