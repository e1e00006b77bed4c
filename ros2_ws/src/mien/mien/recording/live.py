"""What the terminal shows while recording: a live table, or a line per second where there is no terminal."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mien.drawing import EXPRESSION_COLOURS
from mien.recording.lines import RecordedFrame, RecordedSatisfaction
from mien.recording.summary import NodeFigures
from mien.records import FaceRecord

BAR_CELLS = 16
MAXIMUM_ROWS = 12
_REFRESH_HZ, _LINE_INTERVAL_S, _FPS_WINDOW_S, _START_S = 5.0, 1.0, 2.0, 10.0
_LEVEL_STYLES = {"satisfied": "green", "dissatisfied": "red", "neutral": "default", "unknown": "dim"}


class LiveState:
    """The newest of everything; `frame` and the setters may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frame: RecordedFrame | None = None
        self._arrivals_s: deque[float] = deque()
        self._satisfaction: dict[str, RecordedSatisfaction] = {}
        self._started_s = time.monotonic()
        self._warning = ""
        self.figures = NodeFigures()

    @property
    def warning(self) -> str:
        """What the nodes complain about; nothing while they may still be starting."""
        starting = self._frame is None and time.monotonic() - self._started_s < _START_S
        return "" if starting else self._warning

    @warning.setter
    def warning(self, text: str) -> None:
        self._warning = text

    def add_frame(self, frame: RecordedFrame) -> None:
        """Show this frame from now on."""
        now_s = time.monotonic()
        with self._lock:
            self._frame = frame
            self._arrivals_s.append(now_s)
            while now_s - self._arrivals_s[0] > _FPS_WINDOW_S:
                self._arrivals_s.popleft()

    def add_satisfaction(self, record: RecordedSatisfaction) -> None:
        """Show this satisfaction beside its face from now on."""
        with self._lock:
            self._satisfaction = {face_id: other for face_id, other in self._satisfaction.items() if other.present} | {
                record.face_id: record
            }

    def snapshot(self) -> tuple[RecordedFrame | None, dict[str, RecordedSatisfaction], float]:
        """The newest frame, satisfaction by face id, and results per second."""
        with self._lock:
            return self._frame, dict(self._satisfaction), self._fps()

    def _fps(self) -> float:
        if len(self._arrivals_s) < 2 or time.monotonic() - self._arrivals_s[-1] > _FPS_WINDOW_S:
            return 0.0
        return (len(self._arrivals_s) - 1) / max(self._arrivals_s[-1] - self._arrivals_s[0], 1e-6)


class Display(Protocol):
    """Something that shows a state until it is closed."""

    def close(self) -> None:
        """Stop showing."""
        ...


def show(state: LiveState, title: str, console: Console | None = None) -> Display:
    """Show a state on the terminal from now on: a table that stays in place, or else a line per second."""
    console = console or Console()
    return _Table(state, title, console) if console.is_terminal else _Lines(state, console)


class _Table:
    def __init__(self, state: LiveState, title: str, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=_REFRESH_HZ, get_renderable=lambda: render(state, title))
        self._live.start()

    def close(self) -> None:
        self._live.stop()


class _Lines:
    def __init__(self, state: LiveState, console: Console) -> None:
        self._state, self._console = state, console
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._print, name="display", daemon=True)
        self._thread.start()

    def _print(self) -> None:
        while not self._ended.wait(_LINE_INTERVAL_S):
            self._console.print(describe(self._state), highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


def render(state: LiveState, title: str) -> Group:
    """The live table."""
    frame, satisfaction, fps = state.snapshot()
    table = Table(title=title, title_justify="left", expand=False)
    table.add_column("face", no_wrap=True)
    table.add_column("expression", no_wrap=True, min_width=BAR_CELLS + 16)
    table.add_column("valence", justify="right", no_wrap=True)
    table.add_column("arousal", justify="right", no_wrap=True)
    table.add_column("satisfaction", no_wrap=True, min_width=18)
    faces = frame.faces if frame is not None else []
    for face in faces[:MAXIMUM_ROWS]:
        table.add_row(
            face.id, _expression(face), _signed(face.valence), _signed(face.arousal), _level(satisfaction.get(face.id))
        )
    if not faces:
        table.add_row("", Text("no face" if frame is not None else "waiting for images …", style="dim"), "", "", "")
    lines = [Text(_footer(state, frame, fps, len(faces)), style="dim")]
    if state.warning:
        lines.append(Text(state.warning, style="yellow"))
    return Group(table, *lines)


def describe(state: LiveState) -> Text:
    """The same in one line."""
    frame, satisfaction, fps = state.snapshot()
    faces = frame.faces if frame is not None else []
    parts = []
    for face in faces[:MAXIMUM_ROWS]:
        part = face.id if face.confidence is None else f"{face.id} {face.expression} {face.confidence:.0%}"
        if face.valence is not None:
            part += f" valence {_signed(face.valence)} arousal {_signed(face.arousal)}"
        if face.id in satisfaction:
            part += f" {satisfaction[face.id].level} {satisfaction[face.id].score:+.2f}"
        parts.append(part)
    what = "; ".join(parts) or ("no face" if frame is not None else "waiting for images")
    return Text(f"{_footer(state, frame, fps, len(faces))} | {what}" + (f" | {state.warning}" if state.warning else ""))


def _footer(state: LiveState, frame: RecordedFrame | None, fps: float, faces: int) -> str:
    parts = [f"{frame.time_s:.1f} s" if frame is not None else "0.0 s", f"{fps:.1f} fps"]
    if frame is not None:
        parts.append(f"{frame.latency_ms:.1f} ms")
    figures = state.figures
    if figures.frames_dropped is not None:
        dropped = sum(figures.frames_dropped.values())
        parts.append(f"{figures.frames_in} in, {figures.frames_processed} processed, {dropped} dropped")
    if faces > MAXIMUM_ROWS:
        parts.append(f"{faces - MAXIMUM_ROWS} more faces")
    return "  ".join(parts)


def _expression(face: FaceRecord) -> Text:
    if face.confidence is None:
        return Text("–", style="dim")
    cells = round(face.confidence * BAR_CELLS)
    colour = EXPRESSION_COLOURS.get(face.expression, "white")
    return Text.assemble(
        (f"{face.expression:<10}", f"bold {colour}"),
        ("━" * cells, colour),
        ("─" * (BAR_CELLS - cells), "dim"),
        f"{face.confidence:>5.0%}",
    )


def _level(record: RecordedSatisfaction | None) -> Text:
    if record is None:
        return Text("")
    return Text(f"{record.level} {record.score:+.2f}", style=_LEVEL_STYLES[record.level])


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"
