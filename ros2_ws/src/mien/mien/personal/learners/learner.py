"""What every learner is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.personal.learners.loss import loss_of
from mien.personal.samples import BaseHead, Samples, Tensors
from mien.personal.targets import OUTPUTS

Tell = Callable[[int, int, float], None]
"""Called with (step, steps, loss) after every step; returns quickly, and may raise `Cancelled`."""


def say_nothing(step: int, steps: int, loss: float) -> None:
    """A `Tell` when nobody asks."""


class Learner(ABC):
    """Makes a personal head: the tensors that the base head's spec names, float32, in their shapes.

    Attributes:
        name: what people call it.
        anchored: few samples move it little from the base head, so that its head may be used before it can be judged.
        resumes: `start` matters.
        needs_labels: without labels it learns nothing.
        outputs: what it learns, of "classes", "valence" and "arousal".
    """

    name: str
    anchored: bool = True
    resumes: bool = False
    outputs: tuple[str, ...] = OUTPUTS
    needs_labels: bool = True

    @abstractmethod
    def fit(self, base: BaseHead, samples: Samples, start: Tensors | None, steps: int, tell: Tell) -> Tensors:
        """Learn from all samples. The last layers of outputs without labels stay as they are.

        Args:
            base: where learning is anchored.
            samples: labelled moments; none of them gives the base head's own numbers.
            start: the last version, to go on from; None: from the base head.
            steps: at most so many; 0: the learner's own default.
            tell: told of the progress.

        Raises:
            MienError: this learner cannot learn such a head.
            Cancelled: from `tell`.
        """

    def fit_folds(
        self,
        base: BaseHead,
        samples: Samples,
        held_out: Sequence[NDArray[np.bool_]],
        steps: int = 0,
        tell: Tell = say_nothing,
    ) -> list[Tensors]:
        """Fit once per fold, from the base head, on the samples that it does not hold out (bool (N,)).

        `tell` hears the steps of every fold by themselves.
        """
        return [self.fit(base, samples.take(~fold), None, steps, tell) for fold in held_out]


class ClosedForm(Learner):
    """A learner that finds its head at once: one step, nothing to resume."""

    def fit(self, base: BaseHead, samples: Samples, start: Tensors | None, steps: int, tell: Tell) -> Tensors:
        """`solve`, and tell the loss."""
        del start, steps
        tensors = self.solve(base, samples)
        tell(1, 1, loss_of(base, tensors, samples))
        return tensors

    @abstractmethod
    def solve(self, base: BaseHead, samples: Samples) -> Tensors:
        """The head that all samples make."""
