"""report.html: one page without any outside part that shows what a recording holds."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence

import cv2

from mien.drawing import EXPRESSION_COLOURS
from mien.recording.charts import BINS, Line, Span, area_chart, binned, bridged, clock, line_chart
from mien.recording.reading import LONGEST_STEP_S, FaceSeries, Recording
from mien.recording.summary import FaceSummary, SatisfactionSummary, Summary
from mien.recording.video import Sample

REPORT_FILE = "report.html"
MAXIMUM_CHARTED_FACES = 4
MAXIMUM_ROWS = 20
SHORT_SHARE = 0.2  # of a recording: faces seen for less are charted over their own time only
_OTHER_COLOUR = "#999999"
_JPEG_QUALITY = 80
_VALENCE_COLOUR, _AROUSAL_COLOUR, _SATISFACTION_COLOUR = "#0f766e", "#c2410c", "#1d4ed8"

STYLE = """
:root{color-scheme:light;--ink:#1c2430;--faint:#667085;--line:#e4e7ec;--page:#f5f6f8}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
 font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:960px;margin:0 auto;padding:24px 16px 48px}
h1{font-size:26px;line-height:1.2;margin:8px 0 4px;overflow-wrap:anywhere}
h2{font-size:18px;margin:0 0 12px}
section{background:#fff;border:1px solid var(--line);border-radius:12px;padding:18px;margin-top:16px}
p{margin:4px 0}
.faint{color:var(--faint)}
.small{font-size:13px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(116px,1fr));gap:10px;margin-top:16px}
.tile{background:#fff;border:1px solid var(--line);border-radius:12px;padding:12px 14px}
.tile b{display:block;white-space:nowrap;font-size:20px;line-height:1.25;font-variant-numeric:tabular-nums}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(240px,1fr));gap:12px}
.pictures figure{margin:0}
.pictures img{width:100%;display:block;border-radius:8px}
.chart{display:grid;grid-template-columns:44px 1fr;margin:16px 0 0}
.chart figcaption{grid-column:1/3;font-weight:600;margin-bottom:8px}
.chart svg{width:100%;height:150px;display:block}
.chart .grid{stroke:var(--line)}
.chart .shaded{fill:#eef2f7}
.chart .moment{stroke:#b42318;stroke-dasharray:3 3}
.chart svg *{vector-effect:non-scaling-stroke}
.chart polyline{stroke-width:2;stroke-linejoin:round}
.chart .y{display:flex;flex-direction:column;justify-content:space-between;text-align:right;padding-right:8px;
 margin:-8px 0;white-space:nowrap;font-size:12px;color:var(--faint)}
.chart .x{grid-column:2;position:relative;height:22px;font-size:12px;color:var(--faint)}
.chart .x span{position:absolute;top:4px;transform:translateX(-50%);white-space:nowrap}
.chart .x span[style="left:0.0%"]{transform:none}
.chart .x span[style="left:100.0%"]{transform:translateX(-100%)}
.legend{display:flex;flex-wrap:wrap;gap:2px 14px;font-weight:400;font-size:13px;color:var(--faint);margin-top:2px}
.legend i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:5px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:6px 14px 6px 0;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;color:var(--faint);font-size:13px}
tr:last-child td{border-bottom:0}
.bar{display:block;height:10px;border-radius:3px;min-width:2px}
td:has(.bar){width:60%;padding-right:0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 16px;margin:0}
dt{color:var(--faint)}
dd{margin:0;overflow-wrap:anywhere}
@media(max-width:560px){main{padding:12px 10px 32px}section{padding:14px 12px}h1{font-size:22px}
 .tiles{grid-template-columns:repeat(2,1fr)}.tile:last-child:nth-child(odd){grid-column:span 2}
 dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}
 .chart{grid-template-columns:38px 1fr}}
