"""What TensorRT calls back: its log, kept for errors, and its progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

_LINES_KEPT = 8


@cache
def log_of(trt: ModuleType) -> Any:
    """The process's one logger of a TensorRT module (TensorRT keeps the first that it is given, whatever comes later).

    It is a TensorRT `ILogger` with two more methods: `clear()`, and `said()`, which gives the last errors as the end of
    a sentence, empty where there were none.
    """

    class Log(trt.ILogger):  # type: ignore[name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._lines: deque[str] = deque(maxlen=_LINES_KEPT)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self._lines.append(" ".join(msg.split()))

        def clear(self) -> None:
            self._lines.clear()

        def said(self) -> str:
            return f": {'; '.join(self._lines)}" if self._lines else ""

    return Log()


def progress_monitor(trt: ModuleType, progress: Callable[[str, float], None]) -> Any:
    """A TensorRT `IProgressMonitor` that tells `progress`; the build ends where that raises OSError (a closed pipe)."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, tuple[int, int]] = {}
            self._done = 0.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:  # noqa: ARG002
            self._steps[phase_name] = (0, max(num_steps, 1))

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._steps:
                self._steps[phase_name] = (step + 1, self._steps[phase_name][1])
            try:
                progress(phase_name, self._whole())
            except OSError:  # an exception must not leave a callback
                return False
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def _whole(self) -> float:
            """Each phase is one step of the one before it; never less than said before."""
            done, share = 0.0, 1.0
            for complete, steps in self._steps.values():
                share /= steps
                done += share * complete
            self._done = min(max(self._done, done), 1.0)
            return self._done

    return Monitor()
