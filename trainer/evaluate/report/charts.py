"""Line charts for the page: coordinates only; the template draws them, so that they follow its colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

WIDTH, HEIGHT = 320, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 310, 10, 168


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
        points: (x, y) in the chart's units; y None where there is a gap.
        style: a class of the style sheet.
        name: in the legend; empty = not there.
    """

    points: Sequence[tuple[float, float | None]]
    style: str
    name: str = ""


class Tick(NamedTuple):
    """A mark on an axis: where, in pixels, and its text."""

    at: float
    text: str


class Curve(NamedTuple):
    """A line as drawn: class and path."""

    style: str
    path: str
    name: str


@dataclass(frozen=True)
class Chart:
    """A chart as drawn."""

    title: str
    x_title: str
    y_title: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    curves: list[Curve]


def line_chart(
    title: str,
    x_title: str,
    y_title: str,
    series: Sequence[Series],
    limits: tuple[float, float] | None = None,
    whole_x: bool = True,
) -> Chart | None:
    """Lay out a chart.

    Args:
        title: in words, also for who cannot see it.
        x_title: with unit.
        y_title: with unit.
        series: lines; what is not finite is a gap.
        limits: of y; None = as the lines need.
        whole_x: x is counted: marks at whole numbers only.

    Returns:
        None where no line has a point.
    """
    known = [(x, y) for line in series for x, y in line.points if y is not None and math.isfinite(y)]
    if not known:
        return None
    x_low, x_high = _widened(min(x for x, _ in known), max(x for x, _ in known))
    y_low, y_high = limits or _widened(min(y for _, y in known), max(y for _, y in known))

    def across(x: float) -> float:
        return _LEFT + (x - x_low) / (x_high - x_low) * (_RIGHT - _LEFT)

    def down(y: float) -> float:
        return _BOTTOM - (y - y_low) / (y_high - y_low) * (_BOTTOM - _TOP)

    def path(line: Series) -> str:
        drawn, is_new = [], True
        for x, y in line.points:
            if y is None or not math.isfinite(y):
                is_new = True
                continue
            drawn.append(f"{'M' if is_new else 'L'}{across(x):.1f} {down(y):.1f}{'h0' if is_new else ''}")
            is_new = False
        return "".join(drawn)

    return Chart(
        title,
        x_title,
        y_title,
        [Tick(across(value), text) for value, text in _ticks(x_low, x_high, 1.0 if whole_x else 0.0)],
        [Tick(down(value), text) for value, text in _ticks(y_low, y_high, 0.0)],
        [Curve(line.style, drawn, line.name) for line in series if (drawn := path(line))],
    )


def _widened(low: float, high: float) -> tuple[float, float]:
    """A range that is not empty."""
    return (low, high) if high - low > 1e-9 * max(1.0, abs(high)) else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float, smallest_step: float) -> list[tuple[float, str]]:
    """Round values between two, about five of them."""
    raw = max((high - low) / 5, smallest_step)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(number * step, f"{number * step:,.{decimals}f}") for number in range(first, last + 1)]
