"""One time for the images of all cameras, whatever their stamps do."""

from __future__ import annotations

import itertools
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.nodes.clock import ImageClock

STAMP = st.one_of(st.floats(-1e18, 1e18), st.just(0.0), st.just(1.5))


def test_distances_of_stamps_are_kept_also_when_replayed_faster() -> None:
    clock = ImageClock()
    times_s = [clock.time_s("c", 1000 + i / 24, 5.0 + i * 0.006) for i in range(10)]
    assert times_s == pytest.approx([5.0 + i / 24 for i in range(10)])


@given(st.lists(st.tuples(STAMP, st.floats(0, 0.5)), min_size=2, max_size=30))
def test_time_always_advances_and_never_leaps(images: list[tuple[float, float]]) -> None:
    clock, arrived_s, times_s = ImageClock(), 100.0, []
    for stamp_s, wait_s in images:
        arrived_s += wait_s
        times_s.append(clock.time_s("c", stamp_s, arrived_s))
    steps_s = [later - earlier for earlier, later in itertools.pairwise(times_s)]
    assert all(step_s > 0 for step_s in steps_s)
    assert all(step_s <= wait_s + 10 + 1e-6 for step_s, (_, wait_s) in zip(steps_s, images[1:], strict=True))


def test_without_stamps_the_arrivals_count() -> None:
    clock = ImageClock()
    times_s = [clock.time_s("c", 0.0, 7 + i / 30) for i in range(5)]
    assert times_s == pytest.approx([7 + i / 30 for i in range(5)])


def test_cameras_with_other_clocks_meet() -> None:
    clock, now_s = ImageClock(), time.monotonic()
    times_s = [clock.time_s(camera, stamp_s, now_s) for camera, stamp_s in (("a", 0.5), ("b", 1.7e9))]
    assert times_s == [now_s, now_s]
    assert math.isclose(clock.now_s(), now_s, abs_tol=5.0)


def test_before_the_first_image_it_is_now() -> None:
    assert math.isclose(ImageClock().now_s(), time.monotonic(), abs_tol=5.0)
