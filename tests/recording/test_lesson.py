"""A lesson's figures, and where they end up."""

from __future__ import annotations

import math
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.bundle import open_bundle
from mien.errors import MienError
from mien.models.default_bundle import default_bundle
from mien.recording.charts import BINS, Line, Span, share_chart
from mien.recording.lesson import APART_S, LABELS_PER_SPAN, LabelledSpan, Lesson, SpanLabels, read_span_labels
from mien.recording.lesson_report import add_lesson, render_lesson
from mien.recording.reading import Recording
from mien.recording.report import REPORT_FILE, render_report
from mien.recording.summary import SUMMARY_FILE, NodeFigures, Summary, summarise

DEMO_LABELS = Path(__file__).resolve().parents[2] / "tools" / "demo_video_labels.json"
SPANS = [
    LabelledSpan(0.0, 1.0, "sadness", held_out=False),
    LabelledSpan(1.0, 3.0, "sadness", held_out=True),
    LabelledSpan(4.0, 6.0, "happiness", held_out=True),
]
LABELS = SpanLabels("Somebody <watched> it.", SPANS)


def lesson(before: dict[float, float], after: dict[float, float]) -> Lesson:
    return Lesson(LABELS, [0.5, 0.9], [20.0, 40.0], before, after, forgotten_samples=2, forgotten_heads=3)


def test_the_labels_of_the_demo_video_hold_together() -> None:
    labels = read_span_labels(DEMO_LABELS)
    ends = [time_s for span in labels.spans for time_s in (span.start_s, span.end_s)]
    assert ends == sorted(set(ends))
    assert {span.expression for span in labels.spans} <= set(open_bundle(default_bundle()).manifest.labels)
    moments_s = labels.moments_s()
    assert len(moments_s) == 2 * LABELS_PER_SPAN
    assert all(labels.is_to_learn(moment_s) for moment_s in moments_s)
    held_out = [span for span in labels.spans if span.held_out]
    assert {span.expression for span in held_out} == {"sadness", "happiness"}
    assert all(
        moment_s < span.start_s - APART_S or moment_s > span.end_s + APART_S
        for moment_s in moments_s
        for span in held_out
    )


def test_only_held_out_frames_count_that_showed_the_face_both_times_and_are_far_from_labels() -> None:
    told = {0.2: 0.0, 1.2: 0.0, 1.5: 0.4, 2.0: 0.6, 3.5: 0.0, 5.0: 0.9}
    before = {**told, 2.2: 0.0}  # seen before only
    after = {**{time_s: one + 0.1 for time_s, one in told.items()}, 5.5: 0.0}
    learned = lesson(before, after).summarise()
    assert {name: one.frames for name, one in learned.held_out.items()} == {"sadness": 2, "happiness": 1, "all": 3}
    assert learned.held_out["sadness"].before == pytest.approx(0.5)
    assert learned.held_out["sadness"].after == pytest.approx(0.6)
    assert learned.held_out["all"].before == pytest.approx((0.4 + 0.6 + 0.9) / 3, abs=1e-4)
    assert (learned.labels, learned.heads, learned.label_to_output_ms) == (2, 2, {"median": 30.0, "max": 40.0})


@given(st.dictionaries(st.floats(0, 7), st.floats(0, 1)), st.dictionaries(st.floats(0, 7), st.floats(0, 1)))
def test_any_frames_can_be_summarised_and_shown(before, after) -> None:
    taught = lesson(before, after)
    learned = taught.summarise()
    assert all(0 <= value <= 1 for one in learned.held_out.values() for value in (one.before, one.after))
    assert "nan" not in render_lesson(taught, learned)


def test_what_became_worse_is_said() -> None:
    better = lesson({2.0: 0.5, 5.0: 0.5}, {2.0: 0.6, 5.0: 0.6})
    assert "became worse" not in render_lesson(better, better.summarise())
    worse = lesson({2.0: 0.5, 5.0: 0.5}, {2.0: 0.9, 5.0: 0.4})
    page = render_lesson(worse, worse.summarise())
    assert "For happiness it became worse" in page
    assert "-10.0 points" in page


def test_a_lesson_is_added_to_the_recording_before_it(tmp_path) -> None:
    recording = Recording()
    found = summarise(recording, NodeFigures(), "test", "", "2026-01-01T00:00:00+00:00", {}, {})
    page = render_report(found, recording, [], has_video=False)
    (tmp_path / SUMMARY_FILE).write_bytes(found.to_json())
    (tmp_path / REPORT_FILE).write_text(page)
    add_lesson(tmp_path, lesson({2.0: 0.5}, {2.0: 0.6}))
    summary = msgspec.json.decode((tmp_path / SUMMARY_FILE).read_bytes(), type=Summary)
    assert summary.learned is not None
    assert msgspec.structs.replace(summary, learned=None) == found
    longer = (tmp_path / REPORT_FILE).read_text()
    titles = re.findall("<h2>(.*?)</h2>", longer)
    assert titles[-2:] == ["Learned for this person", "How this was made"]
    assert "Somebody &lt;watched&gt; it." in longer
    start = longer.index("<section><h2>Learned")
    assert longer.replace(longer[start : longer.index("</section>", start) + len("</section>")], "") == page


def test_a_lesson_without_a_recording_is_refused(tmp_path) -> None:
    with pytest.raises(MienError, match="cannot be read"):
        add_lesson(tmp_path, lesson({}, {}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"[]", b'{"about": "x", "spans": [{"start_s": -1}]}', b'{"about": "caf\xe9"}'])
def test_labels_that_say_nothing_are_refused(tmp_path, data) -> None:
    (tmp_path / "labels.json").write_bytes(data)
    with pytest.raises(MienError, match="labelled spans"):
        read_span_labels(tmp_path / "labels.json")


def test_a_chart_of_shares_shows_moments_and_stretches_where_they_are() -> None:
    values = np.full(BINS, 0.25)
    values[10:20] = math.nan
    chart = share_chart("title", [Line("curve", "red", values)], Span(10.0, 20.0), [15.0], [(20.0, 30.0)])
    assert '<path class="moment" d="M250.0 0V100"/>' in chart
    assert '<rect class="shaded" x="500.0" y="0" width="500.0" height="100"/>' in chart
    assert chart.count("<polyline") == 2
    assert "100 %" in chart
    assert ",75.0 " in chart
