"""The report of a run: that all of the result is on the page, as text, and nothing comes from elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import MienError
from tests.trainer.evaluate.reports import HOSTILE, LABELS, Page, make_recipe, make_result, report
from trainer.evaluate.predictions import Training, load_predictions, test_result
from trainer.evaluate.report import write_report
from trainer.evaluate.report.charts import Series, line_chart
from trainer.evaluate.trends import judge
from trainer.stages.recipe import Arm, Recipe, Row, Source, Stage, Table, Trend
from trainer.stages.result import Epoch, RecipeResult, StageResult, TestResult


def of_stage(result: RecipeResult, name: str) -> list[StageResult]:
    return [stage for stage in result.stages if stage.stage == name]


def percent(values: list[float]) -> str:
    mean, low, high = 100 * float(np.mean(values)), 100 * min(values), 100 * max(values)
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"


def test_prints_the_tables_with_the_papers_figures_ours_and_the_gap(tmp_path: Path) -> None:
    result, _, page = report(tmp_path)
    published = [stage.tests["frames"].figures for stage in of_stage(result, "expression")]
    new_person = [stage.tests["people"].figures for stage in of_stage(result, "new_person")]
    gaps = [
        100 * float(np.mean([test[name] for test in new_person]) - np.mean([test[name] for test in published]))
        for name in ("accuracy", "macro_f1")
    ]
    assert page.row("Model 5, published")[1:] == [
        "87.3", "86.0 (85.0 to 87.0)", "",  # training accuracy: paper, ours, gap
        percent([test["accuracy"] for test in published]), "",
        "60.0", percent([test["macro_f1"] for test in published]), "",
        "50,000", "–", "",
    ]  # fmt: skip
    cells = page.row("Model 5, new people")
    assert cells[0] == "Model 5, new people gap to: Model 5, published split"
    assert cells[3:6] == ["+0.0", percent([test["accuracy"] for test in new_person]), f"{gaps[0]:+.1f}"]
    assert cells[8] == f"{gaps[1]:+.1f}"
    assert re.fullmatch(r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", cells[10])
    assert page.row("Never run")[1:] == ["–", "–", "", "–", "", "57.0", "–", "", "–", "–", ""]


def test_prints_each_verdict_with_a_symbol(tmp_path: Path) -> None:
    result, recipe, page = report(tmp_path)
    first, second = result.verdicts
    assert page.row("Staged is better")[1:] == [
        "✓ shown",
        "F1, mean of classes percentage points",
        "higher",
        "+3.0",
        *(f"{100 * value:+.1f}" for value in (first.difference,) if value is not None),
        f"{100 * first.low:+.1f} to {100 * first.high:+.1f}".replace("-", "−"),  # type: ignore[operator]
        "3",
        "",
    ]
    assert (second.verdict, page.row("It is faster")[1:]) == (
        "shown",
        ["✓ shown", "training time, whole chain seconds", "lower", "–", "−372", "−372 to −372", "3", ""],
    )
    for verdict, cell in (("opposite", "✗ opposite"), ("not shown", "○ not shown"), ("not judged", "– not judged")):
        verdicts = [first, msgspec.structs.replace(second, verdict=verdict, low=None, high=None, difference=None)]
        other = Page(write_report(msgspec.structs.replace(result, verdicts=verdicts), recipe, tmp_path))
        assert other.row("It is faster")[1:] == [
            cell, "training time, whole chain seconds", "lower", "–", "–", "–", "3", "",
        ]  # fmt: skip


def test_prints_confusion_classes_and_affect(tmp_path: Path) -> None:
    result, _, page = report(tmp_path)
    total = np.sum([stage.tests["frames"].confusion for stage in of_stage(result, "identity")], axis=0)
    start = next(number for number, (_, row) in enumerate(page.rows) if row[:1] == ["true \\ predicted"])
    for label, counts, (_, row) in zip(LABELS, total, page.rows[start + 1 :], strict=False):
        assert row == [label, *(f"{count:,}{100 * count / counts.sum():.1f} %" for count in counts)]
    assert page.row("all")[1:] == ["120,000", "4,800", "4,000"]
    recall = [stage.tests["frames"].classes["fear"].recall for stage in of_stage(result, "identity")]
    start = next(number for number, (_, row) in enumerate(page.rows) if row[1:2] == ["precision, %"])
    assert page.rows[start + 1 + LABELS.index("fear")][1][2] == percent(
        [share for share in recall if share is not None]
    )
    errors = [stage.tests["people"].figures["valence_rmse"] for stage in of_stage(result, "new_person")]
    means = [stage.tests["people"].figures["valence_rmse_of_mean"] for stage in of_stage(result, "new_person")]
    assert page.row("valence")[1].startswith(f"{np.mean(errors):.3f} (")
    assert page.row("valence")[3] == f"{np.mean(errors) - np.mean(means):+.3f}".replace("-", "−")


def test_warns_of_people_in_both_parts_and_of_renders(tmp_path: Path) -> None:
    _, _, page = report(tmp_path / "rendered")
    assert page.text.count("These figures say nothing of new people") == 2  # one stage; with and without suspects
    assert "Measured on rendered people, not on photographs" in page.text
    _, _, page = report(tmp_path / "real", data="faces", size="smoke")
    assert "rendered people" not in page.text
    assert "Its figures are no findings" in page.text


def test_refers_to_nothing_elsewhere_and_escapes_names(tmp_path: Path) -> None:
    result, recipe, _ = report(tmp_path)
    path = write_report(result, recipe, tmp_path, lambda source, name: np.full((200, 100, 3), 90, np.uint8)[:, :, ::-1])
    page, source = Page(path), path.read_text(encoding="utf-8")
    assert not {"script", "link", "iframe", "object", "b>&"} & set(page.tags)
    assert all(reference.startswith(("#", "data:image/jpeg;base64,")) for reference in page.references)
    assert {reference[1:] for reference in page.references if reference.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert "url(" not in source
    assert "@import" not in source
    assert "http://" not in source
    assert "https://" not in source
    assert source.count("data:image/jpeg") == 3 * 12
    assert "a<b>" not in source
    assert page.text.count(HOSTILE) > 10


def test_drops_suspected_pictures_from_the_figures_on_demand(tmp_path: Path) -> None:
    _, _, page = report(tmp_path)
    suspects = msgspec.json.decode((tmp_path / "suspects.json").read_bytes())["names"]
    planted = {f"{HOSTILE}/{number:05d}.png" for number in range(4)}
    assert all(planted <= set(names) for names in suspects.values())
    assert set(suspects) == {f"frames of {HOSTILE}", f"people of {HOSTILE}"}
    assert "label suspected" in page.text
    with_all, without = (
        float(page.row("Model 5, new people", version)[4].split()[0]) for version in ("all", "dropped")
    )
    assert without > with_all
    # The same pictures are dropped for all stages that are tested on one set, so that the stages remain comparable.
    frames = len(suspects[f"frames of {HOSTILE}"])
    assert page.text.count(" with a suspected label") == 3
    people = len(suspects[f"people of {HOSTILE}"])
    assert page.text.count(f"; {frames} with a suspected label") == 2 + (people == frames)
    assert f"Labels of frames of {HOSTILE} that are suspected to be wrong: {frames} of 240 test pictures" in page.text
    assert f"Without {frames + people} of 480 test pictures" in page.text


@pytest.mark.parametrize("data", ["rendered", "faces"])
def test_renders_have_no_wrong_labels(tmp_path: Path, data: str) -> None:
    _, _, page = report(tmp_path, data=data)
    assert page.text.count("240 test pictures; renders are labelled right") == (2 if data == "rendered" else 0)


def test_suspected_labels_of_classes_leave_valence_and_arousal_alone(tmp_path: Path) -> None:
    _, _, page = report(tmp_path)
    assert page.row("valence", "dropped") == page.row("valence")
    assert page.row("Model 5, new people", "dropped")[10] == page.row("Model 5, new people")[10]


def test_tests_of_valence_alone_keep_pictures_that_are_suspected_elsewhere(tmp_path: Path) -> None:
    result, recipe, _ = report(tmp_path, seeds=1)
    first, second, third = result.stages
    file = first.tests["frames"].predictions
    own = load_predictions(tmp_path / third.tests["people"].predictions)
    replace(own, labels=(), probabilities=None).save(tmp_path / file)
    of_valence = test_result(
        replace(own, labels=(), probabilities=None),
        [Training(None, {"valence": 0.1, "arousal": 0.0})] * 2,
        source="frames",
        data=f"frames of {HOSTILE}",
        split="as published",
        left_out={},
        file=file,
    )
    stages = [msgspec.structs.replace(first, tests={"frames": of_valence}), second, third]
    page = Page(write_report(msgspec.structs.replace(result, stages=stages), recipe, tmp_path))
    assert page.row("valence", "dropped") == page.row("valence")
    assert page.row("valence")[2] == f"{of_valence.figures['valence_rmse_of_mean']:.3f}"
    assert page.text.count(" with a suspected label") == 2  # not in the first stage


def test_networks_that_know_little_suspect_no_labels(tmp_path: Path) -> None:
    (tmp_path / "suspects.json").write_text("of an earlier report")
    _, _, page = report(tmp_path, skill=-1.0)
    for data in ("frames", "people"):
        assert f"Labels of {data} of {HOSTILE} that are suspected to be wrong: none are named, no network" in page.text
    assert not (tmp_path / "suspects.json").exists()
    assert "label suspected" not in page.text
    assert "Without" not in page.text
    assert page.text.count("Most confident errors") == 3


def test_draws_every_seed_and_the_mean(tmp_path: Path) -> None:
    page = report(tmp_path)[2]
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert source.count('class="curve training seed"') == 3 * 3 * 3  # stages, charts, seeds
    assert source.count('class="curve validation seed"') == 2 * 3  # the first stage has no validation
    assert "NaN" not in source
    assert "nan" not in re.findall(r'd="([^"]*)"', source)
    assert page.text.count("time per epoch") >= 3


def test_says_so_where_parts_are_missing(tmp_path: Path) -> None:
    result, recipe, _ = report(tmp_path / "whole", seeds=1)
    first, second, third = result.stages
    undefined = {"training_accuracy": float("nan")}
    broken = [
        msgspec.structs.replace(first, epochs=[[]], tests={}, parts={}, figures=undefined),
        msgspec.structs.replace(second, epochs=[[Epoch(1, float("nan"), float("nan"), None, 0.1, 0, 0.0)]]),
        third,
    ]
    partial = msgspec.structs.replace(result, stages=broken)
    page = Page(write_report(partial, recipe, tmp_path / "elsewhere"))  # where there are no predictions
    for words in (
        "No epoch was recorded",
        "Not tested",
        "holds no predictions",
        "No calibration diagram",
    ):
        assert words in page.text
    nothing = msgspec.structs.replace(result, stages=[])
    page = Page(write_report(nothing, recipe, tmp_path / "nothing"))
    assert "No stage was run" in page.text
    assert "There are no trends of what was run" in page.text


@pytest.mark.parametrize(
    ("stages", "left_out"),
    [
        (("identity", "expression", "new_person"), ""),
        (("identity",), "Left out, as this run has no figures for them: 1 table and 1 trend."),
        (("new_person",), "Left out, as this run has no figures for them: 1 trend."),
        ((), "Left out, as this run has no figures for them: 1 table and 2 trends."),
    ],
)
def test_leaves_out_what_was_not_run(tmp_path: Path, stages: tuple[str, ...], left_out: str) -> None:
    result, recipe, _ = report(tmp_path, seeds=1)
    some = [stage for stage in result.stages if stage.stage in stages]
    page = Page(write_report(msgspec.structs.replace(result, stages=some), recipe, tmp_path))
    summary = (tmp_path / "report.md").read_text(encoding="utf-8")
    for text in (page.text, summary):
        assert ("Left out, as" in text, left_out in text) == (bool(left_out), True)
        assert ("Table III. Performance" in text) == bool({"expression", "new_person"} & set(stages))
        assert ("Staged is better" in text) == bool({"expression", "identity"} & set(stages))
        assert ("It is faster" in text) == bool({"expression", "new_person"} & set(stages))


def test_tabulates_all_stages_where_the_recipe_has_no_tables(tmp_path: Path) -> None:
    result, recipe, _ = report(tmp_path)
    page = Page(write_report(result, msgspec.structs.replace(recipe, tables=()), tmp_path))
    accuracy = percent([stage.tests["frames"].figures["accuracy"] for stage in of_stage(result, "identity")])
    assert page.row("identity")[1] == accuracy
    assert f"| identity | {accuracy} |" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_says_by_which_methods_figures_come_about(tmp_path: Path) -> None:
    _, _, page = report(tmp_path)
    for text in (page.text, (tmp_path / "report.md").read_text(encoding="utf-8")):
        for words in ("bootstrap over people", "1,000 resamples, of the first seed", "cleanlab", "15 bins"):
            assert words in text
    for words in ("training loss", "training accuracy", "validation accuracy"):
        assert words in page.text


@pytest.mark.parametrize(("data", "has_pictures"), [("rendered", True), ("faces", True), ("faces", False)])
def test_warns_of_faces_that_must_not_be_passed_on(tmp_path: Path, data: str, has_pictures: bool) -> None:
    result, recipe, _ = report(tmp_path, seeds=1, data=data)
    grey = np.full((32, 32, 3), 90, np.uint8)
    page = Page(write_report(result, recipe, tmp_path, (lambda source, name: grey) if has_pictures else None))
    assert ("do not pass it on" in page.text) == (data == "faces" and has_pictures)
    assert ("Their pictures are left out" in page.text) == (not has_pictures)


def test_says_which_pictures_are_not_at_hand(tmp_path: Path) -> None:
    result, recipe, _ = report(tmp_path, seeds=1)
    none_there = Page(write_report(result, recipe, tmp_path, lambda source, name: None)).text
    assert (none_there.count("Their pictures are not at hand"), none_there.count("picture not at hand")) == (3, 0)
    grey, calls = np.full((32, 32, 3), 90, np.uint8), iter(range(100))
    one_there = Page(write_report(result, recipe, tmp_path, lambda source, name: None if next(calls) else grey)).text
    assert (one_there.count("Their pictures are not at hand"), one_there.count("picture not at hand")) == (2, 11)


def test_does_not_list_a_hundred_people(tmp_path: Path) -> None:
    result, recipe, _ = report(tmp_path, seeds=1)
    people = tuple(f"face {number}" for number in range(100))
    test = msgspec.structs.replace(
        result.stages[0].tests["frames"], labels=people, confusion=[[7] * 100] * 100, classes={}
    )
    stages = [msgspec.structs.replace(result.stages[0], tests={"frames": test}), *result.stages[1:]]
    page = Page(write_report(msgspec.structs.replace(result, stages=stages), recipe, tmp_path))
    assert "100 classes: too many to list here" in page.text
    assert "face 99" not in page.text


def test_writes_the_result_as_json(tmp_path: Path) -> None:
    result, _, _ = report(tmp_path)
    again = msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=RecipeResult)
    assert msgspec.json.encode(again) == msgspec.json.encode(result)


def test_refuses_the_recipe_of_another_result(tmp_path: Path) -> None:
    recipe = make_recipe()
    result = make_result(recipe, tmp_path, 1, pictures=50, epoch_count=1)
    with pytest.raises(MienError, match="cross_domain"):
        write_report(result, msgspec.structs.replace(recipe, name="other"), tmp_path)


def test_stays_small_and_quick_to_read(tmp_path: Path) -> None:
    recipe = make_recipe(8)
    result = make_result(recipe, tmp_path, 3, pictures=300, epoch_count=30)
    noise = np.random.default_rng(0).integers(0, 255, (160, 160, 3)).astype(np.uint8)
    page = write_report(result, recipe, tmp_path, lambda source, name: noise)
    assert page.stat().st_size < 5_000_000


GOLDEN = r"""# Small \| set (study)

