"""What a recipe must hold to: every name known, every chain of stages possible, every figure one that there will be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from mien.bundle import CANONICAL_LABELS
from mien.errors import MienError
from trainer.data.augmentation import PRESETS
from trainer.data.catalogue import ENTRIES
from trainer.data.face_parts import FACE_PARTS
from trainer.data.sets.ck_plus import SELECTIONS
from trainer.data.synthetic.domains import DOMAINS, is_domain
from trainer.models import ARCHITECTURES
from trainer.models.weights import KNOWN_EXPRESSIONS
from trainer.stages.recipe import Arm, Ensemble, Recipe, Row, Source, Split, Stage, Table, Trend

STARTS = ("nothing", "package", "torchvision")
"""What a stage may start from, beside other stages and checkpoints."""
_TAKEN = ("head", "average")
"""Settings that name a stage whose layers are taken."""

CLASS_METRICS = (
    "training_accuracy",
    *("accuracy", "macro_precision", "macro_recall", "macro_f1", "mean_over_people", "calibration_error"),
    "neutral_called_negative",
)
TEACHER_METRICS = ("teacher_agreement", "teacher_accuracy", "teacher_neutral_called_negative")
"""Of stages with `distil`."""
VALUE_METRICS = {
    value: tuple(f"{value}_{error}" for error in ("rmse", "ccc", "rmse_of_mean")) for value in ("valence", "arousal")
}
LANDMARK_METRICS = tuple(
    f"{which}landmark_error" for which in ("", "visible_", *(f"{part}_" for part in FACE_PARTS), "training_")
)
"""Mean distance over that of the eyes; of one part, where all are learned."""
COST_METRICS = (
    "training_loss",
    "images_seen",
    "seconds",
    "seconds_per_epoch",
    "epochs",
    "chain_images_seen",
    "chain_seconds",
    "parameters",
    "macs",
)
ENSEMBLE_METRICS = ("best_member_accuracy", "mean_member_accuracy")
_OF_TRAINING = ("training_accuracy", "training_loss")
"""What an ensemble, which is not trained, has not."""
METRICS = (
    *(*CLASS_METRICS, *TEACHER_METRICS, *ENSEMBLE_METRICS),
    *(*VALUE_METRICS["valence"], *VALUE_METRICS["arousal"], *LANDMARK_METRICS),
    *COST_METRICS,
)
"""Figures of `StageResult` and `TestResult`, which tables and trends may name."""


def check_known(key: str, name: str, known: Iterable[str], what: str) -> None:
    """Check that a name is known.

    Raises:
        MienError: it is not; the remedy names the closest one and all there are.
    """
    names = list(known)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise MienError(
            f"{key}: there is no {what} {name!r}" if key else f"There is no {what} {name!r}",
            f"{hint}Known: {', '.join(names) or 'none'}",
        )


def in_order(stages: Mapping[str, Stage]) -> dict[str, Stage]:
    """The stages, each after the one it starts from, otherwise as they stand.

    Raises:
        MienError: stages start from each other in a circle.
    """
    ordered: dict[str, Stage] = {}
    for name in stages:
        chain: list[str] = []
        while name in stages and name not in ordered:
            if name in chain:
                circle = " → ".join([name, *chain[: chain.index(name) : -1], name])
                raise MienError(
                    f"stages.{name}.from: stages start from each other in a circle, {circle}",
                    "Let one of them start from nothing, package, torchvision or another stage",
                )
            chain.append(name)
            name = stages[name].start
        ordered.update((link, stages[link]) for link in reversed(chain))
    return ordered


def check_recipe(recipe: Recipe, stages: Mapping[str, Stage]) -> None:
    """Check what types cannot say.

    Args:
        recipe: whose stages are in order.
        stages: these, and those that are left out, which tables and trends may name.

    Raises:
        MienError: key and remedy are named.
    """
    check_known("architecture", recipe.architecture, ARCHITECTURES, "architecture")
    if not recipe.stages:
        raise MienError("stages: there is none to be run", "Name at least one, or leave fewer out")
    for name, source in recipe.sources.items():
        _check_source(f"sources.{name}", source, recipe.sources)
    for name, stage in recipe.stages.items():
        _check_stage(f"stages.{name}", name, stage, recipe)
    for name, ensemble in recipe.ensembles.items():
        _check_ensemble(f"ensembles.{name}", name, ensemble, stages)
    for number, table in enumerate(recipe.tables):
        _check_table(f"tables[{number}]", table, stages, recipe)
    for number, trend in enumerate(recipe.trends):
        _check_trend(f"trends[{number}]", trend, stages, recipe)


def _check_source(key: str, source: Source, sources: Mapping[str, Source]) -> None:
    check_known(f"{key}.real", source.real, ENTRIES, "data set")
    domain, colon, selection = source.rendered.partition(":")
    if not is_domain(domain):
        check_known(f"{key}.rendered", domain, DOMAINS, "domain")
    if colon:
        check_known(f"{key}.rendered", selection, SELECTIONS, "selection of frames")
    for other in source.more:
        check_known(f"{key}.more", other, sources, "source")
        if sources[other].more:
            raise MienError(f"{key}.more: {other} is joined to others itself", "Name each source to be joined here")
    if source.classes is not None:
        for label in source.classes:
            check_known(f"{key}.classes", label, CANONICAL_LABELS, "expression")
        if len(set(source.classes)) != len(source.classes) or len(source.classes) < 2:
            raise MienError(f"{key}.classes: {', '.join(source.classes)}", "Name two or more classes, each once")
    _check_split(f"{key}.split", source.split)


def _check_split(key: str, split: Split) -> None:
    if split.kind == "holdout" and not split.test:
        raise MienError(f"{key}.test: there is no test part", "Give it a share above 0")
    if split.kind == "folds" and split.folds == 1:
        raise MienError(f"{key}.folds: 1 fold leaves nothing to train on", "Give 2 or more, or 0 for one per person")
    if split.kind == "folds" and not split.folds and not split.by_person:
        raise MienError(
            f"{key}.folds: there is no number of folds", "Give one, or set by_person: true for one per person"
        )


def _check_stage(key: str, name: str, stage: Stage, recipe: Recipe) -> None:
    check_known(f"{key}.data", stage.data, recipe.sources, "source")
    for test in stage.tests:
        check_known(f"{key}.tests", test, recipe.sources, "source")
        if test != stage.data and recipe.sources[test].split.kind == "folds":
            raise MienError(
                f"{key}.tests: {test} has folds, each with a test part of its own, for its own stages",
                "Add a source of the same data with split: {kind: everything}, and test on that",
            )
    check_known(f"{key}.augmentation", stage.augmentation, PRESETS, "augmentation")
    if stage.architecture is not None:
        check_known(f"{key}.architecture", stage.architecture, ARCHITECTURES, "architecture")
    _check_start(key, name, stage, recipe)
    _check_parts(key, stage, _architecture(stage, recipe))
    _check_target(key, stage, recipe.sources[stage.data].split)
    _check_expressions(key, stage, recipe)
    _check_validation(key, stage, recipe.sources[stage.data].split)


def _architecture(stage: Stage, recipe: Recipe) -> str:
    return stage.architecture or recipe.architecture


def _check_start(key: str, name: str, stage: Stage, recipe: Recipe) -> None:
    if name in STARTS:
        raise MienError(f"{key}: {name} is no name of a stage but a start", "Give the stage another name")
    if stage.start.startswith("checkpoint:"):
        return
    check_known(f"{key}.from", stage.start, [*STARTS, "checkpoint:PATH", *recipe.stages], "stage or start")
    start = recipe.stages.get(stage.start)
    if start is None:
        for setting in (setting for setting in _TAKEN if getattr(stage, setting)):
            raise MienError(
                f"{key}.{setting}: {name} starts from no stage", f"Name the one that it starts from, or no {setting}"
            )
        return
    _check_taken(key, stage, recipe)
    own, others = _architecture(stage, recipe), _architecture(start, recipe)
    if own != others:
        raise MienError(
            f"{key}.from: {stage.start} is a {others}, from which a {own} cannot start",
            "Give both the same architecture, or another start",
        )
    if recipe.sources[start.data].split.kind == "folds" and stage.data != start.data:
        raise MienError(
            f"{key}.from: {stage.start} has one network for each fold of {start.data}, so which one is not clear",
            f"Train {name} on {start.data} too, or {stage.start} on a source without folds",
        )


def _check_taken(key: str, stage: Stage, recipe: Recipe) -> None:
    """Whether the layers that are taken from another stage tell what the stage tells."""
    if stage.is_trained:
        return
    if stage.head and stage.average:
        raise MienError(f"{key}.average: {key}.head takes layers of another stage already", "Leave out one of the two")
    setting = "head" if stage.head else "average"
    name = getattr(stage, setting)
    passed, start = [], stage.start
    while start in recipe.stages:
        passed.append(start)
        start = recipe.stages[start].start
    check_known(f"{key}.{setting}", name, passed, "stage before it")
    other = recipe.stages[name]
    for what in ("data", "target", "points", "loss"):
        if getattr(other, what) != getattr(stage, what):
            raise MienError(
                f"{key}.{setting}: {name} has another {what}, so its layers do not fit",
                f"Give both the same {what}",
            )


def _check_parts(key: str, stage: Stage, architecture: str) -> None:
    parts = ARCHITECTURES[architecture].parts(stage.points if stage.target == "landmarks" else "")
    for part in stage.replace:
        check_known(f"{key}.replace", part, parts, f"part of {architecture}")
    if isinstance(stage.unfreeze, int) and stage.unfreeze >= len(parts):
        raise MienError(
            f"{key}.unfreeze: {stage.unfreeze}, but {architecture} has {len(parts) - 1} parts before its output",
            "Give a smaller number, or all",
        )


def _check_target(key: str, stage: Stage, split: Split) -> None:
    """Whether loss, crop, balance and split fit what is learned."""
    if stage.target == "landmarks":
        if stage.loss not in ("l1", "laplace"):
            raise MienError(f"{key}.loss: {stage.loss} is not for landmarks", "Set loss: l1 or laplace")
        if stage.crop.kind == "uncropped":
            raise MienError(f"{key}.crop: landmarks are learned in crops of the face", "Set crop: {kind: box}")
    elif stage.loss in ("l1", "laplace"):
        raise MienError(
            f"{key}.loss: {stage.loss} is for landmarks, not for {stage.target}",
            "Set another loss, or target: landmarks",
        )
    elif stage.target in ("expression", "identity", "category"):
        if stage.loss != "cross_entropy":
            raise MienError(
                f"{key}.loss: {stage.loss} is for valence and arousal, not for {stage.target}",
                "Set loss: cross_entropy, or another target",
            )
    elif stage.loss == "cross_entropy":
        raise MienError(
            f"{key}.loss: cross_entropy is for classes, the target {stage.target} needs one for values",
            "Set loss: mse or ccc; classes beside valence and arousal have cross entropy anyway",
        )
    if stage.target in (*VALUE_METRICS, "landmarks"):
        for part, is_there in (("center", stage.center is not None), ("balance", stage.balance.kind != "none")):
            if is_there:
                raise MienError(f"{key}.{part}: the target {stage.target} has no classes", "Leave it out")
    if stage.target == "identity" and split.by_person:
        raise MienError(
            f"{key}.target: nobody in the test part of {stage.data} is in its training part, so none can be known",
            "Train on a source whose split is not by_person",
        )


def _check_expressions(key: str, stage: Stage, recipe: Recipe) -> None:
    """Whether what is said of the classes' own knowledge fits target and start."""
    wanted = {"keep_classes": stage.keep_classes, "distil": stage.distil is not None, "calibrate": stage.calibrate}
    for name in (name for name, is_wanted in wanted.items() if is_wanted):
        if stage.target not in ("expression", "affect"):
            raise MienError(f"{key}.{name}: it is for expressions, not for {stage.target}", "Leave it out")
        if stage.head:
            raise MienError(f"{key}.{name}: with the head of another stage nothing is learned", "Leave it out")
    if stage.distil is not None:
        if stage.average and stage.distil.weight:
            raise MienError(f"{key}.distil: averaged weights learn nothing more", "Set its weight to 0")
        check_known(f"{key}.distil.teacher", stage.distil.teacher, KNOWN_EXPRESSIONS, "teacher")
    if stage.keep_classes and "output" in stage.replace:
        raise MienError(f"{key}.keep_classes: {key}.replace lets the output start anew", "Leave out one of the two")
    if stage.keep_classes == "frozen" and stage.optimiser.weight_decay:
        raise MienError(
            f"{key}.keep_classes: weight decay changes frozen classes too",
            "Leave out optimiser.weight_decay, or set keep_classes: true",
        )
    if stage.keep_classes == "frozen" and (stage.unfreeze != "output" or stage.replace):
        raise MienError(
            f"{key}.keep_classes: what other layers learn changes what is said of frozen classes",
            "Set unfreeze: output and leave out replace, or set keep_classes: true",
        )
    if stage.keep_classes and not _knows_expressions(stage, recipe):
        origin = f"package of {_architecture(stage, recipe)}" if stage.start == "package" else stage.start
        raise MienError(
            f"{key}.keep_classes: what it starts from ({origin}) knows no expressions",
            f"Leave it out, or start from a stage that learns some, or the package of {', '.join(KNOWN_EXPRESSIONS)}",
        )


