"""Ridge regression of the last layers, in closed form, anchored at the base head; see `dual` for the mathematics.

Where the head file has statistics of the base data, features count from their mean, so that a label counts most for
moments that differ from the mean as its own does. Several parts that tell the classes learn each by itself, as paper
004 trains its subnets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.personal.dense import Dense, Part
from mien.personal.learners.dual import Dual
from mien.personal.learners.learner import ClosedForm, Tell, say_nothing
from mien.personal.samples import BaseHead, Samples, Tensors
from mien.personal.statistics import part_statistics
from mien.personal.targets import targets_of


class Ridge(ClosedForm):
    """Closed form, anchored at the base head, exact under any order of the samples.

    Args:
        classes: λ for the classes: how many labels the base head is worth at a place, > 0.
        affect: λ for valence and arousal, > 0.
        bias: how much of each correction holds everywhere: c² in units of the features' variance over the base data
            (without statistics c = 1, as for the layer itself), >= 0.

    The defaults were chosen on rendered people (seeds 900 to 902 of `mien-train personal`, which tests on others),
    where a lone label must do no harm, and an hour of labels most good.
    """

    name = "ridge"

    def __init__(self, classes: float = 0.2, affect: float = 1.0, bias: float = 0.1) -> None:
        self.classes, self.affect, self.bias = classes, affect, bias

    def solve(self, base: BaseHead, samples: Samples) -> Tensors:
        """The head that all samples make."""
        return self.state_of(base, samples).tensors()

    def fit_folds(
        self,
        base: BaseHead,
        samples: Samples,
        held_out: Sequence[NDArray[np.bool_]],
        steps: int = 0,
        tell: Tell = say_nothing,
    ) -> list[Tensors]:
        """All folds from one solution, by taking the samples of each out of it."""
        del steps, tell
        state = self.state_of(base, samples)
        return [state.without(fold).tensors() for fold in held_out]

    def state_of(self, base: BaseHead, samples: Samples) -> RidgeState:
        """The solution of all samples."""
        return RidgeState(self, base, samples)


class LastingRidge(Ridge):
    """Keeps its last solution, and only takes in what came behind those samples; else starts afresh. For one thread.

    So a label costs an update instead of a fit for the folds and another for the head.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: tuple[BaseHead, Samples, RidgeState] | None = None

    def state_of(self, base: BaseHead, samples: Samples) -> RidgeState:
        """The solution of all samples, valid until the next call."""
        last, self._last = self._last, None  # nothing is kept of what fails halfway
        if last is not None and last[0] is base and _begins_with(samples, last[1]):
            state = last[2]
            if len(samples) > len(state):
                state.add(samples.take(slice(len(state), None)))
        else:
            state = RidgeState(self, base, samples)
        self._last = base, samples, state
        return state

    def forget(self) -> None:
        """Keep nothing of the last samples."""
        self._last = None


class RidgeState:
    """The ridge solution of some samples; samples come and go one by one, exactly.

    Whatever the order, the result is that of a fit of the samples that are there (to 1e-5). For N samples of F features
    it holds 8 N (N + F) bytes per output that is labelled, and up to as much again in reserve.

    Args:
        ridge: the settings.
        base: the anchor.
        samples: what it starts from.

    Raises:
        MienError: a last layer is not linear or shared, or statistics do not fit the head.
    """

    def __init__(self, ridge: Ridge, base: BaseHead, samples: Samples) -> None:
        self._base, self._dense = base, Dense(base.spec)
        self._duals = [_start(ridge, base, self._dense, part) for part in self._dense.parts]
        self._labelled = np.zeros((len(self._duals), 0), np.bool_)
        self.add(samples)

    def __len__(self) -> int:
        """Number of samples."""
        return self._labelled.shape[1]

    def add(self, samples: Samples) -> None:
        """Take in more samples, behind those that are there."""
        done = self._dense.forward(self._base.tensors, samples.embeddings)
        labelled = np.zeros((len(self._duals), len(samples)), np.bool_)
        for number, part in enumerate(self._dense.parts):
            targets = targets_of(self._base, samples, part.output)
            labelled[number] = targets.rows
            if targets.rows.any():
                features, given = (values[part.last][targets.rows] for values in (done.inputs, done.values))
                self._duals[number].add(features, given, targets.values, targets.weights)
        self._labelled = np.concatenate([self._labelled, labelled], axis=1)

    def remove(self, row: int) -> None:
        """Take out the sample at a place, 0 to len - 1; those behind it move up."""
        left_out = np.zeros(len(self), np.bool_)
        left_out[row] = True
        other = self.without(left_out)
        self._duals, self._labelled = other._duals, other._labelled

    def without(self, left_out: NDArray[np.bool_]) -> RidgeState:
        """The state without some of its samples, bool (N,); this one stays as it is."""
        state = RidgeState.__new__(RidgeState)
        state._base, state._dense = self._base, self._dense
        state._labelled = self._labelled[:, ~left_out]
        state._duals = [
            dual.without(left_out[labelled]) for dual, labelled in zip(self._duals, self._labelled, strict=True)
        ]
        return state

    def tensors(self) -> Tensors:
        """The head that these samples make."""
        tensors = self._dense.tensors_of(self._base.tensors)
        for part, dual in zip(self._dense.parts, self._duals, strict=True):
            layer = self._dense.layers[part.last]
            for name, change in zip((layer.weight, layer.bias), dual.change(), strict=True):
                tensors[name] = np.asarray(tensors[name] + change, np.float32)
        return tensors


def _begins_with(samples: Samples, first: Samples) -> bool:
    """Whether samples are others that have come behind the first ones."""
    names = ("embeddings", "classes", "valence", "arousal", "weights")
    both = ((getattr(samples, name)[: len(first)], getattr(first, name)) for name in names)
    return all(np.array_equal(one, other, equal_nan=True) for one, other in both)


def _start(ridge: Ridge, base: BaseHead, dense: Dense, part: Part) -> Dual:
    """The solution of a part without samples."""
    layer = dense.own_last_layer(part, ridge.name)
    units, features = base.tensors[layer.weight].shape
    classes = part.output == "classes"
    anchor = ridge.classes if classes else ridge.affect
    found = part_statistics(base, part, features)
    if found is None:
        return Dual(np.zeros(features), units, classes, anchor, 1.0)
    return Dual(found.mean, units, classes, anchor, float(np.sqrt(ridge.bias * found.variance.sum())))