"""

LIMITS = (
    "These numbers describe what a face shows, as a network judges it, not what a person feels. They are smoothed over "
    "time; the network errs, and more on some people than on others. Do not decide about people by them."
)


def render_report(summary: Summary, recording: Recording, samples: Sequence[Sample], has_video: bool) -> str:
    """The page.

    Args:
        summary: the figures to show.
        recording: the curves to show; of the longest seen faces.
        samples: drawn pictures; empty when no pictures may be stored.
        has_video: whether annotated.mp4 stands beside the page.
    """
    charted = summary.faces[:MAXIMUM_CHARTED_FACES] if summary.duration_s else []
    sections = [
        _pictures(samples, has_video),
        *(_face(face, recording.faces[face.id], recording) for face in charted),
        _expressions(summary),
        _faces(summary.faces) if len(summary.faces) > len(charted) or len(charted) > 1 else "",
        _satisfaction(summary.satisfaction),
        _facts(summary),
    ]
    title = html.escape(f"mien: {summary.source}")
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>"
        f"{_head(summary)}{_tiles(summary)}{''.join(sections)}"
        "</main></body></html>\n"
    )


def _head(summary: Summary) -> str:
    note = f"<p>{html.escape(summary.source_note)}</p>" if summary.source_note else ""
    started = html.escape(summary.started.replace("T", " "))
    return (
        f'<p class="faint small">mien · recorded {started}</p>'
        f"<h1>{html.escape(summary.source)}</h1>{note}"
        f'<p class="faint small">{LIMITS}</p>'
    )


def _tiles(summary: Summary) -> str:
    dropped = summary.frames_dropped
    tiles = [
        (clock(round(summary.duration_s, 1)), "length"),
        (_known(summary.frames_in), "images in"),
        (_known(summary.frames_processed), "processed"),
        (_known(None if dropped is None else sum(dropped.values())), _reasons(dropped)),
        (f"{summary.fps:g}", "results per second"),
        *_latency_tile(summary.latency_ms),
        (str(len(summary.faces)), "face" if len(summary.faces) == 1 else "faces"),
    ]
    items = (
        f'<div class="tile"><b>{value}</b><span class="faint small">{html.escape(name)}</span></div>'
        for value, name in tiles
    )
    return f'<div class="tiles">{"".join(items)}</div>'


def _latency_tile(latency_ms: dict[str, float]) -> list[tuple[str, str]]:
    if not latency_ms:
        return []
    return [(f"{latency_ms['median']:.1f} ms", f"median latency, p99 {latency_ms['p99']:.1f} ms")]


def _known(value: int | None) -> str:
    return "?" if value is None else str(value)


def _reasons(dropped: dict[str, int] | None) -> str:
    reasons = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in (dropped or {}).items() if count)
    return f"dropped: {reasons}" if reasons else "dropped"


def section(title: str, body: str) -> str:
    """A part of the page; the body is HTML."""
    return f"<section><h2>{html.escape(title)}</h2>{body}</section>"


def _pictures(samples: Sequence[Sample], has_video: bool) -> str:
    figures = []
    for sample in samples:
        data = cv2.imencode(".jpg", sample.image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
        encoded = base64.b64encode(data.tobytes()).decode()
        words = html.escape(f"{sample.expression} {sample.confidence:.0%}, at {clock(round(sample.time_s, 1))}")
        figures.append(
            f'<figure><img alt="{words}" src="data:image/jpeg;base64,{encoded}">'
            f'<figcaption class="faint small">{words}</figcaption></figure>'
        )
    video = '<p class="faint small">All of it: <a href="annotated.mp4">annotated.mp4</a></p>' if has_video else ""
    title = "The surest moment of each expression" if samples else "Video"
    pictures = f'<div class="pictures">{"".join(figures)}</div>' if samples else ""
    return section(title, pictures + video) if samples or has_video else ""


def _face(face: FaceSummary, series: FaceSeries, recording: Recording) -> str:
    probabilities = series.probability_table()
    span = Span(0.0, recording.duration_s)
    if face.last_s - face.first_s < SHORT_SHARE * span.duration_s:
        span = Span(face.first_s, face.last_s - face.first_s)

    def curve(name: str, colour: str, times: Sequence[float], values: object) -> Line:
        # What counts as seen is drawn through; 1.1: for the frames' own jitter.
        gap = math.ceil(1.1 * LONGEST_STEP_S / max(span.duration_s, 1e-9) * BINS)
        return Line(name, colour, bridged(binned(times, values, span), gap))  # type: ignore[arg-type]

    areas = [
        curve(label, EXPRESSION_COLOURS.get(label, _OTHER_COLOUR), series.time_s, probabilities[:, i])
        for i, label in enumerate(series.labels)
    ]
    charts = [area_chart("Expression probabilities", areas, span)] if areas else []
    if face.mean_valence is not None:
        affect = [
            curve("valence", _VALENCE_COLOUR, series.time_s, memoryview(series.valence)),
            curve("arousal", _AROUSAL_COLOUR, series.time_s, memoryview(series.arousal)),
        ]
        charts.append(line_chart("Valence and arousal", affect, -1.0, 1.0, span))
    for (who, subject), satisfaction in recording.satisfaction.items():
        if who == face.id:
            score = curve("score", _SATISFACTION_COLOUR, satisfaction.time_s, memoryview(satisfaction.score))
            about = f"Satisfaction with {subject}" if subject else "Satisfaction"
            charts.append(line_chart(about, [score], -1.0, 1.0, span))
    return section(f"Face {face.id}, seen for {clock(round(face.seconds, 1))}", "".join(charts))


def _expressions(summary: Summary) -> str:
    total = sum(summary.expression_seconds.values())
    rows = [
        (
            html.escape(label),
            f"{seconds:.1f} s",
            f"{seconds / total:.0%}",
            f'<span class="bar" style="width:{seconds / total:.1%};'
            f'background:{EXPRESSION_COLOURS.get(label, _OTHER_COLOUR)}"></span>',
        )
        for label, seconds in summary.expression_seconds.items()
        if seconds > 0
    ]
    return section("How long each expression was the most probable", table(("", "", "", ""), rows)) if rows else ""


def _faces(faces: Sequence[FaceSummary]) -> str:
    rows = [
        (
            html.escape(face.id),
            f"{face.seconds:.1f} s",
            f"{clock(round(face.first_s, 1))} to {clock(round(face.last_s, 1))}",
            html.escape(next(iter(face.expression_seconds), "")),
            _signed(face.mean_valence),
            _signed(face.mean_arousal),
        )
        for face in faces
    ]
    return section("Faces", table(("face", "seen", "from, to", "mostly", "valence", "arousal"), rows))


def _satisfaction(people: Sequence[SatisfactionSummary]) -> str:
    rows = [
        (
            html.escape(one.id),
            html.escape(one.subject or "not named"),
            one.level,
            _signed(one.score),
            f"{one.confidence:.0%}",
            f"{one.observed_s:.1f} s",
        )
        for one in sorted(people, key=lambda one: -one.observed_s)
    ]
    head = ("face", "subject", "level", "score, −1 to 1", "confidence", "observed")
    return section("Satisfaction at the end", table(head, rows)) if rows else ""


def _facts(summary: Summary) -> str:
    facts = {**{f"model, {key}": value for key, value in summary.model.items()}, **summary.versions}
    if summary.stages_ms:
        facts["stages, median ms"] = ", ".join(
            f"{stage} {figures['median']:g}" for stage, figures in summary.stages_ms.items() if "median" in figures
        )
    pairs = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(str(value))}</dd>" for key, value in facts.items())
    return section("How this was made", f'<dl class="small">{pairs}</dl>')


def table(head: Sequence[str], rows: Sequence[Iterable[str]]) -> str:
    """Cells are HTML; a long table is cut, saying so."""
    title = f"<tr>{''.join(f'<th>{html.escape(name)}</th>' for name in head)}</tr>" if any(head) else ""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows[:MAXIMUM_ROWS])
    rest = len(rows) - MAXIMUM_ROWS
    more = f'<p class="faint small">and {rest} more, see summary.json</p>' if rest > 0 else ""
    return f'<div class="scroll"><table>{title}{body}</table></div>{more}'


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"
