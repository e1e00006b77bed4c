"""Writes the report of the study: a page, the same as JSON, and a summary in Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from trainer.data.output import whole_file
from trainer.evaluate.report.tables import FilledTable, FilledVerdict, fill_verdict
from trainer.evaluate.report.write import report_templates
from trainer.personal import tables
from trainer.personal.charts import curves
from trainer.personal.findings import COMPARABLE, judge_findings, judge_goals
from trainer.personal.results import ELBOW, Figures, StudyResult
from trainer.personal.settings import DEVELOPMENT_SEED, Settings
from trainer.stages.claim import RENDERED

_BANNER = "Measured on rendered people, not on photographs: what holds here need not hold for real faces."
_SMOKE = "Size smoke: it shows that everything runs; its figures say nothing."
_VERDICTS = (
    "Differences are the first side minus the second, person by person, each the mean over seeds, with Student's 95 % "
    "interval over people. ✓ shown: the whole interval is on the paper's side of 0. ✗ opposite: it is on the other "
    "side. ○ not shown: the interval holds 0. – not judged: fewer than three people, or not measured. Where “equal” is "
    f"expected, the whole interval must lie within ± {COMPARABLE} RMSE."
)
_METHODS = {
    "frames": "random folds, as published: pictures four seconds apart are on both sides",
    "blocks of time": "each fold is one stretch of contiguous time",
    "transfer 0 %": "the general model as it is; 100 %: its dense part refined on all pictures of the training folds; "
    "no transfer: the whole network from random weights on them",
    "sgd": "all dense layers, as published (Nesterov 0.9, batch 16, rate 0.001); the learners are the robot's own "
    "(mien.personal.learners), with its own settings",
    "with gate": "the default learner's head where it is no worse on held-out stored moments, else the base head: what "
    "a robot does",
    "figures": "of the pooled answers on all folds; means over people, each the mean over seeds, with Student's 95 % "
    "interval over people",
    "elbow": f"the smallest share of labels that leaves at most {100 * ELBOW:.0f} % of the gain of all labels",
    "shift": "how far a rendered person differs from people in general: 0 shows expressions as everybody does, 1 in "
    "the person's own way, 1.5 exaggerates it (trainer.data.synthetic.diary)",
    "few labels": "chosen at random from, or spread by GSx over, the training part of each fold",
    "class order": "labels come class after class, and the head is learned anew or further after each",
    "first classes": "only half of the classes have labels",
    "wrong labels": "10 % have another class, and the valence and arousal of another moment",
    "later": "learned in the first three quarters of the time, tested in the last; the drifting person's shift grows "
    "(away) or falls (back) in equal steps meanwhile",
    "seconds": "to make one head, on one thread, while other processes may be running",
}


class Section(NamedTuple):
    """A part of the report: heading, tables and charts."""

    title: str
    tables: list[FilledTable]
    charts: list[Any]


def write_report(result: StudyResult, folder: Path) -> Path:
    """Write report.html (self-contained), report.json and report.md into the study's folder.

    Returns:
        The path of report.html.

    Raises:
        MienError: the folder cannot be written.
    """
    content = page_content(result)
    templates = report_templates(__package__)
    for name, template in (("html", "personal.html.j2"), ("md", "personal.md.j2")):
        _write(folder / f"report.{name}", templates.get_template(template).render(content).encode())
    _write(folder / "report.json", msgspec.json.format(msgspec.json.encode(result)))
    return folder / "report.html"


def page_content(result: StudyResult) -> dict[str, Any]:
    """What the templates need, by name."""
    figures = Figures(result)
    is_rendered = result.data == RENDERED
    banners = [words for is_so, words in ((is_rendered, _BANNER), (result.size == "smoke", _SMOKE)) if is_so]
    found = [
        Section("Three settings", [tables.settings(figures), tables.person_by_person(figures)], []),
        Section("Learners side by side", [tables.learners(figures, one) for one in ("frames", "blocks")], []),
        Section("How far the person differs", [tables.shifts(figures)] if is_rendered else [], []),
        Section(
            "How many labels",
            [tables.elbows(figures), *tables.samplers(figures), *tables.few(figures)],
            curves(figures),
        ),
        Section("Hard cases", [tables.hard_cases(figures)], []),
    ]
    return {
        "result": result,
        "banners": banners,
        "facts": _facts(result),
        "goals": judge_goals(figures),
        "verdicts": judged(figures),
        "verdict_note": _VERDICTS,
        "sections": [section for section in found if section.tables],
        "methods": _METHODS,
        "settings": _settings(result.settings),
    }


def judged(figures: Figures) -> list[FilledVerdict]:
    """The paper's findings in words."""
    return [fill_verdict(one) for one in judge_findings(figures)]


def _facts(result: StudyResult) -> list[tuple[str, str]]:
    own = result.settings
    people = f"{len(result.people)} of {own.people}: {', '.join(result.people)}"
    if result.data == RENDERED:
        people += f" (seeds of the domain person; chosen for nothing, {DEVELOPMENT_SEED} and above were)"
    return [
        ("data", result.data),
        ("general model", result.general),
        ("people", people),
        ("pictures of each", str(own.frames or "all there are") + ", four seconds apart"),
        ("seeds", f"{result.seeds} of {own.seeds}"),
        *((f"settings of {name}", _words(values)) for name, values in result.learners.items() if values),
        ("machine", result.machine),
        ("versions", ", ".join(f"{name} {version}" for name, version in result.versions.items())),
    ]


def _words(values: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in values.items())


def _settings(settings: Settings) -> str:
    return msgspec.json.format(msgspec.json.encode(settings)).decode()


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(content)
