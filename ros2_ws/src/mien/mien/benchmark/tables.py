"""The report as tables, for the terminal and for a Markdown file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as RichTable

from mien.benchmark.law import PAPER_TABLE_6, paper_law_ms
from mien.benchmark.results import Case, Goal, InProcess, LearningReport, Report, Times, WhileLearning


@dataclass(frozen=True, slots=True)
class Table:
    """A heading, a sentence on what is shown, and rows of text; the first row names the columns."""

    title: str
    note: str
    rows: list[list[str]]


def tables(report: Report) -> list[Table]:
    """Everything in the report, in the order to read it."""
    groups: dict[str, list[InProcess]] = {}
    for result in report.in_process:
        groups.setdefault(_where(result.case), []).append(result)
    parts = [
        _goals(report.goals),
        *(_in_process(where, results) for where, results in groups.items()),
        _over_dds(report),
        _memory(report),
        _detection(report),
        _paper_law(report),
        _paper_table(report),
    ]
    return [part for part in parts if len(part.rows) > 1]


def learning_tables(report: LearningReport) -> list[Table]:
    """Goals and figures of learning."""
    found = report.learning
    rows = [["", "median", "p99"]]
    for name, times in (
        ("one more label changes the head", found.update_ms),
        (f"learning {found.samples} labels afresh", found.refit_ms),
        ("judging the head on held-out labels", found.gate_ms),
        (f"GSx chooses {found.samples} of {found.pool}", found.gsx_ms),
    ):
        rows.append([name, f"{times.median:.2f} ms", f"{times.p99:.2f} ms"])
    rows.append([f"memory of {found.people} people", f"{found.memory_mb:.1f} MB", ""])
    note = f"Learner ridge, embedding of {found.embedding_size} numbers, {found.classes} classes, one thread"
    shown = [_goals(report.goals), Table("Learning a person", note, rows)]
    return [*shown, _while_learning(report.while_learning)] if report.while_learning is not None else shown


def _while_learning(found: WhileLearning) -> Table:
    rows = [["", "median", "p99"]]
    for name, rounds in (("without learning", found.without_ms), ("while sgd trains", found.with_ms)):
        medians, p99s = [one.median for one in rounds], [one.p99 for one in rounds]
        rows.append([name, *(f"{min(all_ms):.1f} to {max(all_ms):.1f} ms" for all_ms in (medians, p99s))])
    times = found.label_to_output_ms
    rows.append(["label to changed output", f"{times.median:.1f} ms", f"{times.p99:.1f} ms"])
    low, high = found.p99_ratio_range
    note = (
        f"Perception node, one face, 30 frames a second, {found.labels} labels; {len(found.with_ms)} rounds of "
        f"{found.frames} frames each, taking turns. Of p99 with over without learning, the median is "
        f"{found.p99_ratio:.2f} ({low:.2f} to {high:.2f})"
    )
    return Table("A node's frames while it learns", note, rows)


def learning_facts(report: LearningReport) -> dict[str, str]:
    """Where it was measured, by name."""
    return {"date": report.created, **report.machine}


def print_tables(about: Mapping[str, str], shown: Sequence[Table], console: Console) -> None:
    """Show facts and tables of a report on a terminal."""
    console.print("\n".join(f"{name}: {value}" for name, value in about.items()), highlight=False)
    for table in shown:
        drawn = RichTable(title=f"\n[bold]{table.title}[/bold]", caption=table.note, title_justify="left")
        for number, name in enumerate(table.rows[0]):
            drawn.add_column(name, justify="left" if number == 0 else "right")
        for row in table.rows[1:]:
            drawn.add_row(*row)
        console.print(drawn)


def markdown(command: str, about: Mapping[str, str], shown: Sequence[Table]) -> str:
    """A report as a Markdown page."""
    lines = ["# What `mien bench` measured", "", f"`{command}`", ""]
    lines += [f"- {name}: {value}" for name, value in about.items()]
    for table in shown:
        head, *rows = table.rows
        lines += ["", f"## {table.title}", "", f"{table.note}.", ""]
        lines += [f"| {' | '.join(row)} |" for row in (head, ["---"] + ["---:"] * (len(head) - 1), *rows)]
    return "\n".join(lines) + "\n"


def facts(report: Report) -> dict[str, str]:
    """Where and with what it was measured, by name."""
    return {
        "date": report.created,
        **report.machine,
        "bundle": report.bundle,
        "networks run by": report.runtime,
        "ready after": f"{report.start_ms:.0f} ms (opening the bundle, loading and warming up, after imports)",
        "scene": report.scene,
    }


def _goals(goals: Sequence[Goal]) -> Table:
    rows = [["goal", "limit", "measured", "met"]]
    for goal in goals:
        rows.append(
            [goal.name, f"{goal.limit:g} {goal.unit}", f"{goal.measured:g} {goal.unit}", "yes" if goal.met else "NO"]
        )
    return Table("Goals", "Set for one core of a 2-core AMD EPYC server", rows)


def _in_process(where: str, results: Sequence[InProcess]) -> Table:
    stages = list(results[0].stages_ms)
    has_landmarks = "landmarks" in stages  # only some bundles have
    rows = [["faces", "found", *stages, "whole", "mean", "p99", *(["landmarks p99"] if has_landmarks else [])]]
    for result in results:
        medians = [f"{result.stages_ms[stage].median:.2f}" for stage in stages]
        whole = result.total_ms
        times = [*medians, f"{whole.median:.2f}", f"{whole.mean:.2f}", f"{whole.p99:.2f}"]
        if has_landmarks:
            times.append(f"{result.stages_ms['landmarks'].p99:.2f}")
        rows.append([str(result.case.faces), f"{result.faces_found:.2f}", *times])
    note = f"Medians in ms over {results[0].frames} frames per row; mean and p99 are of the whole"
    note += ", landmarks p99 of that stage" if has_landmarks else ""
    return Table(f"In this process: {where}", note, rows)


def _over_dds(report: Report) -> Table:
    rows = [["image, search", "faces", "found", "round trip", "mean", "p99", "in node", "in-process", "more", "lost"]]
    for result in report.over_dds:
        trip = result.round_trip_ms
        medians_ms = (result.node_ms.median, result.in_process_ms.median)
        times_ms = (trip.median, trip.mean, trip.p99, *medians_ms, result.more_ms)
        cells = [str(result.case.faces), f"{result.faces_found:.2f}", *(f"{ms:.2f}" for ms in times_ms)]
        rows.append([_where(result.case), *cells, str(result.frames_lost)])
    frames = report.over_dds[0].frames if report.over_dds else 0
    note = (
        "Round trip from publishing an image to receiving its emotions, between two processes, 30 images a second, "
        f"best effort: median, mean and p99 in ms over {frames} frames per row. In node: of that, from the image's "
        "arrival to the publishing of its emotions. In-process: the same frames without DDS, in turn. "
        "More: round trip − in-process (medians)"
    )
    return Table("Over DDS", note, rows)


def _memory(report: Report) -> Table:
    rows = [["process", "resident MB", "of that DDS segments", "without them", "private"]]
    for name, memory in report.memory.items():
        sizes = (memory.resident_mb, memory.dds_segments_mb, memory.without_dds_mb, memory.private_mb)
        rows.append([name, *(f"{size:.1f}" for size in sizes)])
    note = "Fast DDS's shared-memory segments are mapped by every process that talks, and counted apart"
    return Table("Memory", note, rows)


def _detection(report: Report) -> Table:
    beside = report.beside_detector
    rows = [
        ["", "value"],
        ["the whole pipeline, 1 face, 640x480, detecting on every frame", f"{_pair(beside.pipeline_ms)} ms"],
        ["cv2.FaceDetectorYN.detect alone at 320x240, in turn with it", f"{_pair(beside.detector_ms)} ms"],
        ["landmarks, of the whole pipeline", f"{_pair(beside.landmarks_ms)} ms"],
        ["pipeline over detector (medians)", f"{beside.ratio:.3f}"],
        ["the same without landmarks", f"{beside.ratio_without_landmarks:.3f}"],
        ["found at the default rate, of the faces found on every frame", f"{report.default_rate_recall:.2%}"],
    ]
    for new in report.new_faces:
        name = f"a new face is reported after, at {new.rate_hz:g} Hz (mean / worst)"
        rows.append([name, f"{new.mean_ms:.0f} / {new.worst_ms:.0f} ms"])
    return Table("Detection", "Median / 99th percentile where two times are given", rows)


def _paper_law(report: Report) -> Table:
    paper = report.paper_003
    counts = sorted({result.case.faces for result in report.in_process})
    rows = [["image, search", "detect ms", "per face ms", *(f"M = {count}" for count in counts), "worst error"]]
    for law in report.laws:
        case = Case(1, law.width, law.height, law.detection_interval_frames)
        predicted = [f"{law.detect_ms + count * law.per_face_ms:.2f}" for count in counts]
        error = f"{law.worst_error_ms:.2f}"
        rows.append([_where(case), f"{law.detect_ms:.2f}", f"{law.per_face_ms:.2f}", *predicted, error])
    if report.laws:
        printed = [f"{paper_law_ms(count):.2f}" for count in counts]
        per_face = f"{paper.prepare_ms} + {paper.classify_ms}"
        rows.append(["paper 003, as printed", str(paper.detect_ms), per_face, *printed, ""])
    note = (
        "time = detect + M · (prepare + classify), fitted by least squares to the medians (means where not every frame "
        f"is searched), in ms. The hardware differs: paper 003 used {paper.hardware}, we what is said above"
    )
    return Table("The law of paper 003, section 5.2", note, rows)


def _paper_table(report: Report) -> Table:
    first = min(report.in_process, key=lambda result: (result.case.faces, result.case.width))
    classify = f"{first.stages_ms['classify'].median / first.case.faces:.2f}"
    ours = [
        f"this bundle: {report.bundle.split(' ')[0]}",
        classify,
        f"{report.machine.get('board', report.machine['CPU'])}; {report.runtime}",
    ]
    rows = [["method", "ms per frame", "hardware"], *(list(row) for row in PAPER_TABLE_6), ours]
    note = (
        "Classification only, one face. The hardware and the networks differ from row to row, so the table places the "
        "figures, it does not rank methods"
    )
    return Table("Table 6 of paper 003", note, rows)


def _where(case: Case) -> str:
    often = "frame" if case.detection_interval_frames == 1 else f"{case.detection_interval_frames}"
    return f"{case.width}x{case.height} every {often}"


def _pair(times: Times) -> str:
    return f"{times.median:.2f} / {times.p99:.2f}"
