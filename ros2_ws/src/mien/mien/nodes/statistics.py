"""Counts and times of a perception node, kept by its threads and shown in /diagnostics."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace

import numpy as np

WINDOW_FRAMES = 300
"""Latencies and rates are of the newest frames only, so that they show what is so now."""
NEIGHBOURS = 11
"""Steps between stamps whose median is the camera's period of the moment."""
GAP_PERIODS = 1.7
PAUSE_PERIODS = 20
"""A camera that sends nothing for so many of its periods has paused; fewer are lost frames."""
HARMLESS = ("superseded", "stopped")
"""Reasons to drop an image that say nothing against it."""


@dataclass
class CameraStatistics:
    """What became of one camera's images. `frames_in` = `processed` + all of `dropped` + those under way.

    `last_bad_s` is when the camera last sent something wrong: an unusable image, or a stamp no later than the one
    before.
    """

    frames_in: int = 0
    processed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    stamps_not_later: int = 0
    last_bad_s: float | None = None
    last_arrival_s: float | None = None
    last_stamp_s: float | None = None
    arrivals_s: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW_FRAMES))
    stamp_steps_s: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW_FRAMES))

    @property
    def rate_hz(self) -> float:
        """Rate of arrival over the window, Hz."""
        if len(self.arrivals_s) < 2:
            return 0.0
        return float((len(self.arrivals_s) - 1) / max(self.arrivals_s[-1] - self.arrivals_s[0], 1e-6))

    @property
    def missing_share(self) -> float:
        """Share of the camera's frames that never arrived, 0 to 1, judged by the gaps between the stamps.

        A gap is a step well above the median of its neighbours, which follows a camera that changes its rate and
        leaves jitter alone. Long gaps are pauses, not losses.
        """
        steps = np.array(self.stamp_steps_s)
        steps = steps[steps > 0]
        if len(steps) < 30:
            return 0.0
        padded = np.pad(steps, NEIGHBOURS // 2, mode="reflect")
        periods = steps / np.median(np.lib.stride_tricks.sliding_window_view(padded, NEIGHBOURS), axis=1)
        periods = periods[periods < PAUSE_PERIODS]
        expected = np.where(periods > GAP_PERIODS, np.round(periods), 1.0)
        return float(1 - len(expected) / max(expected.sum(), 1.0))


class Statistics:
    """All cameras' statistics and the node's latencies; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cameras: dict[str, CameraStatistics] = {}
        self._latency_ms: deque[float] = deque(maxlen=WINDOW_FRAMES)
        self._stages_ms: dict[str, deque[float]] = {}

    def add_camera(self, camera: str) -> None:
        """Show a camera from now on, even before its first image."""
        with self._lock:
            self._cameras.setdefault(camera, CameraStatistics())

    def arrived(self, camera: str, stamp_s: float, arrived_s: float) -> None:
        """Count an image that came in, with its stamp and when that was (monotonic clock), both in seconds."""
        with self._lock:
            statistics = self._cameras[camera]
            statistics.frames_in += 1
            statistics.last_arrival_s = arrived_s
            statistics.arrivals_s.append(arrived_s)
            if statistics.last_stamp_s is not None:
                step_s = stamp_s - statistics.last_stamp_s
                statistics.stamp_steps_s.append(step_s)
                if step_s <= 0:
                    statistics.stamps_not_later += 1
                    statistics.last_bad_s = arrived_s
            statistics.last_stamp_s = stamp_s

    def dropped(self, camera: str, reason: str) -> None:
        """Count an image that will not be processed, and why."""
        with self._lock:
            statistics = self._cameras[camera]
            statistics.dropped[reason] += 1
            if reason not in HARMLESS:
                statistics.last_bad_s = time.monotonic()

    def processed(self, camera: str, latency_ms: float) -> None:
        """Count an image whose faces were published."""
        with self._lock:
            self._cameras[camera].processed += 1
            self._latency_ms.append(latency_ms)

    def stages(self, times_ms: dict[str, float]) -> None:
        """Note how long the pipeline's stages took for one batch of frames."""
        with self._lock:
            for stage, ms in times_ms.items():
                self._stages_ms.setdefault(stage, deque(maxlen=WINDOW_FRAMES)).append(ms)

    def cameras(self) -> dict[str, CameraStatistics]:
        """A copy of every camera's statistics."""
        with self._lock:
            return {
                name: replace(
                    one,
                    dropped=one.dropped.copy(),
                    arrivals_s=one.arrivals_s.copy(),
                    stamp_steps_s=one.stamp_steps_s.copy(),
                )
                for name, one in self._cameras.items()
            }

    def times_ms(self) -> dict[str, tuple[float, float]]:
        """Median and 99th percentile in ms of `latency` and of every stage, over the window."""
        with self._lock:
            series = {"latency": list(self._latency_ms)} | {name: list(ms) for name, ms in self._stages_ms.items()}
        return {
            name: (float(np.median(values)), float(np.percentile(values, 99)))
            for name, values in series.items()
            if values
        }


def seconds_since(moment_s: float | None) -> float:
    """Seconds since a moment of the monotonic clock; infinite when there was none."""
    return np.inf if moment_s is None else time.monotonic() - moment_s
