"""Everything that the page and the summary say, put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from trainer.evaluate.intervals import RESAMPLES
from trainer.evaluate.metrics import BINS
from trainer.evaluate.report.details import TestView, stage_view, test_view
from trainer.evaluate.report.figures import duration
from trainer.evaluate.report.gallery import Answers, Gallery, PictureOf, is_listed
from trainer.evaluate.report.looks import LookOf, sheet_of, sheet_of_ensembles
from trainer.evaluate.report.tables import (
    FilledTable,
    FilledVerdict,
    Runs,
    by_stage,
    fill_table,
    fill_verdict,
    tables_of,
)
from trainer.evaluate.suspects import LEAST_ACCURACY, MOST_SUSPECTS
from trainer.evaluate.trends import EQUAL, judge
from trainer.stages.claim import RENDERED
from trainer.stages.recipe import Recipe
from trainer.stages.result import RecipeResult, Verdict

_BANNER = "Measured on rendered people, not on photographs: what holds here need not hold for real faces."
_SMOKE = "Size smoke shows that everything runs. Its figures are no findings."
_MOST_CONTENTS = 40
"""Stages and ensembles that are listed at the top; of more, the ensembles only."""
_SPREAD = (
    "Figures are means over seeds, with the smallest and the largest seed in brackets. A dash: not run, or not defined."
)
_TREND = (
    "Differences are the first side minus the second, paired by seed, with Student's 95 % interval over seeds. "
    "✓ shown: the whole interval is on the paper's side of 0. ✗ opposite: the whole interval is on the other side. "
    "○ not shown: the interval holds 0. – not judged: fewer than three seeds, or a side was not run. "
    "Where “equal” is expected, the whole interval must lie within ± the paper's difference "
    f"(± {EQUAL}, of shares {100 * EQUAL:.0f} points, where it prints none)."
)

_FACES = (
    "This file holds pictures of faces of the data sets: do not pass it on where their licences forbid that. "
    "mien-train report FOLDER --no-pictures writes it without them."
)
_FALSE_ALARM = "; renders are labelled right, so these are false alarms on faces that networks find hard to tell"
_METHODS = {
    "95 % intervals of a test": (
        "percentiles of a bootstrap over people (over pictures where the data set does not name all of them) with "
        f"{RESAMPLES:,} resamples, of the first seed alone"
    ),
    "expected calibration error": (
        f"mean gap between confidence and share of right answers in {BINS} bins of confidence, equally wide, weighted "
        "by their answers; without an interval, as resampling adds to the gaps of the bins and so raises it"
    ),
    "suspected labels": (
        "confident learning (cleanlab) on answers about pictures of the test parts. A network is asked only where it "
        f"is right for more than {100 * LEAST_ACCURACY:.0f} % of the pictures and more often than always naming the "
        "largest class, by the lower end of Wilson's 95 % interval, and where it would suspect at most "
        f"{100 * MOST_SUSPECTS:.0f} % of the labels; a label is suspected where more than half of those asked do"
    ),
    "validation": (
        "scores on a part of the pictures that are not tested on; they only decide on learning rate, end of training "
        "and weights"
    ),
    "time per epoch": "median over epochs, as the first ones include starting up",
}


class Version(NamedTuple):
    """All that depends on the test pictures: with all of them, or without those that are suspected."""

    style: str
    note: str
    tables: list[FilledTable]
    verdicts: list[FilledVerdict]
    tests: dict[str, list[TestView]]


def page_content(
    result: RecipeResult, recipe: Recipe, answers: Answers, picture: PictureOf | None, look: LookOf | None
) -> dict[str, Any]:
    """What the templates need, by name."""
    runs = by_stage(result.stages)
    suspects = sum(map(len, answers.suspected.values()))
    versions = [_version("all", "", recipe, runs, result.verdicts, answers)]
    if suspects:
        kept = answers.drop(result.stages)
        note = (
            f"Without {suspects} of {answers.asked:,} test pictures, whose labels are suspected. This flatters: the "
            "networks that are judged have chosen them. Valence and arousal keep all pictures"
        )
        versions.append(_version("dropped", note, recipe, by_stage(kept), judge(recipe, kept), answers))
    shown_at = _shown_at(recipe, runs)
    galleries = {name: _galleries(name, runs, answers, picture) for name in runs if name not in shown_at}
    sheets = {name: sheet_of(name, runs, answers, look) for name in galleries}
    return {
        "result": result,
        "banners": _banners(result, galleries.values(), any(sheets.values())),
        "facts": _facts(result),
        "spread_note": _SPREAD,
        "trend_note": _TREND,
        "stages": [stage_view(name, of_stage, recipe) for name, of_stage in runs.items()],
        "contents": [name for name in runs if len(runs) <= _MOST_CONTENTS or name in recipe.ensembles],
        "versions": versions,
        "suspects": f"{suspects} of {answers.asked:,}" if suspects else "",
        "suspicion": _suspicion(result, answers),
        "ensembles": set(recipe.ensembles),
        "shown_at": shown_at,
        "galleries": galleries,
        "sheets": sheets,
        "sheet_of_ensembles": sheet_of_ensembles(recipe, runs, answers, look),
        "left_out": _left_out(recipe, versions[0]),
        "methods": _METHODS,
    }


def _version(style: str, note: str, recipe: Recipe, runs: Runs, verdicts: list[Verdict], answers: Answers) -> Version:
    tests: dict[str, list[TestView]] = {}
    for name, of_stage in runs.items():
        tests[name] = []
        for source, data in _sources(name, runs).items():
            predictions = answers.of_test(name, source)
            if style == "dropped":
                predictions = [answers.kept(data, one) for one in predictions]
            tests[name].append(test_view(of_stage, source, predictions))
    tables = [table for table in _tables(recipe, runs) if not table.is_empty]
    judged = [
        fill_verdict(verdict)
        for trend, verdict in zip(recipe.trends, verdicts, strict=True)
        if runs.keys() & {trend.first.stage, trend.second.stage}
    ]
    return Version(style, note, tables, judged, tests)


def _tables(recipe: Recipe, runs: Runs) -> list[FilledTable]:
    return [fill_table(table, recipe, runs) for table in tables_of(recipe)]


def _left_out(recipe: Recipe, version: Version) -> str:
    """How many tables and trends are not there, as none of their stages was run."""
    counts = {
        "table": len(tables_of(recipe)) - len(version.tables),
        "trend": len(recipe.trends) - len(version.verdicts),
    }
    said = [f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count]
    return f"Left out, as this run has no figures for them: {' and '.join(said)}." if said else ""


def _sources(stage: str, runs: Runs) -> dict[str, str]:
    """Name of the data set of each source that a stage was tested on."""
    return {source: test.data for run in runs[stage] for source, test in run.tests.items()}


def _shown_at(recipe: Recipe, runs: Runs) -> dict[str, list[str]]:
    """Ensembles whose pictures stand for those of their members, and of what these start from: else too many."""
    shown: dict[str, list[str]] = {}
    for ensemble in (name for name in recipe.ensembles if name in runs):
        for name in recipe.ensembles[ensemble].members:
            while name in recipe.stages:
                if ensemble not in shown.setdefault(name, []):
                    shown[name].append(ensemble)
                name = recipe.stages[name].start
    return shown


def _galleries(stage: str, runs: Runs, answers: Answers, picture: PictureOf | None) -> list[Gallery]:
    listed = {source for run in runs[stage] for source, test in run.tests.items() if is_listed(test)}
    return [
        answers.gallery(stage, source, data, picture)
        for source, data in _sources(stage, runs).items()
        if source in listed
    ]


def _banners(result: RecipeResult, galleries: Iterable[Sequence[Gallery]], has_sheets: bool) -> list[str]:
    is_rendered, is_smoke = result.data == RENDERED, result.size == "smoke"
    has_faces = has_sheets or any(
        error.jpeg for of_stage in galleries for gallery in of_stage for error in gallery.errors
    )
    said = ((is_rendered, _BANNER), (is_smoke, _SMOKE), (has_faces and not is_rendered, _FACES))
    return [words for is_so, words in said if is_so]


def _suspicion(result: RecipeResult, answers: Answers) -> dict[str, str]:
    is_false = {data for data, names in answers.suspected.items() if names and result.data == RENDERED}
    return {data: words + (_FALSE_ALARM if data in is_false else "") for data, words in answers.suspicion.items()}


def _facts(result: RecipeResult) -> list[tuple[str, str]]:
    network = result.architecture
    if result.stands_in_for:
        network += f", which stands in for {result.stands_in_for}"
    return [
        ("data", result.data),
        ("network", network),
        ("parameters", f"{result.parameters / 1e6:.2f} million"),
        ("multiply-accumulates per picture", f"{result.macs / 1e6:,.1f} million"),
        ("seeds", str(result.seeds)),
        ("machine", result.machine),
        ("versions", ", ".join(f"{name} {version}" for name, version in result.versions.items())),
        ("training time, summed over processes", duration(result.seconds)),
    ]
