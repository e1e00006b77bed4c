"""Put a trained network for expressions into the package mien, whose default bundle then has it.

    python tools/keep_expression.py out/default-rendered-study/seed0/pair --faces MANIFEST --about "Two networks …"

Writes its backbone in each precision, its head, expression.json with what it reached on the tests of its own run, and
the default bundle's model card. int8 and the head's statistics come from the run that the checkpoint lies in. It may
have learned from renders, and from networks that packages carry, as starting weights or as teachers: their licences
stay beside ours.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import msgspec

from export.bundle import export_bundle
from export.card import default_model_card
from mien.bundle import Accuracy, Bundle, File
from mien.errors import MienError
from mien.models.build_bundle import DETECTOR_DATA
from mien.models.cache import write_atomically
from mien.models.own_networks import EXPRESSION_CARD, MODEL_CARD, OWN, ExpressionCard, own_landmarks
from trainer.evaluate.evaluation import evaluate_on_faces
from trainer.evaluate.faces import read_face_manifest
from trainer.evaluate.predictions import NEGATIVE
from trainer.models.weights import PACKAGE_LINEAGES
from trainer.stages.checkpoint import Card, load_card
from trainer.stages.material import names_renders

LICENCE = "Apache-2.0 for mien's part, learned from pictures that mien renders from CC0 data."
NOTE = (
    "a smoke check: three people make half of the faces, fear and contempt do not occur, disgust, anger and surprise "
    "hardly do; valence and arousal are unverified on real faces"
)
OTHERS = "Starting weights and teachers are others' work:"


def keep(checkpoint: Path, folder: Path, faces: Path | None = None, note: str = "", about: str = "") -> None:
    """Write the network of a checkpoint, its card and the model card into the folder of our own networks.

    Args:
        checkpoint: folder of the stage.
        folder: to write into.
        faces: manifest of labelled real faces, on which the card then has figures; None = it has none.
        note: what else has to be said of these.
        about: what the network is; "" = as an export describes it.

    Raises:
        MienError: it has learned from anything but renders and networks of packages, or cannot be exported.
    """
    learned = load_card(checkpoint)
    _check(checkpoint, learned)
    if faces is not None:
        read_face_manifest(faces)  # before the long work
    with tempfile.TemporaryDirectory() as partial:
        bundle = export_bundle(
            [checkpoint],
            Path(partial) / "bundle",
            precisions=("fp32", "fp16", "int8"),
            has_feature_map=True,  # for explanations
            has_circumplex=True,  # docs/results/default-model.md says why
            name=f"mien-{learned.architecture.replace('_', '-')}",
            say=lambda what: print(what, file=sys.stderr, flush=True),
        )
        card = _describe(bundle, learned, () if faces is None else _on_real_faces(faces, bundle, note), about)
        model_card = default_model_card(card, own_landmarks(folder).card)
        for file in card.files():
            data = bundle.read(file)
            write_atomically(folder / file.path, data)
            print(f"{folder / file.path}: {len(data) / 1e6:.2f} MB")
    write_atomically(folder / EXPRESSION_CARD, msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    write_atomically(folder / MODEL_CARD, model_card)


def _check(checkpoint: Path, learned: Card) -> None:
    others = {learned.weights, *(step.teacher for step in learned.lineage)} - {""}
    if not others <= PACKAGE_LINEAGES or not all(names_renders(step.data) for step in learned.lineage):
        raise MienError(
            f"{checkpoint} has learned from more than renders and networks of packages", "Name a run on rendered data"
        )
    if others and not learned.licences:
        raise MienError(f"{checkpoint} does not say under which terms its weights are", "Train it again")


def _on_real_faces(manifest: Path, bundle: Bundle, note: str) -> tuple[Accuracy, ...]:
    found = evaluate_on_faces(manifest, bundle)
    neutral = dict(zip(found.labels, found.confusion[found.labels.index("neutral")], strict=True))
    negative = sum(count for label, count in neutral.items() if label in NEGATIVE)
    figures = {
        "accuracy": found.accuracy,
        "mean over people": found.mean_over_people,
        "neutral called negative": negative / max(1, sum(neutral.values())),
    }
    words = "; ".join(filter(None, [NOTE, note]))
    about = "real_faces development set", ", ".join(found.splits), found.people, found.faces, words
    return tuple(Accuracy(name, round(value, 3), *about) for name, value in figures.items())


def _describe(bundle: Bundle, learned: Card, on_real_faces: tuple[Accuracy, ...], about: str) -> ExpressionCard:
    """What the bundle's manifest says, under our licence."""
    manifest = bundle.manifest
    licence = " ".join([LICENCE, *([OTHERS] if learned.licences else []), *learned.licences])

    def ours(file: File) -> File:
        return msgspec.structs.replace(file, licence=licence)

    files = {precision: ours(file) for precision, file in manifest.backbone.files.items()}
    return ExpressionCard(
        name=manifest.name,
        description=about or manifest.description,
        licence=licence,
        lineage=manifest.lineage,
        data_sets=tuple(name for name in manifest.data_sets if name != DETECTOR_DATA),
        labels=manifest.labels,
        backbone=msgspec.structs.replace(manifest.backbone, files=files),
        head=msgspec.structs.replace(manifest.head, file=ours(manifest.head.file)),
        valence_arousal=manifest.valence_arousal,
        accuracy=(*on_real_faces, *manifest.accuracy),
    )


def main() -> None:
    """Keep the network that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="folder of the stage")
    parser.add_argument("--faces", type=Path, help="manifest of labelled real faces, for the card's figures")
    parser.add_argument("--about", default="", help="what the network is, where an export's words do not say it")
    parser.add_argument("--note", default="", help="what else the card has to say of these figures")
    wanted = parser.parse_args()
    try:
        keep(wanted.checkpoint, OWN, wanted.faces, wanted.note, wanted.about)
    except MienError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
