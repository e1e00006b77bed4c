"""Ridge regression of the last layers, in closed form, anchored at the base head."""

from __future__ import annotations

from mien.personal.learners.learner import Learner, Tell
from mien.personal.samples import BaseHead, Samples, Tensors


class RidgeState:
    """The ridge solution of some samples; samples come and go one by one, exactly.

    Whatever the order, the result is that of a fit of the samples that are there (to 1e-5).

    Args:
        ridge: the settings.
        base: the anchor.
        samples: what it starts from.
    """

    def __init__(self, ridge: Ridge, base: BaseHead, samples: Samples) -> None:
        raise NotImplementedError

    def __len__(self) -> int:
        """Number of samples."""
        raise NotImplementedError

    def add(self, samples: Samples) -> None:
        """Take in more samples, behind those that are there."""
        raise NotImplementedError

    def remove(self, row: int) -> None:
        """Take out the sample at a place, 0 to len - 1; those behind it move up."""
        raise NotImplementedError

    def tensors(self) -> Tensors:
        """The head that these samples make."""
        raise NotImplementedError


class Ridge(Learner):
    """Closed form, anchored at the base head, exact under any order of the samples.

    Args:
        classes: how many labels the base head is worth for the classes, > 0.
        affect: the same for valence and arousal, > 0.
    """

    name = "ridge"

    def __init__(self, classes: float = 0.5, affect: float = 0.5) -> None:
        raise NotImplementedError

    def fit(self, base: BaseHead, samples: Samples, start: Tensors | None, steps: int, tell: Tell) -> Tensors:
        """Learn; one step, nothing to resume."""
        raise NotImplementedError