def _knows_expressions(stage: Stage, recipe: Recipe) -> bool:
    """Whether what a stage starts from tells expressions; of a checkpoint its card says so, once it is read."""
    if stage.start in recipe.stages:
        return recipe.stages[stage.start].target in ("expression", "affect")
    if stage.start == "package":
        return _architecture(stage, recipe) in KNOWN_EXPRESSIONS
    return stage.start.startswith("checkpoint:")


def _check_validation(key: str, stage: Stage, split: Split) -> None:
    has_one = split.kind in ("official", "per_class") or (split.kind in ("holdout", "folds") and split.validation > 0)
    for part, needs_one in (
        ("stop_after", stage.stop_after > 0),
        ("schedule.kind", stage.schedule.kind == "plateau"),
        ("calibrate", stage.calibrate),
    ):
        if needs_one and not has_one:
            raise MienError(
                f"{key}.{part}: it needs one, but {stage.data} has no validation part",
                f"Give sources.{stage.data}.split a share as validation, or train without",
            )


def _check_ensemble(key: str, name: str, ensemble: Ensemble, stages: Mapping[str, Stage]) -> None:
    if name in (*STARTS, *stages):
        raise MienError(f"{key}: {name} is a {'start' if name in STARTS else 'stage'}", "Give it another name")
    for member in ensemble.members:
        check_known(f"{key}.members", member, stages, "stage")
        if ensemble.members.count(member) > 1:
            raise MienError(f"{key}.members: {member} is named twice", "Name each stage once")
        if stages[member].target != "expression":
            raise MienError(
                f"{key}.members: {member} learns {stages[member].target}, but only expressions are combined",
                "Name stages whose target is expression",
            )
        for setting in ("data", "crop", "detector", "contrast", "landmarks"):
            if getattr(stages[member], setting) != getattr(stages[ensemble.members[0]], setting):
                raise MienError(
                    f"{key}.members: {member} and {ensemble.members[0]} do not answer on the same crops ({setting})",
                    f"Give both the same {setting}",
                )


