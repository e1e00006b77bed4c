"""One time for the images of all cameras."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

SHORTEST_STEP_S = 1e-6
LARGEST_LEAD_S = 10.0
"""Stamps that run ahead of the arrivals by more than this in one step are a clock that was set, not time passed."""


@dataclass(frozen=True, slots=True)
class _Last:
    stamp_s: float
    arrived_s: float
    time_s: float


class ImageClock:
    """Gives every image a time on the axis of the monotonic clock, always later than that of the camera's last image.

    A camera's images keep the distances of their stamps, so that recorded images are measured like live ones. Where
    stamps do not advance (a driver that sets none, a clock set back) or leap, the time between the arrivals counts.
    Cameras whose clocks differ meet on the same axis. Methods may be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, _Last] = {}

    def time_s(self, camera: str, stamp_s: float, arrived_s: float) -> float:
        """The time of an image, seconds; `arrived_s` is when it arrived on the monotonic clock."""
        with self._lock:
            last = self._last.get(camera)
            if last is None:
                time_s = arrived_s
            else:
                waited_s = max(arrived_s - last.arrived_s, SHORTEST_STEP_S)
                step_s = stamp_s - last.stamp_s
                time_s = last.time_s + (step_s if SHORTEST_STEP_S <= step_s <= waited_s + LARGEST_LEAD_S else waited_s)
            self._last[camera] = _Last(stamp_s, arrived_s, time_s)
            return time_s

    def now_s(self) -> float:
        """The time of an image that would arrive now, seconds; with several cameras, the latest."""
        now_s = time.monotonic()
        with self._lock:
            return max((last.time_s + now_s - last.arrived_s for last in self._last.values()), default=now_s)
