"""Charts over time as HTML: lines and areas in SVG that stretch to any width, words in HTML that stay readable.

Drawn here rather than by a plotting library: that would scale its words with the picture, down to nothing on a phone.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]
BINS = 300
_WIDTH, _HEIGHT = 1000.0, 100.0  # the SVG's own units; the page stretches them
_PERCENT = ("0 %", "50 %", "100 %")


@dataclass(frozen=True)
class Span:
    """What a chart shows of the recording, seconds."""

    start_s: float
    duration_s: float


@dataclass(frozen=True)
class Line:
    """One curve: its name in the legend, CSS colour and float64 (BINS,) values, NaN where there are none."""

    name: str
    colour: str
    values: Series


def binned(time_s: Sequence[float], values: NDArray[np.floating], span: Span) -> Series:
    """Means of values (N,) in BINS equal stretches of the span, float64; NaN in stretches without values."""
    times = np.asarray(time_s, np.float64) - span.start_s
    known = ~np.isnan(values)
    bins = np.clip((times[known] / max(span.duration_s, 1e-9) * BINS).astype(int), 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    sums = np.bincount(bins, np.asarray(values, np.float64)[known], minlength=BINS)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def bridged(values: Series, longest_gap: int) -> Series:
    """The same with gaps of up to `longest_gap` bins filled along a straight line; ends and longer gaps stay NaN."""
    known = np.flatnonzero(~np.isnan(values))
    if len(known) < 2:
        return values
    filled = np.interp(np.arange(len(values)), known, values[known])
    filled[: known[0]] = filled[known[-1] + 1 :] = np.nan
    for left, right in pairwise(known.tolist()):
        if right - left - 1 > longest_gap:
            filled[left + 1 : right] = np.nan
    return filled


def area_chart(title: str, lines: Sequence[Line], span: Span) -> str:
    """Shares that add up to 1, stacked from the bottom in the given order."""
    lower = np.zeros(len(lines[0].values))
    shapes = []
    for line in lines:
        upper = lower + line.values
        shapes += [
            f'<polygon fill="{line.colour}" points="{_points(start, upper[start:stop], 0.0, 1.0)} '
            f'{_points(start, lower[start:stop], 0.0, 1.0, backwards=True)}"/>'
            for start, stop in _stretches(upper)
        ]
        lower = upper
    return _frame(title, lines, "".join(shapes), _PERCENT, span)


def line_chart(title: str, lines: Sequence[Line], low: float, high: float, span: Span) -> str:
    """Curves between two limits, with marks at the limits and in their middle."""
    marks = tuple(f"{value:+g}" if value else "0" for value in (low, (low + high) / 2, high))
    return _frame(title, lines, _curves(lines, low, high), marks, span)


def share_chart(
    title: str,
    lines: Sequence[Line],
    span: Span,
    moments_s: Sequence[float],
    stretches_s: Sequence[tuple[float, float]],
) -> str:
    """Curves from 0 to 1, over stretches of time that are shaded and moments with an upright stroke."""

    def x(time_s: float) -> float:
        return (time_s - span.start_s) / max(span.duration_s, 1e-9) * _WIDTH

    shaded = (
        f'<rect class="shaded" x="{x(start_s):.1f}" y="0" width="{x(stop_s) - x(start_s):.1f}" height="{_HEIGHT:g}"/>'
        for start_s, stop_s in stretches_s
    )
    strokes = (f'<path class="moment" d="M{x(moment_s):.1f} 0V{_HEIGHT:g}"/>' for moment_s in moments_s)
    return _frame(title, lines, f"{''.join(shaded)}{''.join(strokes)}{_curves(lines, 0.0, 1.0)}", _PERCENT, span)


def time_marks(span: Span) -> list[float]:
    """Two to seven round moments within the span, seconds."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)
    step = next((step for step in steps if span.duration_s / step <= 6), max(span.duration_s / 6, steps[-1]))
    first, last = math.ceil(span.start_s / step - 1e-9), math.floor((span.start_s + span.duration_s) / step + 1e-9)
    return [round(step * i, 3) for i in range(first, last + 1)]


def clock(seconds: float) -> str:
    """A moment for people: 2.5 s, 1:05, 2:03:05."""
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _curves(lines: Sequence[Line], low: float, high: float) -> str:
    return "".join(
        f'<polyline fill="none" stroke="{line.colour}" points="{_points(start, line.values[start:stop], low, high)}"/>'
        for line in lines
        for start, stop in _stretches(line.values)
    )


def _legend(lines: Sequence[Line]) -> str:
    """Names beside their colours; a single curve needs none."""
    if len(lines) == 1:
        return ""
    items = (f'<span><i style="background:{line.colour}"></i>{html.escape(line.name)}</span>' for line in lines)
    return f'<div class="legend">{"".join(items)}</div>'


def _frame(title: str, lines: Sequence[Line], shapes: str, marks: Sequence[str], span: Span) -> str:
    """The chart around the shapes: title, legend, grid, words at both axes."""
    grid = "".join(f'<path class="grid" d="M0 {y:g}H{_WIDTH:g}"/>' for y in (0, _HEIGHT / 2, _HEIGHT))
    words = "".join(f"<span>{html.escape(mark)}</span>" for mark in reversed(marks))
    times = "".join(
        f'<span style="left:{(moment - span.start_s) / max(span.duration_s, 1e-9):.1%}">{clock(moment)}</span>'
        for moment in time_marks(span)
    )
    return (
        f'<figure class="chart"><figcaption>{html.escape(title)}{_legend(lines)}</figcaption>'
        f'<div class="y">{words}</div>'
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{html.escape(title)}">{grid}{shapes}</svg>'
        f'<div class="x">{times}</div></figure>'
    )


def _stretches(values: Series) -> list[tuple[int, int]]:
    """Where values are known: (start, stop) of every stretch without NaN."""
    known = np.concatenate(([False], ~np.isnan(values), [False]))
    edges = np.flatnonzero(np.diff(known.astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _points(start: int, values: Series, low: float, high: float, backwards: bool = False) -> str:
    """SVG points of a stretch; a lone value becomes a stroke as wide as its bin."""
    x = np.arange(start, start + len(values)) + 0.5
    if len(values) == 1:
        x, values = np.array([start, start + 1.0]), np.repeat(values, 2)
    y = _HEIGHT * (1 - (np.clip(values, low, high) - low) / (high - low))
    pairs = [f"{px:.1f},{py:.1f}" for px, py in zip(x * (_WIDTH / BINS), y, strict=True)]
    return " ".join(reversed(pairs) if backwards else pairs)
