"""Smoothing per face, dt-aware."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mien.errors import MienError
from mien.expression.smoothing import MAXIMUM_FACES, Smoother

NAN = math.nan
A = np.array([1, 0, 0], np.float32)
B = np.array([0, 1, 0], np.float32)

weights = hnp.arrays(np.float32, (7,), elements=st.floats(0.015625, 1, width=32))
stamps = st.floats(0, 1e9) | st.floats(-10, 10)


def step(smoother: Smoother, stamp_s: float, p: NDArray[np.float32], valence: float = NAN) -> NDArray[np.float32]:
    return smoother.update("f", stamp_s, p, valence, NAN)[0]


def test_the_first_sample_passes_through() -> None:
    p, valence, arousal = Smoother(0.3).update("f", 12.0, A, 0.5, -0.25)
    np.testing.assert_array_equal(p, A)
    assert p.dtype == np.float32
    assert (valence, arousal) == (0.5, -0.25)


def test_a_step_is_followed_by_63_percent_within_one_time_constant() -> None:
    smoother = Smoother(0.4)
    smoother.update("f", 0.0, A, -1.0, 0.0)
    p, valence, arousal = smoother.update("f", 0.4, B, 1.0, 1.0)
    share = 1 - math.exp(-1)
    np.testing.assert_allclose(p, [1 - share, share, 0], atol=1e-6)
    assert valence == pytest.approx(-1 + 2 * share)
    assert arousal == pytest.approx(share)


@pytest.mark.parametrize("rate_hz", [5, 15, 30, 100])
def test_the_frame_rate_does_not_matter(rate_hz: int) -> None:
    smoother = Smoother(0.5)
    step(smoother, 0.0, A)
    for i in range(1, rate_hz + 1):
        p = step(smoother, i / rate_hz, B)
    assert p[1] == pytest.approx(1 - math.exp(-1 / 0.5), abs=1e-5)


@given(st.lists(st.tuples(stamps, weights), min_size=1, max_size=20), st.floats(0, 10))
def test_probabilities_stay_a_distribution_whatever_the_stamps(
    samples: list[tuple[float, NDArray[np.float32]]], time_constant_s: float
) -> None:
    smoother = Smoother(time_constant_s)
    for stamp_s, weight in samples:
        p = step(smoother, stamp_s, weight / weight.sum())
        assert p.shape == (7,)
        assert (p >= 0).all()
        assert p.sum() == pytest.approx(1, abs=1e-5)


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(-1, 1)), min_size=1, max_size=20))
def test_valence_stays_between_the_samples(samples: list[tuple[float, float]]) -> None:
    smoother, stamp_s = Smoother(0.3), 0.0
    seen = []
    for gap_s, valence in samples:
        stamp_s += gap_s
        seen.append(valence)
        smoothed = smoother.update("f", stamp_s, A, valence, NAN)[1]
        assert min(seen) - 1e-9 <= smoothed <= max(seen) + 1e-9


@pytest.mark.parametrize("jump_s", [1.6, -1.6])
def test_a_long_gap_or_a_clock_set_back_starts_afresh(jump_s: float) -> None:
    smoother = Smoother(0.3)
    step(smoother, 100.0, A)
    np.testing.assert_array_equal(step(smoother, 100.0 + jump_s, B), B)
    assert 0 < step(smoother, 100.1 + jump_s, A)[0] < 0.5  # and goes on from there


@pytest.mark.parametrize("stamp_s", [5.0, 4.9])
def test_equal_and_late_stamps_change_nothing(stamp_s: float) -> None:
    smoother = Smoother(0.3)
    step(smoother, 5.0, A)
    np.testing.assert_array_equal(step(smoother, stamp_s, B), A)
    expected = 1 - math.exp(-0.3 / 0.3)
    assert step(smoother, 5.3, B)[1] == pytest.approx(expected, abs=1e-6)  # time counts from the newest stamp


def test_nan_stays_nan_and_is_left_again() -> None:
    smoother = Smoother(0.3)
    assert all(math.isnan(value) for value in smoother.update("f", 0.0, A, NAN, NAN)[1:])
    assert all(math.isnan(value) for value in smoother.update("f", 0.1, A, NAN, NAN)[1:])
    assert smoother.update("f", 0.2, A, 0.5, 0.25)[1:] == (0.5, 0.25)  # another head knows them


def test_one_broken_sample_does_not_stay() -> None:
    smoother = Smoother(0.3)
    step(smoother, 0.0, np.full(3, np.nan, np.float32))
    np.testing.assert_array_equal(step(smoother, 0.1, B), B)


def test_another_number_of_classes_starts_afresh() -> None:
    smoother = Smoother(0.3)
    step(smoother, 0.0, A)
    wider = np.array([0, 0, 0, 1], np.float32)
    np.testing.assert_array_equal(step(smoother, 0.1, wider), wider)


def test_faces_do_not_mix() -> None:
    smoother = Smoother(0.3)
    smoother.update("f", 0.0, A, NAN, NAN)
    np.testing.assert_array_equal(smoother.update("g", 0.01, B, NAN, NAN)[0], B)


def test_only_the_latest_faces_are_remembered() -> None:
    smoother = Smoother(1.0)
    smoother.update("kept", 0.0, A, NAN, NAN)
    smoother.update("dropped", 0.0, A, NAN, NAN)
    for i in range(MAXIMUM_FACES):
        smoother.update("kept", 0.001 * i, A, NAN, NAN)
        smoother.update(f"f{i}", 0.001 * i, A, NAN, NAN)
    assert smoother.update("kept", 0.4, B, NAN, NAN)[0][0] > 0.5
    np.testing.assert_array_equal(smoother.update("dropped", 0.4, B, NAN, NAN)[0], B)


def test_zero_switches_smoothing_off_at_run_time() -> None:
    smoother = Smoother(1.0)
    step(smoother, 0.0, A)
    smoother.time_constant_s = 0.0
    np.testing.assert_array_equal(step(smoother, 0.1, B), B)
    np.testing.assert_array_equal(step(smoother, 0.2, A), A)


@pytest.mark.parametrize("value", [-0.1, NAN, math.inf])
def test_impossible_time_constants_are_refused(value: float) -> None:
    with pytest.raises(MienError, match="time constant"):
        Smoother(value)
