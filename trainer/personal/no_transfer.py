"""The setting "no transfer" of paper 002: the whole network, from random weights, on one person's pictures alone."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from lightning_fabric import Fabric

from mien.personal.samples import Array
from trainer.data.batches import Batches, Examples
from trainer.data.labels import UNKNOWN
from trainer.losses import Criterion
from trainer.models import Outputs, build_network
from trainer.personal.measured import Key, Measured, Told, figures, pooled
from trainer.personal.people import samples_of
from trainer.personal.protocol import PROTOCOLS, Fold, divide
from trainer.personal.settings import Settings
from trainer.stages.answers import answer
from trainer.stages.checkpoint import Card
from trainer.stages.fit import fit
from trainer.stages.recipe import Stage

ARM = "no transfer"


def experiments(
    card: Card,
    examples: Examples,
    settings: Settings,
    seed: int,
    fabric: Fabric,
    folder: Path,
    tell: Callable[[], None],
) -> list[Measured]:
    """Train and test the general model's network anew on each fold, as frames and in blocks of time.

    Args:
        card: of the general model, whose architecture it is.
        examples: of one person, in the order of time.
        settings: of the study.
        seed: of the repetition.
        fabric: where to train.
        folder: for what the trainings leave; it is emptied.
        tell: told after each training.
    """
    measured = []
    truth = samples_of(examples, np.empty((len(examples), 0), np.float32))
    stage = msgspec.structs.replace(settings.no_transfer, architecture=card.architecture)
    for protocol in PROTOCOLS:
        told, rows, begin = [], [], time.perf_counter()
        folds = divide(protocol, len(examples), settings.folds, seed)
        for number, fold in enumerate(folds):
            own = folder / f"{protocol}{number}"
            own.mkdir(parents=True, exist_ok=True)
            told.append(_trained(stage, card, examples, fold, seed, fabric, own))
            rows.append(fold.test)
            shutil.rmtree(own)
            tell()
        seconds = (time.perf_counter() - begin) / len(folds)
        found = figures(truth.take(np.concatenate(rows)), pooled(told))
        measured.append(Measured(Key("transfer", protocol, ARM), {**found, "seconds": seconds}))
    return measured


def _trained(stage: Stage, card: Card, examples: Examples, fold: Fold, seed: int, fabric: Fabric, folder: Path) -> Told:
    """What a network that knows the training part only says of the test part."""
    known = _with_known_classes(examples.take(fold.train))
    outputs = Outputs(known.labels, card.outputs.affect)
    network = build_network(card.architecture, outputs, seed, stage.dropout, card.image_side)
    batches = Batches(known, stage.batch_size, stage.augmentation, seed=seed, device=fabric.device)
    criterion = Criterion(stage, outputs, network.feature_size)
    fit(network, criterion, batches, None, stage, fabric, folder, seed, save_every_seconds=math.inf)
    test = replace(examples.take(fold.test), labels=known.labels)
    found = answer(network, replace(test, classes=np.full(len(test), UNKNOWN)), fabric)
    affect = (found.valence_predicted, found.arousal_predicted)
    valence, arousal = (np.empty(0, np.float32) if one is None else one for one in affect)  # both are told
    return Told(valence, arousal, _on_all(found.probabilities, known.labels, examples.labels, len(test)))


def _with_known_classes(train: Examples) -> Examples:
    """The training part with the classes that occur in it; none where there is only one."""
    used = np.unique(train.classes[train.classes != UNKNOWN])
    if len(used) < 2:
        return replace(train, labels=(), classes=np.full(len(train), UNKNOWN))
    place = np.full(len(train.labels) + 1, UNKNOWN)
    place[used] = np.arange(len(used))  # the last one is that of UNKNOWN
    return replace(train, labels=tuple(train.labels[one] for one in used), classes=place[train.classes])


def _on_all(probabilities: Array | None, known: tuple[str, ...], labels: tuple[str, ...], count: int) -> Array:
    """Probabilities of all classes, 0 for those that the network does not know."""
    result = np.zeros((count, len(labels)), np.float32)
    if probabilities is not None:
        result[:, [labels.index(label) for label in known]] = probabilities
    return result
