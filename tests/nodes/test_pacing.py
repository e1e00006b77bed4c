"""Frames go out in the rhythm of their source, and late ones are counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.nodes.pacing import Pacer


class Clock:
    """Time that passes only when somebody waits or works; waiting takes a little too long, as it does."""

    def __init__(self, oversleep_s=0.0):
        self.now_s = 1000.0
        self.oversleep_s = oversleep_s

    def __call__(self):
        return self.now_s

    def wait(self, seconds):
        assert seconds >= 0
        self.now_s += seconds + self.oversleep_s


@given(
    work_s=st.lists(st.floats(0, 0.03), min_size=2, max_size=50),
    steps_s=st.lists(st.floats(0.035, 0.2), min_size=50, max_size=50),
)
def test_neither_work_nor_oversleeping_adds_up(work_s, steps_s):
    clock = Clock(oversleep_s=0.004)
    pacer = Pacer(clock.wait, clock)
    sent_s = []
    for work, step_s in zip(work_s, [0.0, *steps_s], strict=False):
        clock.now_s += work
        pacer.wait_for(step_s)
        sent_s.append(clock.now_s)
    ideal_s = sent_s[0] + sum(steps_s[: len(sent_s) - 1])
    assert sent_s[-1] == pytest.approx(ideal_s, abs=0.01)
    assert pacer.late == 0


def test_a_slow_reader_is_counted_and_does_not_make_frames_hurry_after():
    clock = Clock()
    pacer = Pacer(clock.wait, clock)
    sent_s = []
    for work_s in (0.0, 0.01, 0.5, 0.01, 0.01):
        clock.now_s += work_s
        pacer.wait_for(0.1)
        sent_s.append(clock.now_s)
    gaps_s = np.diff(sent_s)
    assert gaps_s == pytest.approx([0.1, 0.5, 0.1, 0.1])
    assert pacer.late == 1


@pytest.mark.parametrize(("wanted_hz", "expected"), [(10, 10), (29, 29), (30, 30), (60, 30)])
def test_frames_that_come_by_themselves_are_thinned_to_the_wanted_rate(wanted_hz, expected):
    clock = Clock()
    pacer = Pacer(clock.wait, clock)
    sent = 0
    for i in range(300):  # ten seconds of a 30 Hz camera
        clock.now_s = 1000 + i / 30 + 1e-4 * (i % 3)
        sent += pacer.is_due(1 / wanted_hz)
    assert sent == pytest.approx(10 * expected, abs=2)


def test_without_a_wanted_rate_all_frames_go_out():
    clock = Clock()
    pacer = Pacer(clock.wait, clock)
    sent = 0
    for _ in range(20):
        clock.now_s += 0.01
        sent += pacer.is_due(0.0)
    assert sent == 20
