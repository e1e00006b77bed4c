"""Recipes: layers of keys become stages, sizes change them, and every mistake is named by file, key and remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mien.bundle import CropSpec
from mien.errors import MienError
from trainer.models import Outputs, build_network
from trainer.stages.checkpoint import Card, save_checkpoint
from trainer.stages.recipe import CenterLoss, Optimiser, Recipe, Size, Source, Split, Stage
from trainer.stages.recipe_file import built_in_recipes, dump_recipe, load_recipe, recipe_text, resolve

RECIPE = """
name: own
title: Our own chain
architecture: resnet50
sources:
  people: {real: vggface2, rendered: identity_a, split: {kind: holdout, test: 0.1}}
  lab: {real: "ck+:8-small", rendered: "lab_a:8-small", split: {kind: folds, folds: 5, by_person: true}}
  japanese: {real: jaffe, rendered: lab_b, split: {kind: everything}}
  wild: {real: affectnet, rendered: wild}
every:
  crop: {margin: 0.2}
  optimiser: {learning_rate: 1e-2, nesterov: true}
  schedule: {kind: plateau, patience: 3}
stages:
  target: {from: faces, data: wild, tests: [japanese], optimiser: {learning_rate: 0.001}}
  faces: {data: people, target: identity, schedule: {kind: constant}, center: {weight: 0.01}}
  deep: {from: target, data: wild, unfreeze: 2, replace: [conv1]}
  folded: {from: target, data: lab, tests: [japanese], schedule: {kind: exponential}}
  further: {from: folded, data: lab, schedule: {kind: constant}}
  mood: {from: target, data: wild, target: valence, loss: ccc}
ensembles:
  both: {members: [target, deep]}
tables:
  - title: Results
    metrics: [accuracy, macro_f1, seconds]
    rows:
      - {name: Target, stage: target, published: {accuracy: 0.6}}
      - {name: Across, stage: target, test: japanese, gap_to: Target}
      - {name: Deep, stage: deep}
      - {name: Both, stage: both, gap_to: Deep}
trends:
  - {claim: Deep is better, cite: us, first: {stage: deep}, second: {stage: target}, metric: accuracy, sign: "+"}
  - claim: Better than the mean
    cite: us
    first: {stage: mood}
    second: {stage: mood}
    metric: valence_rmse
    second_metric: valence_rmse_of_mean
    sign: "-"
  - claim: Two are better
    cite: us
    first: {stage: both}
    second: {stage: both}
    metric: accuracy
    second_metric: best_member_accuracy
    sign: "+"
sizes:
  smoke:
    rendered:
      seeds: 2
      side: 64
      architecture: mobilenet_v1_48_w025
      sources: {lab: {count: 64, split: {folds: 2}}}
      every: {epochs: 1, schedule: {patience: 1}}
      stages: {deep: {epochs: 2, unfreeze: 1}}
      leave_out: [folded]
