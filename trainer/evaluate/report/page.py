"""Everything that the page and the summary say, put together."""

from __future__ import annotations

from typing import Any, NamedTuple

from trainer.evaluate.report.details import TestView, stage_view, test_view
from trainer.evaluate.report.figures import duration
from trainer.evaluate.report.gallery import Answers, Gallery, PictureOf, is_listed
from trainer.evaluate.report.tables import (
    FilledTable,
    FilledVerdict,
    Runs,
    by_stage,
    fill_table,
    fill_verdict,
    tables_of,
)
from trainer.evaluate.trends import EQUAL, judge
from trainer.stages.recipe import Recipe
from trainer.stages.result import RecipeResult, Verdict

_BANNER = "Measured on rendered people, not on photographs: what holds here need not hold for real faces."
_SMOKE = "Size smoke shows that everything runs. Its figures are no findings."
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


class Version(NamedTuple):
    """All that depends on the test pictures: with all of them, or without those that are suspected."""

    style: str
    note: str
    tables: list[FilledTable]
    verdicts: list[FilledVerdict]
    tests: dict[str, list[TestView]]


def page_content(result: RecipeResult, recipe: Recipe, answers: Answers, picture: PictureOf | None) -> dict[str, Any]:
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
    return {
        "result": result,
        "banners": _banners(result),
        "facts": _facts(result),
        "spread_note": _SPREAD,
        "trend_note": _TREND,
        "stages": [stage_view(name, of_stage, recipe) for name, of_stage in runs.items()],
        "versions": versions,
        "suspects": f"{suspects} of {answers.asked:,}" if suspects else "",
        "suspicion": answers.suspicion,
        "galleries": {name: _galleries(name, runs, answers, picture) for name in runs},
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
    tables = [fill_table(table, recipe, runs) for table in tables_of(recipe)]
    return Version(style, note, tables, [fill_verdict(verdict) for verdict in verdicts], tests)


def _sources(stage: str, runs: Runs) -> dict[str, str]:
    """Name of the data set of each source that a stage was tested on."""
    return {source: test.data for run in runs[stage] for source, test in run.tests.items()}


def _galleries(stage: str, runs: Runs, answers: Answers, picture: PictureOf | None) -> list[Gallery]:
    listed = {source for run in runs[stage] for source, test in run.tests.items() if is_listed(test)}
    return [
        answers.gallery(stage, source, data, picture)
        for source, data in _sources(stage, runs).items()
        if source in listed
    ]


def _banners(result: RecipeResult) -> list[str]:
    return [*([_BANNER] if result.data == "rendered" else []), *([_SMOKE] if result.size == "smoke" else [])]


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
