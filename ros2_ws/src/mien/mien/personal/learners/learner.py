"""What every learner is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.personal.samples import BaseHead, Samples, Tensors
from mien.personal.targets import OUTPUTS

Tell = Callable[[int, int, float], None]
"""Called with (step, steps, loss) after every step; returns quickly, and may raise `Cancelled`."""


class Learner(ABC):
    """Makes a personal head: the tensors that the base head's spec names, float32, in their shapes.

    Attributes:
        name: what people call it.
        anchored: few samples move it little from the base head, so that its head may be used before it can be judged.
        resumes: `start` matters.
        outputs: what it learns, of "classes", "valence" and "arousal".
    """

    name: str
    anchored: bool = True
    resumes: bool = False
    outputs: tuple[str, ...] = OUTPUTS

    @abstractmethod
    def fit(self, base: BaseHead, samples: Samples, start: Tensors | None, steps: int, tell: Tell) -> Tensors:
        """Learn from all samples. Outputs without labels, and those that it does not learn, stay the base head's.

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

    def fit_folds(self, base: BaseHead, samples: Samples, held_out: Sequence[NDArray[np.bool_]]) -> list[Tensors]:
        """Fit once per fold from the base head, on the samples that it does not hold out (bool (N,))."""
        return [self.fit(base, samples.take(~fold), None, 0, _say_nothing) for fold in held_out]


def _say_nothing(step: int, steps: int, loss: float) -> None:
    """Nobody asked for the progress."""
