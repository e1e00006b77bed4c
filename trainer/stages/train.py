"""One job: a network starts somewhere, learns one part of a source, is tested, and is kept."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple, cast

import msgspec
import numpy as np
from lightning_fabric import Fabric

from trainer.data.batches import Batches, Examples
from trainer.data.output import output_errors
from trainer.data.splits import in_words
from trainer.evaluate.predictions import Training, figures
from trainer.losses import Criterion
from trainer.models import Network, Outputs, build_network
from trainer.models.counting import count
from trainer.models.teacher import load_teacher
from trainer.models.transfer import freeze_classes, replace_parts, unfreeze
from trainer.models.weights import KNOWN_EXPRESSIONS, StartWeights, load_start_weights
from trainer.stages.answers import answer
from trainer.stages.calibrate import calibrate
from trainer.stages.checkpoint import Card, Step, average_with, save_checkpoint, start_from, take_head, write_card
from trainer.stages.fit import fit, remove_state
from trainer.stages.job_result import JobResult, JobTest, answers_file, write_job
from trainer.stages.jobs import Job, Trained
from trainer.stages.material import Material
from trainer.stages.recipe import Balance, Recipe, Stage
from trainer.stages.result import Epoch

_EXPRESSIONS = ("expression", "affect")


def train_job(
    job: Job, recipe: Recipe, material: Material, fabric: Fabric, folder: Path, tell: Callable[[Trained], None]
) -> None:
    """Do a job, or go on with it; in the end everything it gives is in its own folder.

    Args:
        job: stage, seed and fold.
        recipe: as it is run.
        material: its data.
        fabric: of the processes that train together; the first one writes.
        folder: of the run.
        tell: of the training.

    Raises:
        MienError: the data or the start cannot be had, the training fails, or the disk is full.
    """
    stage, own = recipe.stages[job.stage], folder / job.place
    with output_errors(own):
        own.mkdir(parents=True, exist_ok=True)
    part = material.part(job.stage, job.seed, job.fold or 0)
    seed = _seed_of_member(job.seed, stage.member)
    batches = _batches(part.train, stage, seed, fabric, is_training=True)
    validation = _batches(part.validation, stage, seed, fabric) if len(part.validation) else None

    architecture = stage.architecture or recipe.architecture
    network = build_network(architecture, part.outputs, seed, stage.dropout, contrast=stage.input_contrast)
    past = _start(network, job, recipe, folder)
    replace_parts(network, stage.replace, seed)
    if stage.head:
        take_head(network, folder / _before(job, stage.head).place)
    if stage.average:
        average_with(network, folder / _before(job, stage.average).place)
    trained = unfreeze(network, stage.unfreeze) if stage.is_trained else 0.0
    calibrated_on = validation if stage.calibrate else None
    temperature = 1.0
    if stage.keep_classes == "frozen":
        freeze_classes(network, past.labels)
        # What is learned beside them has to be of their scale as it will be in the end.
        temperature = calibrate(network, calibrated_on, fabric) if calibrated_on is not None else 1.0
    teacher = load_teacher(stage.distil.teacher, network) if stage.distil else None
    criterion = Criterion(stage, part.outputs, network.feature_size, batches.class_weights, teacher)

    def part_of_epoch(done: int, total: int) -> None:
        tell(done / total)

    epochs = (
        fit(network, criterion, batches, validation, stage, fabric, own, seed, tell, part_of_epoch)
        if stage.is_trained
        else []
    )
    temperature *= calibrate(network, calibrated_on, fabric) if calibrated_on is not None else 1.0
    taught = teacher.weights if teacher is not None and stage.distil and stage.distil.weight else None
    step = _step(job, recipe, material.lineage_name(stage.data), part.train, epochs)
    step = msgspec.structs.replace(step, teacher=taught.lineage if taught else "", temperature=temperature)
    card = _card(network, stage, past, step, taught)
    if fabric.is_global_zero:  # before the tests: whatever becomes of them, the network is there
        card = save_checkpoint(own, network, card)

    tests = {stage.data: part.test}
    tests |= {source: material.test(job.stage, source, part.outputs.labels, job.seed) for source in stage.tests}
    answers = {source: answer(network, examples, fabric, job.fold or 0, teacher) for source, examples in tests.items()}
    if fabric.is_global_zero:
        training = _training(part.train, part.validation, part.outputs)
        for source, given in answers.items():
            given.save(answers_file(own, source))
        measured = figures(answers[stage.data], [training] * (1 + (job.fold or 0)))
        write_card(own, msgspec.structs.replace(card, figures={**measured}))
        used = {
            "train": batches.class_counts if stage.target in _EXPRESSIONS else {"pictures": batches.pictures},
            "validation": _counts(part.validation, stage),
            "test": _counts(part.test, stage),
        }
        tested = {
            source: JobTest(examples.source, in_words(recipe.sources[source].split), examples.left_out)
            for source, examples in tests.items()
        }
        write_job(own, _result(network, card, trained, training, used, epochs, tested))
        remove_state(own)
    fabric.barrier()


def _before(job: Job, stage: str) -> Job:
    """Of the jobs that a job has come from, that of a stage."""
    while job.start is not None and job.stage != stage:
        job = job.start
    return job


def _seed_of_member(seed: int, member: int) -> int:
    """The repetition's own for the first of an ensemble of equals, others for the others."""
    return int(np.random.SeedSequence(seed, spawn_key=(member,)).generate_state(1)[0]) if member else seed


