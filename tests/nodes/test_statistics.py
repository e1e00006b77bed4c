"""What the statistics say about a camera, by its stamps and counts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.nodes.statistics import CameraStatistics, Statistics

CAMERA = "/image_raw"


def after(stamps_s: Iterable[float]) -> CameraStatistics:
    statistics = Statistics()
    statistics.add_camera(CAMERA)
    for stamp_s in stamps_s:
        statistics.arrived(CAMERA, stamp_s, stamp_s)
    return statistics.cameras()[CAMERA]


@given(st.sets(st.integers(1, 198), max_size=60), st.floats(0.01, 2.0))
def test_the_share_of_missing_frames_is_that_of_the_stamps_that_never_came(lost: set[int], period_s: float) -> None:
    # Many losses side by side cannot be told from a camera that changed its rate.
    spread = {i for i in lost if not lost & set(range(i - 12, i))}
    arrived = [i for i in range(200) if i not in spread]
    assert after(i * period_s for i in arrived).missing_share == pytest.approx(len(spread) / 199, abs=1e-6)


@pytest.mark.parametrize("lost_share", [0.3, 0.55, 0.7])
def test_heavy_random_loss_is_noticed(lost_share: float) -> None:
    arrived = np.flatnonzero(np.random.default_rng(0).random(900) > lost_share)
    assert after(arrived / 30).missing_share > 0.1


@pytest.mark.parametrize("jitter_s", [0.002, 0.004, 0.006])
def test_jitter_and_a_change_of_rate_are_no_losses(jitter_s: float) -> None:
    rng = np.random.default_rng(0)
    jittered = np.arange(300) / 30 + rng.normal(0, jitter_s, 300)
    assert after(np.sort(jittered)).missing_share < 0.05
    dimmed = np.concatenate([np.arange(100) / 30, 100 / 30 + np.arange(100) / 15])  # exposure doubled in the dark
    assert after(dimmed).missing_share < 0.05


def test_a_pause_and_a_clock_that_was_set_are_no_losses() -> None:
    stamps_s = [i * 0.04 for i in range(100)]
    paused = stamps_s + [stamp_s + 600 for stamp_s in stamps_s]
    assert after(paused).missing_share == 0
    set_back = [stamp_s + 1e9 for stamp_s in stamps_s] + stamps_s
    assert after(set_back).missing_share == 0
    assert after(set_back).stamps_not_later == 1


def test_a_few_frames_say_nothing_about_losses() -> None:
    assert after([0, 1, 5, 6, 9]).missing_share == 0


@given(
    st.lists(st.sampled_from(["processed", "superseded", "corrupt_image", "processing_failed"]), max_size=50),
    st.integers(0, 3),
)
def test_what_came_in_is_processed_dropped_or_under_way(fates: list[str], under_way: int) -> None:
    statistics = Statistics()
    statistics.add_camera(CAMERA)
    for i in range(len(fates) + under_way):
        statistics.arrived(CAMERA, float(i), float(i))
    for fate in fates:
        if fate == "processed":
            statistics.processed(CAMERA, 1.0)
        else:
            statistics.dropped(CAMERA, fate)
    camera = statistics.cameras()[CAMERA]
    assert camera.frames_in == camera.processed + sum(camera.dropped.values()) + under_way
    bad = {"corrupt_image", "processing_failed"} & set(fates)
    assert (camera.last_bad_s is not None) == bool(bad)


def test_a_copy_does_not_change_any_more() -> None:
    statistics = Statistics()
    statistics.add_camera(CAMERA)
    before = statistics.cameras()[CAMERA]
    statistics.arrived(CAMERA, 1.0, 1.0)
    statistics.dropped(CAMERA, "superseded")
    assert (before.frames_in, before.dropped, list(before.arrivals_s)) == (0, {}, [])


def test_the_rate_is_that_of_the_arrivals() -> None:
    assert after(i / 25 for i in range(50)).rate_hz == pytest.approx(25)
    assert after([]).rate_hz == after([1.0]).rate_hz == 0
