"""When the frames of a source go out."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pacer:
    """Keeps the rhythm of a source without drift: each frame is due one step after the last was due, not sent.

    Args:
        wait: waits for some seconds; may return early, to stop.
        clock: seconds of a steady clock.

    Attributes:
        late: frames that came more than a step too late. The rhythm then starts anew, instead of hurrying after.
    """

    def __init__(self, wait: Callable[[float], object], clock: Callable[[], float] = time.monotonic) -> None:
        self.late = 0
        self._wait = wait
        self._clock = clock
        self._due_s: float | None = None

    def wait_for(self, step_s: float) -> None:
        """Wait until a frame is due that follows the one before after `step_s`."""
        now_s = self._clock()
        self._due_s = now_s if self._due_s is None else self._due_s + step_s
        if now_s <= self._due_s:
            self._wait(self._due_s - now_s)
        elif now_s > self._due_s + step_s:
            self.late += 1
            self._due_s = now_s

    def is_due(self, step_s: float) -> bool:
        """Whether a frame that came by itself is to be sent, if one is wanted every `step_s`."""
        now_s = self._clock()
        if self._due_s is not None and now_s < self._due_s:
            return False
        self._due_s = now_s + step_s if self._due_s is None else max(self._due_s + step_s, now_s)
        return True