**Measured on rendered people, not on photographs: what holds here need not hold for real faces.**

Recipe `small`, after paper 003.

| | |
|---|---|
| data | rendered |
| network | mobilenet_v1_48 |
| parameters | 3.23 million |
| multiply-accumulates per picture | 27.4 million |
| seeds | 3 |
| machine | 2 cores |
| versions | torch 2.14.1 |
| training time, summed over processes | 2 min |

```
mien-train run small --data rendered
```

Figures are means over seeds, with the smallest and the largest seed in brackets. A dash: not run, or not defined.

## Table 2 (003, Table 2)

| | held-out accuracy, %, paper | held-out accuracy, %, ours | gap | training time, s, ours |
|---|---:|---:|---:|---:|
| per frame | 95.1 | 82.0 (80.0 to 84.0) |  | 12.5 |
| new person (gap to: per frame) | – | 62.0 (61.0 to 63.0) | −20.0 | 12.5 |

Six classes.

## Trends, fixed before the run

Differences are the first side minus the second, paired by seed, with Student's 95 % interval over seeds. ✓ shown: the \
whole interval is on the paper's side of 0. ✗ opposite: the whole interval is on the other side. ○ not shown: the \
interval holds 0. – not judged: fewer than three seeds, or a side was not run. Where “equal” is expected, the whole \
interval must lie within ± the paper's difference (± 0.05, of shares 5 points, where it prints none).

