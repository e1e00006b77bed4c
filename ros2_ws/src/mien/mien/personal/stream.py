"""Whether to ask about the moment that is happening now: the streaming form of paper 002's samplers, on a budget.

A moment's score is its novelty times the uncertainty of the head in use. Novelty is iGS's criterion (Table 3): the
smallest product of the distances between embeddings and between predictions, here to the moments of that person that
were asked or labelled, and to the person's usual look (the mean of the latest moments). It asks when

    fewer moments of the last 1 / rate seconds scored higher than there are tokens,

where rate is the budget, tokens come in at that rate, and every question costs one. With one token that is the best
moment of the time in which one question is due: of exchangeable moments one in so many is, which spends the budget
exactly. Scores fall as more is known; then tokens gather, and the second or third best is good enough. Whatever the
scores: never twice within `SHORTEST_GAP_S`, and never more than the budget within any hour.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field

import numpy as np

from mien.errors import MienError
from mien.personal.samples import Array

SHORTEST_GAP_S = 20.0
"""Between two questions: nobody likes to be asked twice in a row."""
MOST_TOKENS = 3.0
"""What nobody was there to be asked is not all asked when somebody comes."""
MOST_KEPT = 32
"""Moments of a person that are known to have been asked or labelled; the oldest make room."""
MOST_PEOPLE = 64
"""Who was seen longest ago makes room."""
_HOUR_S = 3600.0
_CELLS = 256  # of the time in which one question is due; each keeps the best score of its share
_USUAL_OVER = 3000  # moments


@dataclass(frozen=True, slots=True)
class Question:
    """A moment that is worth a question.

    Attributes:
        score: novelty · uncertainty, in no particular unit.
        reason: which rule chose the moment and why, for people to read.
    """

    score: float
    reason: str


@dataclass(slots=True)
class _Known:
    """What is known of a person, in row 0 the usual look, in the others what was asked or labelled."""

    embeddings: Array  # (1 + MOST_KEPT, D)
    predictions: Array
    seen: int = 0
    kept: int = 0

    def fits(self, embedding: Array, prediction: Array) -> bool:
        """Whether these come from the same model as before."""
        return self.embeddings.shape[1:] == embedding.shape and self.predictions.shape[1:] == prediction.shape

    def novelty(self, embedding: Array, prediction: Array) -> float:
        rows = slice(0 if self.seen else 1, 1 + min(self.kept, MOST_KEPT))
        far, far_off = self.embeddings[rows] - embedding, self.predictions[rows] - prediction
        products = np.einsum("kd,kd->k", far, far) * np.einsum("kp,kp->k", far_off, far_off)
        return math.sqrt(products.min(initial=np.inf)) if len(products) else 0.0

    def see(self, embedding: Array, prediction: Array) -> None:
        self.seen = min(self.seen + 1, _USUAL_OVER)
        self.embeddings[0] += (embedding - self.embeddings[0]) / self.seen
        self.predictions[0] += (prediction - self.predictions[0]) / self.seen

    def keep(self, embedding: Array, prediction: Array) -> None:
        row = 1 + self.kept % MOST_KEPT
        self.embeddings[row], self.predictions[row] = embedding, prediction
        self.kept += 1


@dataclass(slots=True)
class _Budget:
    """What may be asked when."""

    per_hour: float
    tokens: float = 0.0
    asked_s: deque[float] = field(default_factory=deque)

    @property
    def due_s(self) -> float:
        """The time in which one question is due."""
        return _HOUR_S / self.per_hour

    def earn(self, elapsed_s: float) -> None:
        self.tokens = min(self.tokens + elapsed_s / self.due_s, MOST_TOKENS)

    def allows(self, stamp_s: float) -> bool:
        """Tokens alone would let those that were gathered come on top of an hour's own."""
        period_s, most = max(_HOUR_S, self.due_s), max(1, math.floor(self.per_hour))
        while self.asked_s and stamp_s - self.asked_s[0] >= period_s:
            self.asked_s.popleft()
        recently = bool(self.asked_s) and stamp_s - self.asked_s[-1] < SHORTEST_GAP_S
        return self.tokens >= 1 and len(self.asked_s) < most and not recently

    def spend(self, stamp_s: float) -> None:
        self.tokens -= 1
        self.asked_s.append(stamp_s)