def _check_table(key: str, table: Table, stages: Mapping[str, Stage], recipe: Recipe) -> None:
    for metric in table.metrics:
        check_known(f"{key}.metrics", metric, METRICS, "metric")
    names = [row.name for row in table.rows]
    for number, row in enumerate(table.rows):
        place = f"{key}.rows[{number}]"
        _check_test(place, row, table.metrics, stages, recipe)
        for metric in row.published:
            check_known(f"{place}.published", metric, table.metrics, "metric of this table")
        if row.gap_to:
            check_known(f"{place}.gap_to", row.gap_to, names, "row")
        if row.name in names[:number]:
            raise MienError(f"{place}.name: there is another row {row.name!r}", "Give each row a name of its own")


def _check_trend(key: str, trend: Trend, stages: Mapping[str, Stage], recipe: Recipe) -> None:
    second_metric = trend.second_metric or trend.metric
    sides = (
        ("first", trend.first, "metric", trend.metric),
        ("second", trend.second, "second_metric" if trend.second_metric else "metric", second_metric),
    )
    for side, arm, name, metric in sides:
        _check_test(f"{key}.{side}", arm, (metric,), stages, recipe)
        check_known(f"{key}.{name}", metric, METRICS, "metric")
        target, known = stages[recipe.members(arm.stage)[0]].target, _metrics(arm.stage, stages, recipe)
        if metric not in known:
            raise MienError(
                f"{key}.{name}: {arm.stage}, which learns {target}, has no {metric}",
                f"Choose from: {', '.join(known)}",
            )


