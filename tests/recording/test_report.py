"""Summary and report of a recording read back from its lines."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.recording.lines import EMOTIONS_FILE, SATISFACTION_FILE, LineWriter, RecordedFrame
from mien.recording.reading import FaceSeries, read_recording
from mien.recording.report import MAXIMUM_CHARTED_FACES, MAXIMUM_ROWS, render_report
from mien.recording.summary import NodeFigures, summarise
from mien.records import face_record

CLASSES = {"anger": 0.3, "neutral": 0.7}


def write(folder, frames: list[list[str]], step_s=0.1, probabilities=CLASSES):
    """A recording whose frames show faces with these ids."""
    (folder / SATISFACTION_FILE).touch()
    writer = LineWriter(folder / EMOTIONS_FILE)
    for index, ids in enumerate(frames):
        faces = [
            face_record(face_id, (0, 0, 9, 9), [], probabilities, "neutral" if probabilities else "", 0.1, 0.2)
            for face_id in ids
        ]
        time_s = round(index * step_s, 6)
        writer.write(RecordedFrame("test", index, time_s, faces, msgspec.Raw(b"1.0"), "camera", "/image_raw", 4.0))
    writer.close()
    recording = read_recording(folder)
    return recording, summarise(recording, NodeFigures(), "test", "", "2026-01-01T00:00:00+00:00", {}, {})


def test_an_empty_recording_can_be_reported(tmp_path) -> None:
    recording, summary = write(tmp_path, [])
    assert (summary.duration_s, summary.fps, summary.latency_ms, summary.faces) == (0.0, 0.0, {}, [])
    page = render_report(summary, recording, [], has_video=False)
    assert "<svg" not in page
    assert page.endswith("</html>\n")


def test_a_single_frame_can_be_reported(tmp_path) -> None:
    recording, summary = write(tmp_path, [["a"]])
    page = render_report(summary, recording, [], has_video=False)
    assert "<td>a</td>" in page
    assert "<td>neutral</td>" in page
    assert "<svg" not in page
    assert summary.faces[0].frames == 1


def test_a_recording_without_classes_has_curves_of_valence_and_arousal_only(tmp_path) -> None:
    recording, summary = write(tmp_path, [["a"]] * 20, probabilities={})
    page = render_report(summary, recording, [], has_video=True)
    assert (page.count("<polyline"), page.count("<polygon")) == (2, 0)
    assert "annotated.mp4" in page
    assert summary.expression_seconds == {}
    assert (summary.faces[0].frames, summary.faces[0].mean_valence) == (20, pytest.approx(0.1))


@pytest.mark.parametrize(("missing", "curves"), [(0, 1), (9, 1), (15, 2)])
def test_a_curve_runs_on_through_gaps_of_a_second(tmp_path, missing, curves) -> None:
    recording, summary = write(tmp_path, [["a"]] * 40 + [[]] * missing + [["a"]] * 40)
    page = render_report(summary, recording, [], has_video=False)
    assert page.count("<polyline") == 2 * curves  # valence and arousal


def test_many_faces_are_cut_to_the_longest_seen(tmp_path) -> None:
    frames = [[f"face{n}" for n in range(60) if n <= index] for index in range(60)]
    recording, summary = write(tmp_path, frames)
    page = render_report(summary, recording, [], has_video=False)
    assert page.count('aria-label="Expression probabilities"') == MAXIMUM_CHARTED_FACES
    assert [face.id for face in summary.faces[:3]] == ["face0", "face1", "face2"]
    assert f"and {60 - MAXIMUM_ROWS} more" in page
    assert len(page) < 1_000_000


def test_a_face_that_was_away_is_not_counted_while_it_was(tmp_path) -> None:
    _, summary = write(tmp_path, [["a"]] * 11 + [[]] * 40 + [["a"]] * 11)
    assert summary.faces[0].seconds == pytest.approx(1.0 + 1.0 + 1.0 + 0.1)  # a second of the gap counts, at most
    assert (summary.faces[0].first_s, summary.faces[0].last_s) == (0.0, 6.1)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1)), min_size=1, max_size=40))
def test_expression_seconds_add_up_to_the_seconds_seen(steps) -> None:
    series, time_s = FaceSeries(), 0.0
    for step_s, anger in steps:
        time_s += step_s
        series.add(time_s, {"anger": anger, "neutral": 1 - anger}, None, None)
    assert sum(series.expression_seconds().values()) == pytest.approx(float(series.durations_s().sum()))
    assert set(series.expression_seconds()) == {"anger", "neutral"}
