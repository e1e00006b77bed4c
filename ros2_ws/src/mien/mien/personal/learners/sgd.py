"""Stochastic gradient descent on all dense layers, as paper 002 fine-tunes (section 3.3)."""

from __future__ import annotations

from math import ceil

import numpy as np

from mien.personal.dense import Dense, Dropout
from mien.personal.learners.learner import Learner, Tell
from mien.personal.learners.loss import loss_and_gradients
from mien.personal.samples import BaseHead, Samples, Tensors


class Sgd(Learner):
    """Mini-batches with Nesterov momentum; goes on from the last version.

    The momentum of the last run is not kept: a run begins at rest. The same samples and start give the same head.
    Outputs learn together: where one has no labels, hidden layers that it shares with another move it, too.

    Args:
        epochs: rounds through the samples, when no number of steps is asked for (paper 002, section 3.2: 50).
        learning_rate: of every step.
        momentum: Nesterov's, 0 to below 1.
        batch_size: samples per step; the last of a round may have fewer.
        dropout: share of the hidden units that each step mutes (of the embedding where an output has one layer), 0 to
            below 1.
        last_layer_only: leave the layers below as they are.
        seed: of the order of the samples and of the dropout.
    """

    name = "sgd"
    anchored = False
    resumes = True

    def __init__(
        self,
        epochs: int = 50,
        learning_rate: float = 1e-3,
        momentum: float = 0.9,
        batch_size: int = 16,
        dropout: float = 0.0,
        last_layer_only: bool = False,
        seed: int = 0,
    ) -> None:
        self.epochs, self.learning_rate, self.momentum, self.batch_size = epochs, learning_rate, momentum, batch_size
        self.dropout, self.last_layer_only, self.seed = dropout, last_layer_only, seed

    def fit(self, base: BaseHead, samples: Samples, start: Tensors | None, steps: int, tell: Tell) -> Tensors:
        """Learn all outputs together; see `loss_and_gradients` for what is lowered."""
        dense = Dense(base.spec)
        tensors = {name: values.copy() for name, values in dense.tensors_of(start or base.tensors).items()}
        moving = self._moving(dense)
        velocity = {name: np.zeros_like(tensors[name]) for name in moving}
        random = np.random.default_rng(self.seed)
        batches = ceil(len(samples) / self.batch_size)
        steps = (steps or self.epochs * batches) if len(samples) else 0
        for step in range(steps):
            if step % batches == 0:
                order = random.permutation(len(samples))
            first = step % batches * self.batch_size
            batch = samples.take(order[first : first + self.batch_size])
            done = dense.forward(tensors, batch.embeddings, Dropout(self.dropout, random))
            loss, gradients = loss_and_gradients(base, dense, done, batch)
            found = dense.backward(tensors, done, gradients)
            for name in moving:  # as torch.optim.SGD(nesterov=True)
                velocity[name] *= self.momentum
                velocity[name] += found[name]
                tensors[name] -= self.learning_rate * (found[name] + self.momentum * velocity[name])
            tell(step + 1, steps, loss)
        return tensors

    def _moving(self, dense: Dense) -> set[str]:
        """Names of the tensors that learn."""
        last = {part.last for part in dense.parts}
        layers = [one for number, one in enumerate(dense.layers) if not self.last_layer_only or number in last]
        return {name for layer in layers for name in (layer.weight, layer.bias)}