def _check_test(key: str, arm: Row | Arm, metrics: Iterable[str], stages: Mapping[str, Stage], recipe: Recipe) -> None:
    """Whether the stage or ensemble is there and tested there, on pictures that it was not trained on."""
    check_known(f"{key}.stage", arm.stage, [*stages, *recipe.ensembles], "stage")
    members = [stages[member] for member in recipe.members(arm.stage)]
    data = members[0].data
    tests = [test for test in members[0].tests if all(test in member.tests for member in members)]
    test = arm.test or data
    check_known(f"{key}.test", test, [data, *tests], f"test of {arm.stage}")
    is_tested = any(metric not in ("training_accuracy", "training_landmark_error", *COST_METRICS) for metric in metrics)
    if is_tested and test == data and recipe.sources[test].split.kind == "everything":
        raise MienError(
            f"{key}.test: {arm.stage} is trained on everything in {test}, so it cannot be tested on it",
            f"Name a test of {arm.stage}: {', '.join(tests) or 'it has none yet'}",
        )


def _metrics(name: str, stages: Mapping[str, Stage], recipe: Recipe) -> tuple[str, ...]:
    """Figures of a stage or an ensemble."""
    if name in recipe.ensembles:
        return tuple(m for m in (*CLASS_METRICS, *ENSEMBLE_METRICS, *COST_METRICS) if m not in _OF_TRAINING)
    target = stages[name].target
    if target == "landmarks":
        return (*LANDMARK_METRICS, *COST_METRICS)
    values = [name for name in VALUE_METRICS if target in (name, "affect")]
    classes = () if target in VALUE_METRICS else CLASS_METRICS
    taught = TEACHER_METRICS if stages[name].distil else ()
    return (*classes, *taught, *(metric for name in values for metric in VALUE_METRICS[name]), *COST_METRICS)
