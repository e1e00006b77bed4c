"""What a lesson changed, in the report and summary of the recording before it."""

from __future__ import annotations

import html
from pathlib import Path

import msgspec
import numpy as np

from mien.errors import MienError
from mien.models.cache import write_atomically
from mien.recording.charts import Line, Span, binned, share_chart
from mien.recording.lesson import APART_S, EVERYTHING, Learned, Lesson
from mien.recording.report import REPORT_FILE, section, table
from mien.recording.summary import SUMMARY_FILE, Summary

_BEFORE_COLOUR, _AFTER_COLOUR = "#98a2b3", "#1d4ed8"
LIMITS = (
    "One public video of one person. What was held out are other moments of the same video: the same person, day and "
    "light, and labels of the same observer. This shows that labels change a person's head, not how well that works "
    "for others."
)


def add_lesson(folder: Path, lesson: Lesson) -> None:
    """Add figures to summary.json, and a section to report.html before its last one.

    Raises:
        MienError: the recording in the folder cannot be read or written.
    """
    summary, report = folder / SUMMARY_FILE, folder / REPORT_FILE
    learned = lesson.summarise()
    try:
        found = msgspec.json.decode(summary.read_bytes(), type=Summary)
        before, last, facts = report.read_text(encoding="utf-8").rpartition("<section>")
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise MienError(f"The recording in {folder} cannot be read ({error})", "Record again") from error
    write_atomically(summary, msgspec.structs.replace(found, learned=learned).to_json())
    write_atomically(report, f"{before}{render_lesson(lesson, learned)}{last}{facts}".encode())


def render_lesson(lesson: Lesson, learned: Learned) -> str:
    """The section."""
    rows = [
        (
            html.escape(name),
            str(one.frames),
            f"{one.before:.1%}",
            f"{one.after:.1%}",
            f"{100 * (one.after - one.before):+.1f} points",
        )
        for name, one in learned.held_out.items()
    ]
    head = ("held-out moments", "frames", "base head", "head of this person", "change")
    body = (
        f"<p>{html.escape(_story(learned))}</p>{table(head, rows)}{_chart(lesson)}"
        f'<p class="faint small">{html.escape(learned.about)} {LIMITS}</p>'
    )
    return section("Learned for this person", body)


def _story(learned: Learned) -> str:
    times = learned.label_to_output_ms
    quick = (
        f", in use {times['median']:.0f} ms after the label (median; at most {times['max']:.0f} ms)" if times else ""
    )
    worse = [name for name, one in learned.held_out.items() if one.after < one.before and name != EVERYTHING]
    but = f" For {' and '.join(worse)} it became worse." if worse else ""
    return (
        f"After the recording the video was shown again, and {learned.labels} of its moments were labelled; "
        f"{learned.heads} of these labels led to a new head{quick}. Shown once more, the true label had these mean "
        f"probabilities, smoothed as published, in moments that were held out: {APART_S:g} s or more from every label."
        f"{but} In the end the person was forgotten: {learned.forgotten_samples} labelled moments and "
        f"{learned.forgotten_heads} heads were removed."
    )


def _chart(lesson: Lesson) -> str:
    spans = lesson.labels.spans
    span = Span(0.0, max((one.end_s for one in spans), default=0.0))

    def curve(name: str, colour: str, told: dict[float, float]) -> Line:
        return Line(name, colour, binned(list(told), np.array(list(told.values()), np.float64), span))

    lines = [
        curve("base head", _BEFORE_COLOUR, lesson.before),
        curve("head of this person", _AFTER_COLOUR, lesson.after),
    ]
    held_out = [(one.start_s, one.end_s) for one in spans if one.held_out]
    title = "Probability of the true label (dashed: labelled moments; shaded: held out)"
    return share_chart(title, lines, span, lesson.moments_s, held_out)
