"""Ids stay with faces, and faces are where they are said to be, also where the detector does not run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.faces.crop import cut
from mien.faces.detector import Box, Detection, intersection_over_union
from mien.faces.tracker import Track, Tracker
from tests.faces.conftest import FRAMES_PER_S

SIZE = 100.0


def face(x: float, y: float = 200.0, size: float = SIZE, score: float = 0.9) -> Detection:
    """A face whose middle is at x, y."""
    points = np.array([[x - 20, y - 10], [x + 20, y - 10], [x, y], [x - 15, y + 20], [x + 15, y + 20]], np.float32)
    return Detection(Box(x - size / 2, y - size / 2, size, size), score, points)


def new_tracker(timeout_s: float = 1.5) -> Tracker:
    count = itertools.count()
    return Tracker(lambda: f"face{next(count)}", timeout_s)


def ids(tracks: Sequence[Track]) -> list[str]:
    return [track.id for track in tracks]


# --- one face ---


def test_a_new_face_is_reported_at_once_and_keeps_its_id() -> None:
    tracker = new_tracker()
    for i in range(20):
        (track,) = tracker.update([face(200 + 5 * i)], i / 10)
        assert (track.id, track.predicted, track.score) == ("face0", False, 0.9)
        assert track.box.center == (200 + 5 * i, 200)
        assert (track.first_seen_s, track.last_seen_s) == (0, i / 10)


def test_between_detections_box_and_landmarks_move_on_with_the_face() -> None:
    tracker = new_tracker()
    for i in range(8):
        tracker.update([face(200 + 30 * i, 200 - 12 * i)], i / 10)
    (track,) = tracker.predict(0.75)
    assert track.predicted
    assert track.box.center == pytest.approx((425, 110), abs=2)
    assert track.landmarks[2] == pytest.approx((425, 110), abs=2)
    assert (track.box.width, track.last_seen_s) == (SIZE, 0.7)


def test_a_face_that_is_missed_once_is_still_there_missed_twice_it_is_not() -> None:
    tracker = new_tracker()
    tracker.update([face(200)], 0.0)
    tracker.update([face(200)], 0.1)
    (blink,) = tracker.update([], 0.2)
    assert (blink.id, blink.predicted) == ("face0", True)
    assert ids(tracker.predict(0.25)) == ["face0"]
    assert tracker.update([], 0.3) == []
    assert tracker.predict(0.35) == []


def test_what_was_seen_only_once_goes_when_it_is_missed() -> None:
    tracker = new_tracker()
    assert len(tracker.update([face(200)], 0.0)) == 1
    assert tracker.update([], 0.1) == []


@pytest.mark.parametrize(
    ("away_s", "moved", "expected"), [(1.0, 0.0, "face0"), (1.0, 100.0, "face0"), (2.0, 0.0, "face1")]
)
def test_a_hidden_face_gets_its_id_back_within_the_timeout(away_s: float, moved: float, expected: str) -> None:
    tracker = new_tracker(timeout_s=1.5)
    for i in range(5):
        tracker.update([face(200)], i / 10)
    for i in range(5, 5 + round(away_s * 10)):
        tracker.update([], i / 10)
    assert ids(tracker.update([face(200 + moved)], 0.4 + away_s + 0.1 * (away_s > 1.5))) == [expected]


def test_a_walker_hidden_for_a_second_is_known_on_the_other_side() -> None:
    tracker = new_tracker()
    for i in range(30):
        tracks = tracker.update([] if 8 <= i < 18 else [face(100 + 30 * i)], i / 10)
    assert ids(tracks) == ["face0"]


def test_a_face_that_moved_and_stopped_while_hidden_is_known_where_it_was_last_seen() -> None:
    tracker = new_tracker()
    for i in range(8):
        tracker.update([face(100 + 40 * i)], i / 10)
    for i in range(8, 17):
        tracker.update([], i / 10)
    assert ids(tracker.update([face(100 + 40 * 7)], 1.7)) == ["face0"]


@pytest.mark.parametrize("somebody_else", [face(600), face(200, 500), face(200, size=30)])
def test_a_face_elsewhere_or_of_another_size_is_somebody_else(somebody_else: Detection) -> None:
    tracker = new_tracker()
    for i in range(3):
        tracker.update([face(200)], i / 10)
    tracker.update([], 0.3)
    tracker.update([], 0.4)
    assert ids(tracker.update([somebody_else], 0.5)) == ["face1"]


def test_the_timeout_can_be_changed() -> None:
    tracker = new_tracker(timeout_s=1.5)
    tracker.update([face(200)], 0.0)
    tracker.timeout_s = 0.5
    assert ids(tracker.update([face(200)], 1.0)) == ["face1"]


# --- several faces ---


def test_faces_that_pass_each_other_keep_their_ids() -> None:
    tracker = new_tracker()
    for i in range(31):
        left, right = face(100 + 20 * i, 200, 100), face(700 - 20 * i, 215, 85)
        hidden = intersection_over_union(left.box, right.box) > 0.3  # as a detector's suppression merges them
        tracks = tracker.update([left] if hidden else [left, right], i / 10)
    assert ids(tracks) == ["face0", "face1"]
    assert [track.box.center[0] for track in tracks] == [700, 100]


def test_faces_that_all_move_at_once_as_when_the_head_turns_are_not_mixed_up() -> None:
    tracker = new_tracker()
    before = tracker.update([face(150 + 150 * i) for i in range(6)], 0.0)
    after = tracker.update([face(150 + 150 * i + 90) for i in range(6)], 0.1)
    assert {track.id: track.box.center[0] + 90 for track in before} == {
        track.id: track.box.center[0] for track in after
    }


def test_who_follows_another_does_not_get_his_id_where_he_just_was() -> None:
    tracker = new_tracker()
    for i in range(8):
        tracker.update([face(200 + 100 * i), face(100 + 100 * i, score=0.8)], i / 10)
    tracks = tracker.update([face(900, score=0.8)], 0.8)
    assert [track.id for track in tracks if not track.predicted] == ["face1"]


def test_who_walks_by_does_not_take_the_id_of_a_hidden_face() -> None:
    tracker = new_tracker()
    for i in range(5):
        tracker.update([face(400), face(100, score=0.8)], i / 10)
    for i in range(5, 14):  # the first one is hidden, the second one walks through its place
        tracks = tracker.update([face(100 + 60 * (i - 4))], i / 10)
        assert [track.id for track in tracks if not track.predicted] == ["face1"]
    assert set(ids(tracker.update([face(700), face(400)], 1.4))) == {"face0", "face1"}


# --- clocks ---


def test_a_clock_that_jumps_back_keeps_the_faces_and_still_times_out() -> None:
    tracker = new_tracker(timeout_s=1.0)
    for i in range(5):
        tracker.update([face(200)], 1000 + i / 10)
    (track,) = tracker.update([face(205)], 3.0)
    assert (track.id, track.last_seen_s, track.first_seen_s) == ("face0", 3.0, pytest.approx(2.6))
    assert ids(tracker.predict(2.9)) == ["face0"]
    tracker.update([], 3.1)
    assert ids(tracker.update([face(205)], 5.0)) == ["face1"]


def test_a_clock_that_stands_still_gives_sound_boxes_and_remembers_a_bounded_number_of_faces() -> None:
    tracker = new_tracker()
    for i in range(200):
        (track,) = tracker.update([face(200 * i, 100 + i)], 7.0)
        assert track.box.center == (200 * i, 100 + i)
    assert ids(tracker.update([face(200 * 198, 298)], 7.0)) == ["face198"]
    assert "face200" in ids(tracker.update([face(0, 100)], 7.0))


def test_stamps_a_microsecond_apart_say_nothing_about_speed() -> None:
    tracker = new_tracker()
    tracker.update([face(200)], 5.0)
    tracker.update([face(203)], 5.000001)
    assert ids(tracker.update([face(200)], 5.1)) == ["face0"]


# --- whatever comes ---

steps = st.lists(
    st.tuples(
        st.floats(-0.3, 1.0),
        st.booleans(),
        st.lists(
            st.builds(
                face, st.integers(0, 1200), st.integers(0, 700), st.sampled_from([20.0, 80.0, 300.0]), st.floats(0.5, 1)
            ),
            max_size=6,
            unique_by=lambda found: (found.box.x, found.box.y, found.box.width),
        ),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(steps)
def test_every_detection_is_one_face_and_no_id_returns_after_its_time(steps) -> None:
    tracker = new_tracker()
    stamp_s, away_since, gone = 0.0, {}, set()
    for step_s, search, detections in steps:
        stamp_s += step_s
        tracks = tracker.update(detections, stamp_s) if search else tracker.predict(stamp_s)
        assert len(set(ids(tracks))) == len(tracks)
        if search:
            seen = [track.box for track in tracks if not track.predicted]
            assert sorted(map(str, seen)) == sorted(str(found.box) for found in detections)
        else:
            assert all(track.predicted for track in tracks)
        away_since = {name: since + max(0.0, step_s) for name, since in away_since.items()}
        away_since.update({track.id: 0.0 for track in tracks if not track.predicted})
        gone |= {name for name, away_s in away_since.items() if away_s > tracker.timeout_s + 1e-6}
        assert gone.isdisjoint(ids(tracks))


@settings(deadline=None)
@given(steps, st.randoms(use_true_random=False))
def test_the_order_of_detections_changes_nothing(steps, random) -> None:
    one, other = new_tracker(), new_tracker()
    stamp_s = 0.0
    for step_s, search, detections in steps:
        stamp_s += step_s
        shuffled = random.sample(detections, len(detections))
        a = one.update(detections, stamp_s) if search else one.predict(stamp_s)
        b = other.update(shuffled, stamp_s) if search else other.predict(stamp_s)
        assert [(track.id, track.box) for track in a] == [(track.id, track.box) for track in b]


# --- real frames ---


def test_with_a_detection_in_every_third_frame_all_faces_are_followed(clip, yunet) -> None:
    tracker = new_tracker()
    overlaps = []
    for i, image in enumerate(clip):
        detections = yunet.detect(image)
        if i % 3 == 0:
            tracker.update(detections, i / FRAMES_PER_S)
            continue
        tracks = tracker.predict(i / FRAMES_PER_S)
        overlaps += [
            max((intersection_over_union(found.box, track.box) for track in tracks), default=0.0)
            for found in detections
        ]
    assert len(overlaps) == 96
    assert np.mean(np.array(overlaps) >= 0.5) >= 0.99
    assert np.median(overlaps) > 0.9


@pytest.mark.parametrize("moved", [0, 60])
def test_a_real_face_covered_for_a_second_keeps_its_id(clip, yunet, moved: int) -> None:
    tracker = new_tracker()
    seen: dict[str, set[str]] = {"before": set(), "covered": set(), "after": set()}
    for i, image in enumerate(clip[:72]):
        covered = 24 <= i < 48
        if covered:
            image = cv2.rectangle(image.copy(), (260, 0), (600, 360), (0, 0, 0), -1)
        elif i >= 48:
            image = np.roll(image, -moved, axis=1)
        tracks = (
            tracker.update(yunet.detect(image), i / FRAMES_PER_S) if i % 3 == 0 else tracker.predict(i / FRAMES_PER_S)
        )
        if not 24 <= i < 33:  # shown for two more detections: missed once is not gone
            seen["covered" if covered else "before" if i < 24 else "after"].update(ids(tracks))
    assert seen == {"before": {"face0"}, "covered": set(), "after": {"face0"}}


@pytest.mark.parametrize("count", [2, 5, 8])
def test_several_real_faces_move_and_keep_their_ids_through_an_occlusion(clip, yunet_of_width, count: int) -> None:
    detector, given_ids = yunet_of_width(640), []
    names = (f"face{i}" for i in itertools.count())
    tracker = Tracker(lambda: given_ids.append(next(names)) or given_ids[-1])
    (first,) = detector.detect(clip[0])
    x, y = first.box.center
    owners: dict[int, set[str]] = {j: set() for j in range(count)}
    for i in range(60):
        canvas = np.full((720, 1280, 3), 90, np.uint8)
        middles = []
        for j in range(count):
            place = 160 + j % 4 * 310 + 25 * np.sin(i / 8 + j), 190 + j // 4 * 340 + 12 * np.cos(i / 6 + j)
            middles.append(place)
            if j == 0 and 18 <= i < 42:
                continue
            left, top = (round(side - 75) for side in place)
            part = Box(x - 180, y - 180, 360, 360)
            canvas[top : top + 150, left : left + 150] = cut(clip[(i + 10 * j) % len(clip)], part, 150, 150)
        stamp_s = i / FRAMES_PER_S
        tracks = tracker.update(detector.detect(canvas), stamp_s) if i % 3 == 0 else tracker.predict(stamp_s)
        for j, place in enumerate(middles):
            near = [track for track in tracks if np.hypot(*np.subtract(track.box.center, place)) < 45]
            if j > 0 or not 18 <= i < 45:
                assert len(near) == 1
                owners[j].add(near[0].id)
    assert all(len(owner) == 1 for owner in owners.values())
    assert len(set.union(*owners.values())) == len(given_ids) == count
