"""Landmarks that stand still stay still, and those that move are followed at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mien.bundle import CropSpec
from mien.faces.crop import crop_square
from mien.faces.detector import Box
from mien.faces.landmark_filter import LONGEST_GAP_S, LONGEST_JUMP, MAXIMUM_FACES, LandmarkFilter
from tests.faces.template import TEMPLATE

SIZE_PX = 150.0
RATE_HZ = 30.0
INNER = CropSpec("inner", 0.2)


def still(size_px: float = SIZE_PX) -> NDArray[np.float32]:
    """A face whose box has that longer side, with its middle at 300, 300."""
    return ((TEMPLATE - 0.5) * size_px + 300).astype(np.float32)


def jitter(sequence: list[NDArray[np.float32]]) -> float:
    """How far middle or side of the inner crop's square move at most, peak to peak, in its mean side."""
    squares = [crop_square(INNER, Box(0, 0, 1, 1), points, 0, 0) for points in sequence]
    moves = np.array([(*square.center, square.width) for square in squares])
    return float(np.ptp(moves, axis=0).max() / moves[:, 2].mean())


def test_a_still_face_has_a_still_crop_in_spite_of_noise() -> None:
    """Each point shakes by 0.4 % of the face, and all of them together by as much: a published network does by less."""
    random = np.random.default_rng(0)
    noisy = [
        (still() + 0.004 * SIZE_PX * (random.normal(size=(68, 2)) + random.normal(size=(1, 2)))).astype(np.float32)
        for _ in range(150)
    ]
    landmark_filter = LandmarkFilter()
    smooth = [landmark_filter.update("f", i / RATE_HZ, points, SIZE_PX) for i, points in enumerate(noisy)]
    assert jitter(noisy) > 0.03
    assert jitter(smooth[30:]) <= 0.02
    assert smooth[-1].dtype == np.float32


@pytest.mark.parametrize("rate_hz", [15.0, 30.0])
@pytest.mark.parametrize("size_px", [40.0, 100.0, 200.0, 400.0])
def test_a_step_of_ten_pixels_is_followed_within_two_images(size_px: float, rate_hz: float) -> None:
    landmark_filter = LandmarkFilter()
    for i in range(10):
        landmark_filter.update("f", i / rate_hz, still(size_px), size_px)
    moved = still(size_px) + np.float32([10, 0])
    left = [np.abs(landmark_filter.update("f", i / rate_hz, moved, size_px) - moved).max() for i in range(10, 13)]
    assert left == sorted(left, reverse=True)
    assert left[1] < 5  # more than half of the way: less than one image of lag
    assert left[2] < 1.5


def test_a_face_that_walks_is_followed_within_two_images() -> None:
    """Two sizes a second, once it is under way."""
    landmark_filter = LandmarkFilter()
    step = 2 * SIZE_PX / RATE_HZ
    for i in range(30):
        points = still() + np.float32([i * step, 0])
        smooth = landmark_filter.update("f", i / RATE_HZ, points, SIZE_PX)
    assert np.abs(smooth - points).max() < step


@pytest.mark.parametrize(
    ("elapsed_s", "jump"),
    [
        (LONGEST_GAP_S + 0.01, 0.01),
        (0.0, 0.01),
        (-5.0, 0.01),
        (1 / RATE_HZ, LONGEST_JUMP + 0.01),
    ],
)
def test_after_a_gap_a_clock_that_went_back_or_a_jump_it_starts_anew(elapsed_s: float, jump: float) -> None:
    landmark_filter = LandmarkFilter()
    landmark_filter.update("f", 10.0, still(), SIZE_PX)
    there = still() + np.float32([jump * SIZE_PX, 0])
    now_s = 10.0 + elapsed_s
    np.testing.assert_array_equal(landmark_filter.update("f", now_s, there, SIZE_PX), there)
    # From there it goes on: the next points do not pass through.
    back = there + np.float32([1, 0])
    assert (landmark_filter.update("f", now_s + 0.03, back, SIZE_PX)[:, 0] < back[:, 0]).all()


def test_faces_do_not_mix_and_the_longest_unseen_is_forgotten() -> None:
    landmark_filter = LandmarkFilter()
    other = still() + 40
    for i in range(MAXIMUM_FACES):
        np.testing.assert_array_equal(landmark_filter.update(f"f{i}", 0.0, still(), SIZE_PX), still())
    assert (landmark_filter.update("f1", 0.1, other, SIZE_PX) < other).all()
    landmark_filter.update("new", 0.1, other, SIZE_PX)
    np.testing.assert_array_equal(landmark_filter.update("f0", 0.2, other, SIZE_PX), other)


numbers = st.floats(-1, 1, width=32)
sequences = st.lists(st.tuples(st.floats(0.01, 0.4), numbers, numbers), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(sequences, st.floats(0.25, 4), st.floats(-500, 500))
def test_where_and_how_large_a_face_is_changes_nothing(moves, scale: float, shift: float) -> None:
    """Filtering commutes with moving and scaling the picture, and never leaves what was seen."""
    here, there = LandmarkFilter(), LandmarkFilter()
    now_s, seen = 0.0, []
    for elapsed_s, x, y in moves:
        now_s += elapsed_s
        points = still() + 0.2 * SIZE_PX * np.float32([x, y])
        seen.append(points)
        smooth = here.update("f", now_s, points, SIZE_PX)
        other = there.update("f", now_s, (points * scale + shift).astype(np.float32), SIZE_PX * scale)
        np.testing.assert_allclose(other, smooth * scale + shift, atol=0.02)
        assert (smooth >= np.min(seen, axis=0) - 1e-2).all()
        assert (smooth <= np.max(seen, axis=0) + 1e-2).all()