def _batches(examples: Examples, stage: Stage, seed: int, fabric: Fabric, is_training: bool = False) -> Batches:
    """This process's share of a part."""
    shown = (stage.augmentation, stage.balance) if is_training else ("none", Balance())
    shares = fabric.global_rank, fabric.world_size
    return Batches(examples, stage.batch_size, *shown, seed, *shares, is_training, fabric.device)


class _Past(NamedTuple):
    """What was learned before this job: lineage of the first weights, the steps since, their terms, and classes."""

    weights: str = ""
    steps: tuple[Step, ...] = ()
    licences: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


def _start(network: Network, job: Job, recipe: Recipe, folder: Path) -> _Past:
    """Give a network the weights that its stage starts from."""
    stage = recipe.stages[job.stage]
    start = stage.start
    if start == "nothing":
        return _Past()
    if start in ("package", "torchvision"):
        origin = cast(Literal["package", "torchvision"], start)
        weights = load_start_weights(network, origin, bool(stage.keep_classes))
        labels = KNOWN_EXPRESSIONS.get(network.architecture.name, ())
        return _Past(weights.lineage, licences=(weights.terms,), labels=labels)
    origin_folder = folder / job.start.place if job.start else Path(start.removeprefix("checkpoint:"))
    card = start_from(network, origin_folder, bool(stage.keep_classes))
    return _Past(card.weights, card.lineage, card.licences, card.outputs.labels)


def _training(train: Examples, validation: Examples, outputs: Outputs) -> Training:
    people = np.concatenate([train.people, validation.people])
    means: dict[str, float] = {name: float(np.nanmean(getattr(train, name))) for name in outputs.affect}
    return Training(np.unique(people).tolist() if (people != "").all() else None, means)


def _step(job: Job, recipe: Recipe, data: str, train: Examples, epochs: list[Epoch]) -> Step:
    stage = recipe.stages[job.stage]
    people = np.unique(train.people)
    return Step(
        stage=job.stage,
        source=stage.data,
        data=data,
        pictures=len(train),
        people=len(people) if (people != "").all() else None,
        split=in_words(recipe.sources[stage.data].split),
        target=stage.target,
        epochs=len(epochs),
        images_seen=sum(epoch.pictures for epoch in epochs),
        learning_rate=stage.optimiser.learning_rate,
        seed=job.seed,
        points=stage.points if stage.target == "landmarks" else "",
        average=stage.average,
    )


def _card(network: Network, stage: Stage, past: _Past, step: Step, taught: StartWeights | None) -> Card:
    terms = (*past.licences, *([taught.terms] if taught else []))
    return Card(
        architecture=network.architecture.name,
        image_side=network.input.width,
        outputs=network.outputs,
        crop=stage.crop,
        detector=stage.detector,
        contrast=stage.contrast,
        landmarks=stage.landmarks,
        input=network.input,
        embedding_size=network.architecture.embedding_size,
        weights=past.weights,
        lineage=(*past.steps, step),
        licences=tuple(dict.fromkeys(terms)),
        versions={name: version(name) for name in ("mien", "torch")},
    )


def _counts(examples: Examples, stage: Stage) -> dict[str, int]:
    return examples.class_counts if stage.target in _EXPRESSIONS else {"pictures": len(examples)}


def _result(
    network: Network,
    card: Card,
    trained: float,
    training: Training,
    parts: dict[str, dict[str, int]],
    epochs: list[Epoch],
    tests: dict[str, JobTest],
) -> JobResult:
    counts = count(network)
    return JobResult(
        architecture=card.architecture,
        parameters=counts.parameters,
        macs=counts.macs,
        has_classes=bool(network.outputs.labels),
        has_landmarks=bool(network.outputs.points),
        lineage=card.lineage_text,
        trained=trained,
        people=None if training.people is None else list(training.people),
        means=dict(training.means),
        parts=parts,
        epochs=epochs,
        tests=tests,
    )
