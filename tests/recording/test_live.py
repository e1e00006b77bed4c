"""What the terminal shows."""

from __future__ import annotations

import math

import msgspec
import pytest
from rich.console import Console

from mien.recording.lines import RecordedFrame, RecordedSatisfaction
from mien.recording.live import MAXIMUM_ROWS, LiveState, describe, render
from mien.recording.summary import node_figures
from mien.records import face_record

STAMP = msgspec.Raw(b"1.0")


def frame(faces: int, valence: float = 0.25) -> RecordedFrame:
    records = [
        face_record(f"abcd{n}", (0, 0, 9, 9), [], {"happiness": 0.8, "neutral": 0.2}, "happiness", valence, -0.5)
        for n in range(faces)
    ]
    return RecordedFrame("test", 3, 1.5, records, STAMP, "camera", "/image_raw", 4.25)


def satisfaction(face_id: str, present: bool = True) -> RecordedSatisfaction:
    return RecordedSatisfaction(STAMP, 1.0, "", face_id, "", 0.4, "satisfied", 0.5, 0.0, 1.0, 1.0, present)


def table(state: LiveState) -> str:
    console = Console(width=100, record=True, force_terminal=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(render(state, "mien: test"))
    return console.export_text()


@pytest.fixture
def state() -> LiveState:
    return LiveState()


@pytest.mark.parametrize("show", [table, lambda state: describe(state).plain])
def test_a_face_is_shown_with_everything_known_of_it(state, show) -> None:
    state.add_frame(frame(1))
    state.add_satisfaction(satisfaction("abcd0"))
    state.figures = node_figures({"frames_in": "9", "frames_processed": "7", "dropped.superseded": "2"}, {})
    text = show(state)
    for word in ("abcd0", "happiness", "80%", "+0.25", "-0.50", "satisfied +0.40", "4.2 ms", "9 in", "2 dropped"):
        assert word in text


@pytest.mark.parametrize("show", [table, lambda state: describe(state).plain])
def test_a_face_without_classes_shows_its_valence_and_arousal(state, show) -> None:
    face = face_record("abcd0", (0, 0, 9, 9), [], {}, "", 0.25, -0.5)
    state.add_frame(RecordedFrame("test", 3, 1.5, [face], STAMP, "camera", "/image_raw", 4.25))
    text = show(state)
    assert all(word in text for word in ("abcd0", "+0.25", "-0.50"))
    assert "%" not in text


def test_the_bar_is_as_long_as_the_confidence(state) -> None:
    state.add_frame(frame(1))
    bar = table(state).split("happiness")[1].split("80%")[0]
    assert bar.count("━") == 13
    assert bar.count("─") == 3


def test_many_faces_are_cut_with_a_count_and_fit_the_width(state) -> None:
    state.add_frame(frame(MAXIMUM_ROWS + 3))
    text = table(state)
    assert text.count("happiness") == MAXIMUM_ROWS
    assert "3 more faces" in text
    assert max(map(len, text.splitlines())) <= 100


def test_what_the_model_does_not_give_stays_empty(state) -> None:
    state.add_frame(frame(1, math.nan))
    assert "nan" not in table(state)


def test_waiting_and_empty_pictures_are_told_apart(state) -> None:
    assert "waiting for images" in table(state)
    state.add_frame(frame(0))
    assert "no face" in table(state)


def test_complaints_show_once_the_nodes_have_had_time_to_start(state) -> None:
    state.warning = "nobody publishes"
    assert "nobody publishes" not in table(state)
    state.add_frame(frame(0))
    assert "nobody publishes" in table(state)


def test_satisfaction_of_a_face_that_left_is_forgotten_with_the_next_message(state) -> None:
    state.add_frame(frame(2))
    state.add_satisfaction(satisfaction("abcd0", present=False))
    state.add_satisfaction(satisfaction("abcd1"))
    assert table(state).count("satisfied") == 1