| claim | metric | expected | paper | ours | 95 % interval | unit | seeds | verdict |
|---|---|---|---:|---:|---:|---|---:|---|
| New people are harder (001, V) | held-out accuracy | lower | −55.3 | −20.0 | −22.5 to −17.5 | percentage points | 3 \
| ✓ shown |

## Stages

| stage | lineage | images seen | time | tested on | pictures | people | also in training |
|---|---|---:|---:|---|---:|---:|---:|
| frames | IN → CK+ | 1,000 | 12.5 s | frames: ck_plus, 10 % of the pictures | 200 | 40 | 7 |
| people | IN → CK+ | 1,000 | 12.5 s | people: ck_plus, 10 % of the pictures | 200 | – | not known |

## Methods

- 95 % intervals of a test: percentiles of a bootstrap over people (over pictures where the data set does not name all \
of them) with 1,000 resamples, of the first seed alone.
- expected calibration error: mean gap between confidence and share of right answers in 15 bins of confidence, equally \
wide, weighted by their answers; without an interval, as resampling adds to the gaps of the bins and so raises it.
- suspected labels: confident learning (cleanlab) on answers about pictures of the test parts. A network is asked only \
where it is right for more than 50 % of the pictures and more often than always naming the largest class, by the lower \
end of Wilson's 95 % interval, and where it would suspect at most 20 % of the labels; a label is suspected where more \
than half of those asked do.
- validation: scores on a part of the pictures that are not tested on; they only decide on learning rate, end of \
training and weights.
- time per epoch: median over epochs, as the first ones include starting up.
""".replace("\\\n", "")


def test_summary_in_markdown(tmp_path: Path) -> None:
    stages = [
        StageResult(
            stage=name,
            seed=seed,
            lineage="IN → CK+",
            folds=1,
            trained=1.0,
            figures={"images_seen": 1000.0, "seconds": 12.5},
            parts={},
            epochs=[[]],
            tests={
                name: TestResult(
                    source=name,
                    data="ck_plus",
                    split="10 % of the pictures",
                    people=people,
                    shared_people=None if people is None else 7,
                    pictures=200,
                    folds=1,
                    left_out={},
                    labels=(),
                    figures={"accuracy": accuracy + difference},
                    intervals={},
                    confusion=[],
                    classes={},
                    predictions="absent.npz",
                )
            },
        )
        for name, people, accuracy, differences in (
            ("frames", 40, 0.82, (-0.02, 0.0, 0.02)),
            ("people", None, 0.62, (-0.01, 0.0, 0.01)),
        )
        for seed, difference in enumerate(differences)
    ]
    recipe = Recipe(
        name="small",
        title="Small | set",
        paper="003",
        architecture="mobilenet_v1_48",
        sources={"frames": Source("ck_plus", "lab_a"), "people": Source("ck_plus", "lab_a")},
        stages={"frames": Stage(data="frames"), "people": Stage(data="people")},
        tables=(
            Table(
                title="Table 2",
                metrics=("accuracy", "seconds"),
                rows=(
                    Row("per frame", "frames", published={"accuracy": 0.9508}),
                    Row("new person", "people", gap_to="per frame"),
                ),
                cite="003, Table 2",
                note="Six classes.",
            ),
        ),
        trends=(
            Trend(
                claim="New people are harder",
                cite="001, V",
                first=Arm("people"),
                second=Arm("frames"),
                metric="accuracy",
                sign="-",
                published=-0.553,
            ),
        ),
    )
    result = RecipeResult(
        recipe="small",
        title="Small | set",
        paper="003",
        size="study",
        data="rendered",
        command="mien-train run small --data rendered",
        architecture="mobilenet_v1_48",
        stands_in_for=None,
        parameters=3_228_864,
        macs=27_400_000,
        seeds=3,
        machine="2 cores",
        versions={"torch": "2.14.1"},
        seconds=119.0,
        recipe_text="",
        stages=stages,
        verdicts=judge(recipe, stages),
    )
    write_report(result, recipe, tmp_path)
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == GOLDEN


def test_a_chart_has_gaps_where_there_are_no_numbers() -> None:
    points = [(1, 5.0), (2, 6.0), (3, float("nan")), (4, None), (5, 7.0)]
    chart = line_chart("loss", "epoch", "loss", [Series(points, "training"), Series([(1, None)], "validation")])
    assert chart is not None
    assert [curve.style for curve in chart.curves] == ["training"]
    assert chart.curves[0].path == "M46.0 168.0h0L112.0 89.0M310.0 10.0h0"
    assert [tick.text for tick in chart.x_ticks] == ["1", "2", "3", "4", "5"]
    assert [tick.text for tick in chart.y_ticks] == ["5.0", "5.5", "6.0", "6.5", "7.0"]
    assert line_chart("loss", "epoch", "loss", [Series([(1, float("inf"))], "training")]) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.booleans())
def test_a_chart_keeps_to_its_frame(values: list[float], whole_x: bool) -> None:
    chart = line_chart("t", "x", "y", [Series(list(enumerate(values)), "training")], whole_x=whole_x)
    assert chart is not None
    for ticks, low, high in ((chart.x_ticks, 46, 310), (chart.y_ticks, 10, 168)):
        assert 1 <= len(ticks) <= 7
        assert all(low - 0.1 <= tick.at <= high + 0.1 for tick in ticks)
        assert len({tick.text for tick in ticks}) == len(ticks)
    for x, y in re.findall(r"[ML](\S+) ([\d.]+)", chart.curves[0].path):
        assert 45.9 <= float(x) <= 310.1
        assert 9.9 <= float(y) <= 168.1
