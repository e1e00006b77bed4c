"""Smoothing over time, per face: what flickers from image to image is mostly noise of the network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError

RESTART_AFTER_TIME_CONSTANTS = 5.0
"""After so long a gap less than 1 % of the past would be left: the next sample stands alone."""
MAXIMUM_FACES = 256


@dataclass(frozen=True, slots=True)
class _Past:
    stamp_s: float
    probabilities: NDArray[np.float64]
    valence: float
    arousal: float


class Smoother:
    """Exponential smoothing with a time constant in seconds, so that the camera's rate does not matter.

    A face's first sample passes through, and so does the first one after a gap, or after a clock that jumped back, of
    more than `RESTART_AFTER_TIME_CONSTANTS`. A sample no newer than the last one changes nothing. The `MAXIMUM_FACES`
    latest faces are remembered; faces are independent, so cameras may have different clocks.

    Attributes:
        time_constant_s: seconds until 63 % of a change are followed; 0 passes everything through. May be changed at
            any time.

    Raises:
        MienError: the time constant is negative or not finite.
    """

    def __init__(self, time_constant_s: float) -> None:
        self._past: dict[str, _Past] = {}  # the face seen longest ago comes first
        self.time_constant_s = time_constant_s

    @property
    def time_constant_s(self) -> float:  # noqa: D102 - described by the class
        return self._time_constant_s

    @time_constant_s.setter
    def time_constant_s(self, value: float) -> None:
        if not (math.isfinite(value) and value >= 0):
            raise MienError(f"The smoothing time constant is {value} s", "Give 0 (off) or a positive number of seconds")
        self._time_constant_s = value

    def update(
        self, face_id: str, stamp_s: float, probabilities: NDArray[np.float32], valence: float, arousal: float
    ) -> tuple[NDArray[np.float32], float, float]:
        """Add a sample of a face and return its smoothed values.

        Args:
            face_id: whose sample it is.
            stamp_s: when its image was taken, seconds.
            probabilities: float32 (classes,), sums to 1.
            valence: any range, NaN where the model has none.
            arousal: any range, NaN where the model has none.

        Returns:
            Smoothed probabilities, float32 (classes,), still a distribution; valence; arousal. NaN gives NaN.
        """
        if self._time_constant_s == 0:
            self._past.clear()
            return probabilities, valence, arousal
        now = _Past(stamp_s, np.asarray(probabilities, np.float64), valence, arousal)
        past = self._past.pop(face_id, None)
        if past is not None and self._continues(past, now):
            now = _follow(past, now, -math.expm1(-max(stamp_s - past.stamp_s, 0.0) / self._time_constant_s))
        self._past[face_id] = now
        if len(self._past) > MAXIMUM_FACES:
            del self._past[next(iter(self._past))]
        return now.probabilities.astype(np.float32), now.valence, now.arousal

    def _continues(self, past: _Past, now: _Past) -> bool:
        gap_s = abs(now.stamp_s - past.stamp_s)
        return (
            gap_s <= RESTART_AFTER_TIME_CONSTANTS * self._time_constant_s
            and past.probabilities.shape == now.probabilities.shape  # another head may know other classes
            and bool(np.isfinite(past.probabilities).all())  # one bad sample must not stay for ever
        )


def _follow(past: _Past, now: _Past, share: float) -> _Past:
    """Move from the past towards the new sample by a share of 0 to 1."""

    def scalar(old: float, new: float) -> float:
        return new if math.isnan(old) else old + share * (new - old)

    return _Past(
        max(past.stamp_s, now.stamp_s),
        past.probabilities + share * (now.probabilities - past.probabilities),
        scalar(past.valence, now.valence),
        scalar(past.arousal, now.arousal),
    )
