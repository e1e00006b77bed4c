"""Charts: what is averaged, bridged and marked, and where the curves go."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mien.recording.charts import BINS, Line, Span, area_chart, binned, bridged, clock, line_chart, time_marks

SPAN = Span(0.0, 100.0)
times = st.lists(st.floats(0, 100), min_size=1, max_size=50)


@given(times, st.floats(-1, 1))
def test_binning_keeps_a_constant_and_fills_nothing_else(time_s, value) -> None:
    bins = binned(time_s, np.full(len(time_s), value), SPAN)
    assert np.allclose(bins[~np.isnan(bins)], value)
    assert 1 <= (~np.isnan(bins)).sum() <= len(time_s)
    for moment in time_s:
        assert not np.isnan(bins[min(int(moment / 100 * BINS), BINS - 1)])


def test_values_of_one_bin_are_averaged_and_unknown_ones_left_out() -> None:
    bins = binned([0.0, 0.01, 0.02, 50.0], np.array([1.0, 3.0, np.nan, np.nan]), SPAN)
    assert bins[0] == 2.0
    assert np.isnan(bins[1:]).all()


@given(arrays.arrays(np.float64, 40, elements=st.one_of(st.just(np.nan), st.floats(-1, 1))), st.integers(0, 10))
def test_bridges_leave_values_ends_and_long_gaps_alone(values, longest) -> None:
    result = bridged(values, longest)
    known = ~np.isnan(values)
    assert np.array_equal(result[known], values[known])
    padded = "".join("x" if one else "." for one in known)
    for gap in re.finditer(r"\.+", padded):
        inside = gap.start() > 0 and gap.end() < len(padded) and gap.end() - gap.start() <= longest
        assert np.isnan(result[gap.start() : gap.end()]).all() != inside


@given(st.one_of(st.just(0.0), st.floats(0, 1e5)), st.floats(0.3, 1e6))
def test_time_marks_are_few_and_within_the_span(start_s, duration_s) -> None:
    marks = time_marks(Span(start_s, duration_s))
    assert 2 <= len(marks) <= 7
    assert all(start_s - 0.001 <= mark <= (start_s + duration_s) * (1 + 1e-6) for mark in marks)
    assert marks[0] == 0 or start_s > 0


def test_a_span_shows_its_own_part_of_the_recording() -> None:
    values = binned([50.0, 60.0, 70.0], np.array([1.0, 2.0, 3.0]), Span(50.0, 20.0))
    assert values[0] == 1.0
    assert values[-1] == 3.0
    chart = line_chart("title", [Line("curve", "red", values)], -1, 1, Span(50.0, 20.0))
    assert '<span style="left:0.0%">50 s</span>' in chart
    assert '<span style="left:50.0%">1:00</span>' in chart


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (2.5, "2.5 s"), (59.9, "59.9 s"), (65, "1:05"), (3723, "1:02:03")]
)
def test_moments_are_written_for_people(seconds, text) -> None:
    assert clock(seconds) == text


def points(shape: str) -> list[tuple[float, float]]:
    return [tuple(map(float, pair.split(","))) for pair in re.search('points="([^"]+)"', shape)[1].split()]


def test_a_line_runs_from_low_at_the_bottom_to_high_at_the_top_and_breaks_where_nothing_is_known() -> None:
    values = np.linspace(-1, 1, BINS)
    values[100:120] = np.nan
    chart = line_chart("title", [Line("curve", "red", values)], -1, 1, SPAN)
    curves = re.findall("<polyline[^>]+>", chart)
    assert len(curves) == 2
    assert points(curves[0])[0][1] == pytest.approx(100, abs=0.1)
    assert points(curves[1])[-1][1] == pytest.approx(0, abs=0.1)
    assert points(curves[0])[-1][0] < points(curves[1])[0][0]


def test_areas_stack_up_to_the_top() -> None:
    lines = [Line("a", "red", np.full(BINS, 0.25)), Line("b", "blue", np.full(BINS, 0.75))]
    chart = area_chart("title", lines, SPAN)
    lower, upper = (points(shape) for shape in re.findall("<polygon[^>]+>", chart))
    assert {y for _, y in lower} == {75.0, 100.0}
    assert {y for _, y in upper} == {0.0, 75.0}


def test_a_lone_value_is_still_seen_and_words_are_escaped() -> None:
    values = np.full(BINS, np.nan)
    values[7] = 0.5
    chart = line_chart("<b>", [Line("<i>", "red", values), Line("b", "blue", values)], -1, 1, SPAN)
    assert all(len(points(curve)) == 2 for curve in re.findall("<polyline[^>]+>", chart))
    assert "<b>" not in chart
    assert "&lt;i&gt;" in chart
