"""What a bundle says of checkpoints: the manifest from their cards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mien.bundle import CANONICAL_LABELS, Accuracy, ValenceArousalSpec
from mien.errors import MienError
from mien.expression.circumplex import COORDINATES, citation
from mien.expression.combining import Rule
from mien.expression.head import HeadSpec
from mien.models.build_bundle import DETECTOR_DATA
from trainer.stages.checkpoint import Card
from trainer.stages.material import JOINT

OWNERS = "The weights belong to who trained them; the terms of the pictures may limit their use."


class Words(NamedTuple):
    """The manifest's fields that follow from cards alone."""

    name: str
    description: str
    licence: str
    lineage: str
    data_sets: tuple[str, ...]
    labels: tuple[str, ...]
    valence_arousal: ValenceArousalSpec | None


def check_cards(folders: Sequence[Path], cards: Sequence[Card]) -> None:
    """Check that checkpoints make one bundle.

    Raises:
        MienError: one has no lineage or tells nothing that a robot reads, or they do not fit each other.
    """
    for folder, card in zip(folders, cards, strict=True):
        if not card.lineage:
            raise MienError(
                f"{folder}: its card has no lineage, so nobody could say what it has learned from",
                "Name a checkpoint that mien-train has made",
            )
        if card.outputs.points:
            raise MienError(
                f"{folder} tells where landmarks are, and no expression",
                "Export a stage that learned expressions from there",
            )
        unknown = sorted(set(card.outputs.labels) - set(CANONICAL_LABELS))
        if unknown:
            raise MienError(
                f"{folder} tells {len(card.outputs.labels)} classes that are no expressions, such as {unknown[0]!r}",
                "Export a stage that learned expressions, valence or arousal; what it learned goes on in those",
            )
        for name in ("input", "crop"):
            _check_same(name, folders[0], getattr(cards[0], name), folder, getattr(card, name))
        if card.outputs.labels:
            first = next(i for i, other in enumerate(cards) if other.outputs.labels)
            _check_same("labels", folders[first], cards[first].outputs.labels, folder, card.outputs.labels)
    _check_once(folders, cards)
    _check_affect([(folder, name) for folder, card in zip(folders, cards, strict=True) for name in card.outputs.affect])


def describe(cards: Sequence[Card]) -> Words:
    """Say in words what checkpoints are, whose cards are checked."""
    labels = next((card.outputs.labels for card in cards if card.outputs.labels), ())
    affects = [name for card in cards for name in card.outputs.affect]
    spec, names = cards[0].input, _once(card.architecture for card in cards)
    last = " and ".join(_once(card.lineage[-1].data for card in cards))
    told = [*([f"{len(labels)} expressions ({', '.join(labels)})"] if labels else []), *affects]
    terms = _once(one for card in cards for one in card.licences)
    return Words(
        name=re.sub(r"[^a-z0-9+]+", "-", f"{' '.join(names)} {last}".lower()).strip("-"),
        description=f"{_listed(told).capitalize()} from a face of {spec.width}x{spec.height} pixels "
        f"({spec.channels}), learned by {_listed(names)} on {last}.",
        licence=" ".join([OWNERS, *terms]),
        lineage="; ".join(_once(card.lineage_text for card in cards)),
        data_sets=(*learned_from(cards), DETECTOR_DATA),
        labels=labels,
        valence_arousal=_valence_arousal(labels, affects),
    )


def learned_from(cards: Sequence[Card]) -> list[str]:
    """Data sets that checkpoints, the weights that they started from, and their teachers have learned from."""
    taught = [step.teacher for card in cards for step in card.lineage]
    weights = [name for name in (*(card.weights for card in cards), *taught) if name]
    own = [step.data for card in cards for step in card.lineage]
    return _once(name for together in (*weights, *own) for name in together.split(JOINT))


def part_names(cards: Sequence[Card]) -> tuple[str, ...]:
    """What the parts of a head are called: as the part of the face whose landmarks a network learned before.

    Of those that learned all landmarks or none, and of several that learned the same, the name is their number, as
    "network1".
    """
    learned = [next((step.points for step in reversed(card.lineage) if step.points), "") for card in cards]
    return tuple(
        points if points not in ("", "all") and learned.count(points) == 1 else f"network{number}"
        for number, points in enumerate(learned, 1)
    )


def with_rule(spec: HeadSpec, rule: Rule) -> HeadSpec:
    """A head whose parts are combined by another rule.

    Raises:
        MienError: it has not several that tell classes.
    """
    if spec.classes is None or len(spec.classes.parts) < 2:
        raise MienError(
            f"There is nothing to combine by {rule}: fewer than two of the networks tell expressions",
            "Name several checkpoints that tell the same expressions, or leave out --combine",
        )
    name = "mean_of_softmax" if rule == "mean" else "reliability_of_softmax"
    return msgspec.structs.replace(spec, classes=msgspec.structs.replace(spec.classes, combine=name))


def join_figures(names: Sequence[str], figures: Sequence[tuple[Accuracy, ...]]) -> tuple[Accuracy, ...]:
    """Figures of networks side by side; of several each says whose it is, by name."""
    if len(figures) == 1:
        return figures[0]
    return tuple(
        msgspec.structs.replace(one, note="; ".join(filter(None, [f"{name} alone", one.note])))
        for name, of_network in zip(names, figures, strict=True)
        for one in of_network
    )


def _check_same(what: str, folder: Path, expected: Any, other: Path, found: Any) -> None:
    if found != expected:
        shown = [msgspec.json.encode(one).decode() for one in (expected, found)]
        raise MienError(
            f"{folder} and {other} do not fit each other: {what} {shown[0]} and {shown[1]}",
            "Export checkpoints of the same recipe together, or each in a bundle of its own",
        )


def _check_once(folders: Sequence[Path], cards: Sequence[Card]) -> None:
    seen: dict[str, Path] = {}
    for folder, card in zip(folders, cards, strict=True):
        if card.sha256 in seen:
            raise MienError(f"{folder} is the same network as {seen[card.sha256]}", "Name each checkpoint once")
        seen[card.sha256] = folder


def _check_affect(told: Sequence[tuple[Path, str]]) -> None:
    names = [name for _, name in told]
    for folder, name in told:
        if names.count(name) > 1:
            raise MienError(f"Several of these checkpoints tell {name}, as {folder}", "Name one of them")
    if len(names) == 1:
        missing = "arousal" if names[0] == "valence" else "valence"
        raise MienError(
            f"{told[0][0]} tells {names[0]}, and nothing here tells {missing}",
            f"Name the checkpoint of its twin for {missing} as well",
        )


def _valence_arousal(labels: Sequence[str], affects: Sequence[str]) -> ValenceArousalSpec | None:
    """The model's own outputs, −1 to 1 as all data sets give them; else from the classes, where each has a place."""
    if affects:
        return ValenceArousalSpec("head", -1.0, 1.0)
    if not set(labels) <= set(COORDINATES):
        return None
    coordinates = {label: COORDINATES[label] for label in labels}
    return ValenceArousalSpec("circumplex", coordinates=coordinates, citation=citation(labels))


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