"""


def write(folder: Path, text: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text, "utf-8")
    return str(path)


def load(folder: Path, change: Callable[[Any], object] | None = None) -> Recipe:
    raw = yaml.safe_load(RECIPE)
    if change:
        change(raw)
    return load_recipe(write(folder, yaml.safe_dump(raw, sort_keys=False)))


def test_every_is_merged_key_by_key_into_each_stage_and_the_stage_wins(tmp_path: Path) -> None:
    stages = load_recipe(write(tmp_path, RECIPE)).stages
    assert stages["target"].optimiser == Optimiser("sgd", 0.001, 0.9, nesterov=True)
    assert stages["faces"].optimiser == Optimiser("sgd", 0.01, 0.9, nesterov=True)
    assert (stages["target"].schedule.kind, stages["target"].schedule.patience) == ("plateau", 3)
    assert (stages["faces"].schedule.kind, stages["faces"].schedule.patience) == ("constant", 3)
    assert stages["target"].crop == CropSpec("box", 0.2)
    assert stages["faces"].center == CenterLoss(0.01, 0.001, squared=True)
    assert stages["target"].center is None


def test_stages_come_after_what_they_start_from(tmp_path: Path) -> None:
    assert list(load(tmp_path).stages) == ["faces", "target", "deep", "folded", "further", "mood"]


def test_a_size_changes_architecture_sources_and_stages_key_by_key(tmp_path: Path) -> None:
    recipe = load(tmp_path)
    resolved, size = resolve(recipe, "smoke", is_rendered=True)
    assert size == recipe.sizes.smoke["rendered"]
    assert resolved.architecture == "mobilenet_v1_48_w025"
    assert resolved.sources["lab"].count == 64
    assert resolved.sources["lab"].split == Split("folds", folds=2, by_person=True)
    assert resolved.stages["target"].epochs == 1
    assert resolved.stages["deep"].epochs == 2
    assert resolved.stages["deep"].schedule.patience == 1
    assert resolved.stages["deep"].schedule.kind == "plateau"
    assert resolved.stages["target"].optimiser.learning_rate == 0.001


def test_left_out_stages_take_along_what_starts_from_them_while_rows_stay(tmp_path: Path) -> None:
    resolved, _ = resolve(load(tmp_path), "smoke", is_rendered=True)
    assert list(resolved.stages) == ["faces", "target", "deep", "mood"]

    def without_target(raw: Any) -> None:
        raw["sizes"]["smoke"]["rendered"]["leave_out"] = ["target"]
        raw["sizes"]["smoke"]["rendered"]["stages"] = {"mood": {"from": "faces"}}

    resolved, _ = resolve(load(tmp_path, without_target), "smoke", is_rendered=True)
    assert list(resolved.stages) == ["faces", "mood"]
    assert [row.stage for row in resolved.tables[0].rows] == ["target", "target", "deep", "both"]
    assert resolved.trends[0].first.stage == "deep"


@pytest.mark.parametrize(("size", "is_rendered"), [("smoke", False), ("study", True), ("study", False)])
def test_without_that_size_a_recipe_runs_as_it_stands(tmp_path: Path, size: Any, is_rendered: bool) -> None:
    recipe = load(tmp_path)
    resolved, chosen = resolve(recipe, size, is_rendered)
    assert chosen == Size()
    assert resolved.stages == recipe.stages
    assert resolved.sources == recipe.sources


def test_a_resolved_recipe_is_text_that_runs_the_same_again(tmp_path: Path) -> None:
    resolved, size = resolve(load(tmp_path), "smoke", is_rendered=True)
    again, size_again = resolve(load_recipe(write(tmp_path, dump_recipe(resolved))), "smoke", is_rendered=True)
    assert again == resolved
    assert (size_again.seeds, size_again.side) == (size.seeds, size.side)


def test_a_size_changes_all_stages_of_such_a_name_and_later_changes_win(tmp_path: Path) -> None:
    def change(raw: Any) -> None:
        smoke = raw["sizes"]["smoke"]["rendered"]
        smoke["stages"] = {"f*": {"batch_size": 2}, "*": {"epochs": 3}, "deep": {"epochs": 4}}
        smoke["leave_out"] = ["f*d", "mo*"]

    resolved, _ = resolve(load(tmp_path, change), "smoke", is_rendered=True)
    assert list(resolved.stages) == ["faces", "target", "deep"]  # folded is left out, and further with it
    assert [stage.epochs for stage in resolved.stages.values()] == [3, 3, 4]
    assert [stage.batch_size for stage in resolved.stages.values()] == [2, 64, 64]
    with pytest.raises(MienError, match=r"leave_out: there is no stage 'x\*'"):
        load(tmp_path, _put(f"{SMOKE}.leave_out", ["x*"]))


def test_text_of_a_recipe_with_stages_left_out_names_only_those_that_are_there(tmp_path: Path) -> None:
    resolved, _ = resolve(
        load(tmp_path, lambda raw: raw["sizes"]["smoke"]["rendered"].update(leave_out=["deep"])), "smoke", True
    )
    again = load_recipe(write(tmp_path, dump_recipe(resolved)))
    assert [row.stage for row in again.tables[0].rows] == ["target", "target"]
    assert [trend.first.stage for trend in again.trends] == ["mood"]
    assert again.stages == resolved.stages


def test_what_cannot_be_had_is_not_tested_on_while_rows_stay(tmp_path: Path) -> None:
    recipe = load(tmp_path, _put(f"{SMOKE}.no_tests_on", ["japanese"]))
    resolved, _ = resolve(recipe, "smoke", is_rendered=True)
    assert {test for stage in resolved.stages.values() for test in stage.tests} == set()
    assert recipe.stages["target"].tests == ("japanese",)
    assert [row.name for row in resolved.tables[0].rows] == ["Target", "Across", "Deep", "Both"]
    again = load_recipe(write(tmp_path, dump_recipe(resolved)))
    assert [row.name for row in again.tables[0].rows] == ["Target", "Deep", "Both"]
    with pytest.raises(MienError, match=r"no_tests_on: there is no source 'japan'"):
        load(tmp_path, _put(f"{SMOKE}.no_tests_on", ["japan"]))


TEXTS = st.text(st.characters(codec="utf-8")) | st.sampled_from(
    ["1e-3", "000", "yes", "null", "=", "2026-01-01", "a: #", "\x85", "a\x85b"]
)


@given(TEXTS, TEXTS, st.floats(1e-9, 1e3))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_and_number_survives_being_written(tmp_path: Path, title: str, paper: str, rate: float) -> None:
    stage = Stage(data="wild", optimiser=Optimiser(learning_rate=rate))
    source = Source("affectnet", "wild", split=Split("holdout", 0.3))
    recipe = Recipe(
        name="own", title=title, paper=paper, architecture="alexnet", sources={"wild": source}, stages={"only": stage}
    )
    assert load_recipe(write(tmp_path, dump_recipe(recipe))) == recipe


def test_merged_references_are_layers_too(tmp_path: Path) -> None:
    stages = "  a: &a {data: wild, epochs: 3}\n  b: {<<: *a, epochs: 4}\n  c: {<<: *a}\n"
    text = RECIPE[: RECIPE.index("stages:")] + "stages:\n" + stages
    assert [stage.epochs for stage in load_recipe(write(tmp_path, text)).stages.values()] == [3, 4, 3]


@pytest.mark.parametrize("name", built_in_recipes())
def test_recipes_that_come_along_are_right_in_every_size(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.title == built_in_recipes()[name]
    for size in ("smoke", "study"):
        for is_rendered in (True, False):
            resolved, _ = resolve(recipe, size, is_rendered)  # type: ignore[arg-type]
            again = load_recipe(write(tmp_path, dump_recipe(resolved)))
            assert resolve(again, size, is_rendered)[0].stages == resolved.stages  # type: ignore[arg-type]


@pytest.mark.parametrize("name", built_in_recipes())
def test_the_text_of_a_recipe_is_a_recipe(name: str, tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, recipe_text(name))) == load_recipe(name)
    with pytest.raises(MienError, match=r"no recipe 'reel_time'\. Did you mean real_time"):
        recipe_text("reel_time")


def _put(path: str, value: Any) -> Callable[[Any], None]:
    """Set what stands below keys and numbers joined by dots."""

    def change(raw: Any) -> None:
        *way, last = path.split(".")
        for key in way:
            raw = raw[int(key)] if isinstance(raw, list) else raw.setdefault(key, {})
        raw[int(last) if isinstance(raw, list) else last] = value

    return change


SMOKE = "sizes.smoke.rendered"
FROZEN = {"data": "wild", "from": "package", "architecture": "mini_xception", "keep_classes": "frozen"}
OUTPUT = {"unfreeze": "output"}
MISTAKES: list[tuple[str, Any, str]] = [
    # Ensembles.
    ("ensembles.both.members", ["target", "dep"], r"ensembles\.both\.members: .*'dep'.*Did you mean deep"),
    ("ensembles.both.members", ["target"], r"ensembles.*length >= 2"),
    ("ensembles.both.members", ["deep", "deep"], r"ensembles\.both\.members: deep is named twice"),
    ("ensembles.both.members", ["deep", "mood"], r"ensembles\.both\.members: mood learns valence"),
    ("ensembles.both.members", ["deep", "folded"], r"members: folded and deep do not answer .* crops \(data\)"),
    ("ensembles.both.combine", "meen", r"ensembles\.both\.combine: .*'meen'.*Did you mean mean"),
    ("ensembles.deep", {"members": ["target", "deep"]}, r"ensembles\.deep: deep is a stage"),
    ("stages.deep.crop", {"margin": 0.3}, r"members: deep and target do not answer .* crops \(crop\)"),
    ("tables.0.rows.3.test", "japanese", r"tables\[0\]\.rows\[3\]\.test: .*'japanese'.*Known: wild"),
    ("trends.2.metric", "training_accuracy", r"trends\[2\]\.metric: both, .* has no training_accuracy"),
    ("trends.0.metric", "best_member_accuracy", r"trends\[0\]\.metric: deep, .* has no best_member_accuracy"),
    # Misspelt keys and words, in every layer.
    (
        "stages.target.optimiser.lerning_rate",
        1,
        r"stages\.target\.optimiser\.lerning_rate: .*Did you mean learning_rate",
    ),
    ("stags", {}, "stags: there is no key.*Did you mean stages"),
    ("every.epoch", 3, r"every\.epoch: .*Did you mean epochs"),
    ("sources.lab.split.kind", "fold", r"sources\.lab\.split\.kind: .*'fold'.*Did you mean folds"),
    ("tables.0.rows.1.stag", "x", r"tables\[0\]\.rows\[1\]\.stag: .*Did you mean stage"),
    ("sizes.smok", {}, r"sizes\.smok: .*Did you mean smoke"),
    ("sizes.smoke.real_", {}, r"sizes\.smoke\.real_: .*Did you mean real"),
    (
        f"{SMOKE}.every.optimiser",
        {"kimd": "sgd"},
        r"sizes\.smoke\.rendered\.every\.optimiser\.kimd: .*Did you mean kind",
    ),
    (f"{SMOKE}.stages.deep.epoch", 1, r"sizes\.smoke\.rendered\.stages\.deep\.epoch: .*Did you mean epochs"),
    (f"{SMOKE}.sources.lab.cout", 1, r"sizes\.smoke\.rendered\.sources\.lab\.cout: .*Did you mean count"),
    ("stages.target.unfreeze", "al", r"stages\.target\.unfreeze: .*'al'.*Did you mean all"),
    ("stages.target.center", {"weigth": 1}, r"stages\.target\.center\.weigth: .*Did you mean weight"),
    # Wrong types and ranges, in every layer.
    ("stages.target.epochs", 0, r"stages\.target\.epochs: 0 is wrong, expected `int` >= 1"),
    ("stages.target.epochs", 1.5, r"stages\.target\.epochs: 1\.5 is wrong, expected `int`"),
    ("every.epochs", "ten", r"every\.epochs: 'ten' is wrong, expected `int`, got `str`\. Correct it"),
    (
        "stages.target.optimiser.learning_rate",
        "fast",
        r"stages\.target\.optimiser\.learning_rate: 'fast' is wrong, expected `float`",
    ),
    ("stages.target.crop.margin", 3, r"stages\.target\.crop\.margin: 3\S* is wrong, expected `float` <= 2"),
    ("stages.target", 7, r"stages\.target: \d is wrong, expected `object`"),
    ("stages", [], "stages: Expected `object`, got `array`"),
    ("every", 3, r"every: \d is wrong, expected `object`"),
    ("every.dropout", 1, r"every\.dropout: 1 is wrong, expected `float` < 1"),
    ("stages.target.tests", "lab", r"stages\.target\.tests: 'lab' is wrong, expected `array`"),
    ("paper", 0, r"paper: 0 is wrong, expected `str`, got `int`\. Put it in quotes"),
    ("stages.Target", {"data": "wild"}, r"stages\.Target: '\w+' is wrong, expected `str` matching"),
    ("sources.1x", {}, r"sources\.1x: '\w+' is wrong, expected `str` matching"),
    ("tables.0.rows.0.published.accuracy", "x", r"tables\[0\]\.rows\[0\]\.published.*Expected `float`"),
    (f"{SMOKE}.every.epochs", -1, r"sizes\.smoke\.rendered\.every\.epochs: -1 is wrong, expected `int` >= 1"),
    (f"{SMOKE}.stages.deep", 3, r"sizes\.smoke\.rendered\.stages\.deep: \d is wrong, expected `object`"),
    (f"{SMOKE}.side", 8, r"sizes\.smoke\.rendered\.side: 8 is wrong, expected `int` >= 32"),
    # Unknown names.
    ("architecture", "resnet51", "architecture: there is no architecture 'resnet51'. Did you mean resnet50"),
    ("stages.deep.architecture", "resnet51", r"stages\.deep\.architecture: .*Did you mean resnet50"),
    ("stages.deep.data", "wlid", r"stages\.deep\.data: there is no source 'wlid'. Did you mean wild"),
    ("stages.target.tests", ["japanes"], r"stages\.target\.tests: .*Did you mean japanese"),
    ("stages.deep.from", "tarket", r"stages\.deep\.from: .*Did you mean target"),
    ("stages.deep.augmentation", "flop", r"stages\.deep\.augmentation: .*Did you mean flip"),
    ("sources.lab.real", "ck", r"sources\.lab\.real: there is no data set 'ck'"),
    ("sources.lab.rendered", "lab_c", r"sources\.lab\.rendered: there is no domain 'lab_c'. Did you mean lab_"),
    ("sources.lab.rendered", "lab_a:8-smal", r"sources\.lab\.rendered: there is no selection .*Did you mean 8-small"),
    ("sources.lab.more", ["japan"], r"sources\.lab\.more: .*Did you mean japanese"),
    ("sources.lab.classes", ["happiness", "angry"], r"sources\.lab\.classes: .*Did you mean anger"),
    ("tables.0.metrics", ["acuracy"], r"tables\[0\]\.metrics: .*Did you mean accuracy"),
    ("tables.0.rows.0.stage", "targt", r"tables\[0\]\.rows\[0\]\.stage: .*Did you mean target"),
    ("tables.0.rows.0.published", {"macro_recall": 1}, r"tables\[0\]\.rows\[0\]\.published: .*'macro_recall'"),
    ("tables.0.rows.1.gap_to", "Tagret", r"tables\[0\]\.rows\[1\]\.gap_to: .*Did you mean Target"),
    ("tables.0.rows.1.test", "wild2", r"tables\[0\]\.rows\[1\]\.test: .*Did you mean wild"),
    ("trends.0.first.test", "lab", r"trends\[0\]\.first\.test: there is no test of deep 'lab'"),
    ("trends.0.metric", "acc", r"trends\[0\]\.metric: there is no metric 'acc'"),
    ("trends.1.second_metric", "valence_rms", r"trends\[1\]\.second_metric: .*Did you mean valence_rmse"),
    (f"{SMOKE}.stages.deeep", {}, r"sizes\.smoke\.rendered\.stages\.deeep: .*Did you mean deep"),
    (f"{SMOKE}.sources.labb", {}, r"sizes\.smoke\.rendered\.sources\.labb: .*Did you mean lab"),
    (f"{SMOKE}.leave_out", ["fold"], r"sizes\.smoke\.rendered\.leave_out: .*Did you mean folded"),
    # What cannot be.
    ("stages.faces.from", "deep", r"stages\.\w+\.from: stages start from each other in a circle, .*deep"),
    ("stages.faces.from", "faces", r"stages\.faces\.from: .* circle, faces → faces"),
    ("stages.deep.architecture", "alexnet", r"stages\.deep\.from: target is a resnet50, from which a alexnet cannot"),
    ("stages.mood.from", "folded", r"stages\.mood\.from: folded has one network for each fold of lab"),
    ("stages.deep.tests", ["lab"], r"stages\.deep\.tests: lab has folds"),
    (
        "stages.deep.replace",
        ["conv9"],
        r"stages\.deep\.replace: there is no part of resnet50 'conv9'. Did you mean conv",
    ),
    ("stages.deep.unfreeze", 6, r"stages\.deep\.unfreeze: 6, but resnet50 has 5 parts"),
    (
        f"{SMOKE}.stages.deep.replace",
        ["conv7"],
        r"with sizes\.smoke\.rendered, stages\.deep\.replace: .*mobilenet_v1_48",
    ),
    ("stages.target.loss", "mse", r"stages\.target\.loss: mse is for valence and arousal"),
    ("stages.mood.loss", "cross_entropy", r"stages\.mood\.loss: cross_entropy is for classes"),
    ("stages.deep.target", "affect", r"stages\.deep\.loss: cross_entropy is for classes.*mse or ccc"),
    ("stages.mood.loss", "l1", r"stages\.mood\.loss: l1 is for landmarks, not for valence"),
    ("stages.mood.target", "landmarks", r"stages\.mood\.loss: ccc is not for landmarks"),
    (
        "stages.mood",
        {"data": "wild", "target": "landmarks", "loss": "l1", "crop": {"kind": "uncropped"}},
        r"stages\.mood\.crop: landmarks are learned in crops",
    ),
    (
        "stages.mood",
        {"data": "wild", "target": "landmarks", "loss": "laplace", "center": {}},
        r"stages\.mood\.center: the target landmarks has no classes",
    ),
    ("stages.target.distil", {"teacher": "mini_xceptoin"}, r"stages\.target\.distil\.teacher: .*mean mini_xception\?"),
    ("stages.target.distil", {"teacher": "mobilenet_v2"}, r"stages\.target\.distil\.teacher: .*, expression_pair$"),
    ("stages.target.distil", {"weight": -1}, r"stages\.target\.distil\.weight: -1 is wrong"),
    ("stages.faces.distil", {}, r"stages\.faces\.distil: it is for expressions, not for identity"),
    ("stages.mood.calibrate", True, r"stages\.mood\.calibrate: it is for expressions, not for valence"),
    ("stages.folded.calibrate", True, r"stages\.folded\.calibrate: .*lab has no validation part"),
    ("stages.target.keep_classes", True, r"stages\.target\.keep_classes: what it starts from \(faces\) knows no"),
    (
        "stages.mood",
        {"data": "wild", "keep_classes": True},
        r"stages\.mood\.keep_classes: what it starts from \(nothing\) knows no",
    ),
    (
        "stages.target",
        {"data": "wild", "from": "package", "keep_classes": True},
        r"stages\.target\.keep_classes: what it starts from \(package of resnet50\) knows no expressions",
    ),
    ("stages.target", FROZEN, r"stages\.target\.keep_classes: what other layers learn changes what is said"),
    ("stages.target", FROZEN | OUTPUT | {"replace": ["conv1"]}, r"stages\.target\.keep_classes: what other layers"),
    (
        "stages.target",
        FROZEN | OUTPUT | {"optimiser": {"weight_decay": 0.1}},
        r"keep_classes: weight decay changes fro",
    ),
    ("stages.deep.average", "mood", r"stages\.deep\.average: there is no stage before it 'mood'"),
    ("stages.deep.average", "faces", r"stages\.deep\.average: faces has another data"),
    ("stages.faces.average", "target", r"stages\.faces\.average: faces starts from no stage"),
    (
        "stages.deep",
        {"from": "target", "data": "wild", "average": "target", "head": "target"},
        r"stages\.deep\.average: stages\.deep\.head takes layers of another stage already",
    ),
    (
        "stages.deep",
        {"from": "target", "data": "wild", "average": "target", "distil": {}},
        r"stages\.deep\.distil: averaged weights learn nothing more",
    ),
    ("trends.0.metric", "teacher_agreement", r"trends\[0\]\.metric: deep, .* has no teacher_agreement"),
    ("stages.mood.center", {}, r"stages\.mood\.center: the target valence has no classes"),
    ("stages.mood.balance", {"kind": "up"}, r"stages\.mood\.balance: the target valence has no classes"),
    ("stages.deep.data", "japanese", r"stages\.deep\.schedule\.kind: .*japanese has no validation part"),
    ("sources.people.split.by_person", True, r"stages\.faces\.target: nobody in the test part of people"),
    (
        "stages.faces.stop_after",
        3,
        r"stages\.faces\.stop_after: .*people has no validation part.*sources\.people\.split",
    ),
    ("stages.faces.schedule.kind", "plateau", r"stages\.faces\.schedule\.kind: .*no validation part"),
    (
        "sources.wild.split",
        {"kind": "everything", "validation": 0.1},
        r"stages\.target\.schedule\.kind: .*no validation",
    ),
    ("sources.lab.split.folds", 1, r"sources\.lab\.split\.folds: 1 fold"),
    ("sources.lab.split", {"kind": "folds"}, r"sources\.lab\.split\.folds: there is no number"),
    ("sources.people.split.test", 0, r"sources\.people\.split\.test: there is no test part"),
    ("sources.lab.classes", ["fear"], r"sources\.lab\.classes: fear. Name two or more"),
    ("sources.lab.more", ["lab"], r"sources\.lab\.more: lab is joined to others itself"),
    ("stages.deep.from", "checkpoint", r"stages\.deep\.from: .*Did you mean checkpoint:PATH"),
    ("sizes.smoke", 3, r"sizes\.smoke: \d is wrong, expected `object`"),
    (f"{SMOKE}.stages", 3, r"sizes\.smoke\.rendered\.stages: \d is wrong, expected `object`"),
    ("trends.0.metric", "valence_ccc", r"trends\[0\]\.metric: deep, which learns expression, has no valence_ccc"),
    ("trends.1.metric", "accuracy", r"trends\[1\]\.metric: mood, which learns valence, has no accuracy"),
    ("tables.0.rows.1.name", "Target", r"tables\[0\]\.rows\[1\]\.name: there is another row 'Target'"),
    ("stages.package", {"data": "wild"}, r"stages\.package: package is no name of a stage"),
    (f"{SMOKE}.leave_out", ["faces"], "with sizes.smoke.rendered, stages: there is none"),
    ("stages", {}, "stages: there is none"),
]


@pytest.mark.parametrize(("path", "value", "message"), MISTAKES, ids=lambda value: str(value)[:40])
def test_each_mistake_is_named_by_file_and_key_with_a_remedy(
    tmp_path: Path, path: str, value: Any, message: str
) -> None:
    with pytest.raises(MienError, match=message) as caught:
        load(tmp_path, _put(path, value))
    assert caught.value.problem.count(str(tmp_path / "own.yaml")) == 1
    assert caught.value.remedy


def test_nothing_is_tested_on_all_that_it_was_trained_on(tmp_path: Path) -> None:
    def change(raw: Any) -> None:
        raw["stages"]["deep"] = {"data": "japanese", "schedule": {"kind": "constant"}}
        raw["ensembles"]["both"]["members"] = ["target", "wide"]
        raw["stages"]["wide"] = {"data": "wild"}

    with pytest.raises(MienError, match=r"rows\[2\]\.test: .*everything in japanese"):
        load(tmp_path, change)


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "holds no recipe"),
    "list": (b"- a", "holds no recipe"),
    "twice": (b"name: a\ntitle: b\nname: c", r"own\.yaml, line 3: the key name is there twice"),
    "twice inside": (b"name: a\nstages:\n  a: {data: b, data: c}", r"own\.yaml, line 3: the key data is there twice"),
    "no yaml": (b"name: [", r"own\.yaml, line 1: "),
    "tab": (b"name: a\n\tb: c", r"own\.yaml, line 2: "),
    "object": (b"name: !!python/object:os.system {}", r"own\.yaml, line 1: could not determine a constructor"),
    "binary": (bytes(range(256)), r"own\.yaml is not yaml"),
    "circle": (b"stages: &a {<<: *a}", r"own\.yaml"),
    "deep": (b"[" * 5000, r"own\.yaml is not yaml"),
    "list as a key": (b"? [a, b]\n: c", r"own\.yaml, line 1: "),
    "number as a key": (b"1: a", "1: there is no key '1'"),
    "names missing": (b"name: a", "missing required field"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_recipe_is_named_with_its_line(tmp_path: Path, case: str) -> None:
    content, message = FILES[case]
    (tmp_path / "own.yaml").write_bytes(content)
    with pytest.raises(MienError, match=message) as caught:
        load_recipe(str(tmp_path / "own.yaml"))
    assert caught.value.problem.count("own.yaml") == 1


def test_a_recipe_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"missing\.yaml does not exist"):
        load_recipe(str(tmp_path / "missing.yaml"))
    with pytest.raises(MienError, match=r"There is no recipe 'cross_domian'. Did you mean cross_domain"):
        load_recipe("cross_domian")
    with pytest.raises(MienError, match="cannot be read"):
        load_recipe(str(tmp_path))


def _save(folder: Path, architecture: str) -> None:
    network = build_network(architecture, Outputs(labels=("a", "b")), seed=0)
    card = Card(
        architecture=architecture,
        image_side=network.input.width,
        outputs=network.outputs,
        crop=CropSpec("box"),
        detector="yunet",
        input=network.input,
        embedding_size=network.architecture.embedding_size,
    )
    save_checkpoint(folder, network, card)


def test_a_chain_from_a_checkpoint_is_checked_before_it_runs(tmp_path: Path) -> None:
    def start(raw: Any) -> None:
        raw["stages"]["faces"]["from"] = f"checkpoint:{tmp_path / 'learned'}"

    recipe = load(tmp_path, start)
    with pytest.raises(MienError, match=r"own, stages\.faces\.from: .*learned holds no checkpoint"):
        resolve(recipe, "smoke", is_rendered=True)
    with pytest.raises(MienError, match=r"^own\.yaml, stages\.faces\.from: .*learned holds no checkpoint"):
        resolve(recipe, "smoke", is_rendered=True, file="own.yaml")
    _save(tmp_path / "learned", "mobilenet_v1_48_w025")
    resolve(recipe, "smoke", is_rendered=True)
    with pytest.raises(MienError, match=r"stages\.faces\.from: .*is of a mobilenet_v1_48_w025, .* a resnet50 cannot"):
        resolve(recipe, "study", is_rendered=True)