class StreamSampler:
    """Decides moment by moment; used by one thread at a time. One instance serves everybody whom a robot sees.

    Takes O(kept) time and bounded memory: for an embedding of 1152 at most 150 kB a person.

    Args:
        questions_per_hour: the robot's budget, all people together; 0 never asks.

    Raises:
        MienError: the budget is negative or not finite.
    """

    def __init__(self, questions_per_hour: float) -> None:
        if not 0 <= questions_per_hour < math.inf:
            raise MienError(f"{questions_per_hour} questions per hour cannot be asked", "Give 0 or more")
        self._budget = _Budget(questions_per_hour)
        self._people: OrderedDict[str, _Known] = OrderedDict()
        self._best = np.zeros(_CELLS)
        self._cell = 0
        self._now_s = math.nan

    def consider(
        self, person_id: str, stamp_s: float, embedding: Array, prediction: Array, uncertainty: float
    ) -> Question | None:
        """Whether this moment is worth a question now; one that is counts as asked.

        Args:
            person_id: whose moment it is; not empty.
            stamp_s: when, seconds, by one clock for everybody. Set back, it goes on as if no time had passed.
            embedding: float32 (D,). A moment that is not finite is never asked about.
            prediction: float32 (P,), what the head in use says: a row of `mien.personal.sampling.outputs_of`.
            uncertainty: 0 (sure) to 1, e.g. 1 − the highest probability; 1 where it is not known.
        """
        if self._budget.per_hour == 0 or not (np.isfinite(embedding).all() and np.isfinite(prediction).all()):
            return None
        self._set_clock(stamp_s)
        known = self._known(person_id, embedding, prediction)
        score = known.novelty(embedding, prediction) * uncertainty
        known.see(embedding, prediction)
        better = int(np.count_nonzero(self._best > score))
        slot = self._cell % _CELLS
        self._best[slot] = max(self._best[slot], score)
        if not score > 0 or better >= self._budget.tokens or not self._budget.allows(stamp_s):
            return None
        self._budget.spend(stamp_s)
        reason = self._reason(better, known, uncertainty)
        known.keep(embedding, prediction)
        return Question(score, reason)

    def remember(self, person_id: str, embedding: Array, prediction: Array) -> None:
        """A moment that was labelled unasked: moments like it are no longer new."""
        self._known(person_id, embedding, prediction).keep(embedding, prediction)

    def forget(self, person_id: str) -> None:
        """Drop all that is kept of a person."""
        self._people.pop(person_id, None)

    def _known(self, person_id: str, embedding: Array, prediction: Array) -> _Known:
        known = self._people.get(person_id)
        if known is None or not known.fits(embedding, prediction):
            rows = 1 + MOST_KEPT
            known = _Known(np.zeros((rows, len(embedding)), np.float32), np.zeros((rows, len(prediction)), np.float32))
            self._people[person_id] = known
        self._people.move_to_end(person_id)
        if len(self._people) > MOST_PEOPLE:
            self._people.popitem(last=False)
        return known

    def _set_clock(self, stamp_s: float) -> None:
        """Earn tokens and empty the cells that time has passed since the last moment."""
        elapsed_s = stamp_s - self._now_s
        if elapsed_s < 0:
            self._budget.asked_s = deque(asked_s + elapsed_s for asked_s in self._budget.asked_s)
            self._best[:] = 0
        self._now_s = stamp_s
        if elapsed_s > 0:
            self._budget.earn(elapsed_s)
        cell = math.floor(stamp_s / self._budget.due_s * _CELLS)
        passed = np.arange(self._cell + 1, min(cell, self._cell + _CELLS) + 1)
        self._best[passed % _CELLS] = 0
        self._cell = cell

    def _reason(self, better: int, known: _Known, uncertainty: float) -> str:
        span = f"of the last {self._budget.due_s / 60:.3g} min"
        rank = f"the best moment {span}" if better == 0 else f"one of the best {better + 1} moments {span}"
        return (
            f"streaming iGS: {rank} by novelty and doubt; unlike this person's usual look and the {known.kept} moments "
            f"known, uncertainty {uncertainty:.2f}"
        )
