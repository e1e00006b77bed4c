"""How satisfied one person looks over one interaction window; docs/satisfaction.md explains every choice.

Each observation gives evidence e = ½ (m + v) in [-1, 1], or e = m without a valence v, or e = v without classes, where

    m = x(happiness) - Σ x(anger, disgust, contempt, sadness, fear),   x = max(0, p - 1/C) / (1 - 1/C)

is the expression mass above chance (C labels; neutral and surprise count for neither side). The score is the mean of e
over the observed time t, recent moments weighing more:

    score = ∫ e(t) exp(-(T - t) / recency_s) dt / ∫ exp(-(T - t) / recency_s) dt
    confidence = c · (1 - exp(-T / confidence_s)) · exp(-absence / absence_s)

with T the observed seconds, c the mean recognition confidence under the same weights (1 without classes) and `absence`
the seconds since the face was last seen. The score says what was seen, the confidence how far to trust it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError

POSITIVE = frozenset({"happiness"})
NEGATIVE = frozenset({"anger", "disgust", "contempt", "sadness", "fear"})


class Level(IntEnum):
    """The constants of mien_msgs/Satisfaction."""

    UNKNOWN = 0
    DISSATISFIED = 1
    NEUTRAL = 2
    SATISFIED = 3


@dataclass(frozen=True, slots=True)
class SatisfactionParameters:
    """The constants of the formula.

    Attributes:
        recency_s: a moment this many observed seconds ago weighs 37 % of the present one.
        confidence_s: observed seconds after which confidence has reached 63 % of the recognition confidence.
        absence_s: seconds of absence after which confidence has fallen to 37 %.
        gap_s: longest time between two images over which a face counts as observed, and after its last image as
            present, seconds. Needs more than 1 / gap_s images per second.
        trend_s: over how many observed seconds the trend looks back.
        threshold: score from which a level is satisfied, and below its negative dissatisfied.
        minimum_confidence: from which a level is known.
        hysteresis: how far score or confidence must fall back below those two for the level to be left again.

    Raises:
        MienError: a value is out of its range.
    """

    recency_s: float = 60.0
    confidence_s: float = 5.0
    absence_s: float = 20.0
    gap_s: float = 1.0
    trend_s: float = 5.0
    threshold: float = 0.25
    minimum_confidence: float = 0.3
    hysteresis: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            limit = math.inf if field.name.endswith("_s") else 1.0
            if not 0 < value < limit:
                raise MienError(f"Satisfaction parameter {field.name} is {value}", f"Give more than 0, below {limit}")
        if self.hysteresis >= min(self.threshold, self.minimum_confidence):
            raise MienError(
                f"Satisfaction parameter hysteresis is {self.hysteresis}",
                "Give less than threshold and than minimum_confidence",
            )


@dataclass(frozen=True, slots=True)
class SatisfactionState:
    """What a window has seen so far; the fields of mien_msgs/Satisfaction.

    Attributes:
        score: -1 (dissatisfied) to 1 (satisfied); 0 before two images have been seen.
        level: of the score, with hysteresis; UNKNOWN without enough confidence.
        confidence: 0 to 1.
        trend: change of the score per second; 0 while the face is absent.
        duration_s: length of the window, seconds.
        observed_s: seconds of it in which the face was seen.
        present: the face was seen within the last `gap_s`.
        stamp_s: stamp of the newest image that counted; NaN before the first.
    """

    score: float
    level: Level
    confidence: float
    trend: float
    duration_s: float
    observed_s: float
    present: bool
    stamp_s: float


@dataclass(frozen=True, slots=True)
class _Observation:
    stamp_s: float
    evidence: float
    confidence: float


class SatisfactionWindow:
    """The satisfaction of one person with one subject. Its size does not grow with time.

    Args:
        labels: class labels in the order of the probabilities, two or more; none for a model without classes.
        subject: product or service; empty where none is named.
        parameters: constants of the formula.
        start_s: when the window was opened, on the clock of the stamps; None: at the first observation.

    Raises:
        MienError: there is only one label.
    """

    def __init__(
        self,
        labels: Sequence[str],
        subject: str,
        parameters: SatisfactionParameters,
        start_s: float | None = None,
    ) -> None:
        if len(labels) == 1:
            raise MienError(f"Satisfaction cannot be told from {list(labels)} alone", "Use another bundle")
        self.subject = subject
        self._parameters = parameters
        self._signs = np.array([(label in POSITIVE) - (label in NEGATIVE) for label in labels], np.float64)
        self._start_s = start_s
        self._latest: _Observation | None = None
        self._level = Level.UNKNOWN
        self._observed_s = 0.0
        # Integrals over the observed time with the weight of recency: of 1, evidence and recognition confidence.
        self._weight = self._evidence = self._certainty = 0.0
        self._followed_score: float | None = None  # the score, smoothed over trend_s

    def observe(self, stamp_s: float, probabilities: NDArray[np.float32], valence: float, confidence: float) -> None:
        """Add what one image shows.

        Each interval between two images counts with the mean of both, so the camera's rate does not matter. Longer
        intervals than `gap_s` count as not observed. An image up to `gap_s` older than the newest one is late and
        ignored; an older one means that the clock was set back, and the window goes on from there. An observation with
        a stamp, probability or confidence that is not finite is ignored; without a finite valence the expression mass
        alone is the evidence. Without classes the valence is, and there is no confidence to be looked at.

        Args:
            stamp_s: when the image was taken, seconds.
            probabilities: (labels,), sums to 1.
            valence: -1 to 1, or NaN where the model has none.
            confidence: how sure the recogniser is, 0 to 1; NaN without classes.
        """
        if len(self._signs) == 0:
            confidence = 1.0
        evidence = self._evidence_of(probabilities, valence)
        if not (math.isfinite(stamp_s) and math.isfinite(evidence) and math.isfinite(confidence)):
            return
        now = _Observation(stamp_s, evidence, min(max(confidence, 0.0), 1.0))
        newest_s = self._newest_s()
        if newest_s is None:
            self._start_s = stamp_s
        else:
            step_s = stamp_s - newest_s
            if -self._parameters.gap_s <= step_s < 0:
                return
            if step_s < 0 and self._start_s is not None:
                self._start_s += step_s
            if self._latest is not None and 0 <= step_s <= self._parameters.gap_s:
                self._add(self._latest, now)
        self._latest = now
        self._level = self._next_level(self._confidence(0.0))

    def absorb(self, other: SatisfactionWindow) -> None:
        """Take over the evidence of another window that turned out to show the same person."""
        self._observed_s += other._observed_s
        self._weight += other._weight
        self._evidence += other._evidence
        self._certainty += other._certainty

    @property
    def last_seen_s(self) -> float:
        """Stamp of the newest image that counted; NaN before the first."""
        return math.nan if self._latest is None else self._latest.stamp_s

    def absence_s(self, now_s: float) -> float:
        """Seconds since the newest image that counted; infinite before the first."""
        # A stamp in the future means that the clock was set back since: not seen on the new clock either.
        return math.inf if self._latest is None else abs(now_s - self._latest.stamp_s)

    def summary(self, now_s: float) -> SatisfactionState:
        """What has been seen until `now_s`, seconds on the clock of the stamps; changes nothing."""
        absence_s = self.absence_s(now_s)
        present = absence_s <= self._parameters.gap_s
        confidence = self._confidence(absence_s)
        score = self._score()
        trend = 0.0
        if present and self._followed_score is not None:
            trend = (score - self._followed_score) / self._parameters.trend_s
        return SatisfactionState(
            score=score,
            level=self._next_level(confidence),
            confidence=confidence,
            trend=trend,
            duration_s=0.0 if self._start_s is None else max(now_s - self._start_s, self._observed_s),
            observed_s=self._observed_s,
            present=present,
            stamp_s=self.last_seen_s,
        )

    def _evidence_of(self, probabilities: NDArray[np.float32], valence: float) -> float:
        valence = min(max(valence, -1.0), 1.0) if math.isfinite(valence) else math.nan
        if len(self._signs) == 0:
            return valence
        chance = 1.0 / len(self._signs)
        above_chance = np.maximum(np.asarray(probabilities, np.float64) - chance, 0.0) / (1.0 - chance)
        mass = float(self._signs @ above_chance)
        return mass if math.isnan(valence) else 0.5 * (mass + valence)

    def _newest_s(self) -> float | None:
        return self._start_s if self._latest is None else self._latest.stamp_s

    def _add(self, before: _Observation, now: _Observation) -> None:
        """Add the interval between two observations (trapezoidal rule, recency integrated exactly)."""
        parameters = self._parameters
        step_s = now.stamp_s - before.stamp_s
        fading = -math.expm1(-step_s / parameters.recency_s)
        weight = parameters.recency_s * fading
        self._observed_s += step_s
        self._weight += weight - fading * self._weight
        self._evidence += weight * (before.evidence + now.evidence) / 2 - fading * self._evidence
        self._certainty += weight * (before.confidence + now.confidence) / 2 - fading * self._certainty
        score = self._score()
        if self._followed_score is None:
            self._followed_score = score
        self._followed_score += (score - self._followed_score) * -math.expm1(-step_s / parameters.trend_s)

    def _score(self) -> float:
        if self._weight <= 0:
            return 0.0
        return min(max(self._evidence / self._weight, -1.0), 1.0)

    def _confidence(self, absence_s: float) -> float:
        if self._weight <= 0:
            return 0.0
        grown = -math.expm1(-self._observed_s / self._parameters.confidence_s)
        mean = min(max(self._certainty / self._weight, 0.0), 1.0)
        return mean * grown * math.exp(-absence_s / self._parameters.absence_s)

    def _next_level(self, confidence: float) -> Level:
        """The level that follows the present one: a level is left later than it is entered."""
        parameters, level, score = self._parameters, self._level, self._score()
        known = parameters.minimum_confidence - (parameters.hysteresis if level is not Level.UNKNOWN else 0.0)
        if confidence < known:
            return Level.UNKNOWN
        if score >= parameters.threshold - (parameters.hysteresis if level is Level.SATISFIED else 0.0):
            return Level.SATISFIED
        if -score >= parameters.threshold - (parameters.hysteresis if level is Level.DISSATISFIED else 0.0):
            return Level.DISSATISFIED
        return Level.NEUTRAL
