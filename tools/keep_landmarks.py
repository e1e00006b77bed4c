"""Put a trained landmark network into the package mien, whose bundles then have it.

    python tools/keep_landmarks.py out/landmarks-rendered-study/seed0/landmarks

Writes landmarks.onnx and landmarks.json, with what it reached on the tests of its own run, and the default bundle's
model card anew. Trained on renders alone, the network is our own work.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import msgspec

from export.card import default_model_card
from export.landmarks import export_landmarks
from mien.errors import MienError
from mien.models.cache import write_atomically
from mien.models.own_networks import LANDMARKS_CARD, MODEL_CARD, OWN, own_expression
from trainer.stages.checkpoint import load_card
from trainer.stages.material import names_renders

LICENCE = (
    "Apache-2.0, as mien: learned from pictures alone that mien renders from CC0 data. docs/landmarks.md says how the "
    "places of its points were settled."
)


def keep(checkpoint: Path, folder: Path) -> None:
    """Write the network of a checkpoint, its card and the model card into the folder of our own networks.

    Raises:
        MienError: it has learned from anything but renders, or cannot be exported.
    """
    learned = load_card(checkpoint)
    if learned.weights or not all(names_renders(step.data) for step in learned.lineage):
        raise MienError(f"{checkpoint} has learned from more than renders", "Name a run on rendered data")
    with tempfile.TemporaryDirectory() as partial:
        card = export_landmarks(checkpoint, Path(partial))
        data = (Path(partial) / card.spec.file.path).read_bytes()
    own = msgspec.structs.replace(card.spec.file, licence=LICENCE)
    card = msgspec.structs.replace(card, spec=msgspec.structs.replace(card.spec, file=own))
    model_card = default_model_card(own_expression(folder).card, card)
    write_atomically(folder / own.path, data)
    write_atomically(folder / LANDMARKS_CARD, msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    write_atomically(folder / MODEL_CARD, model_card)
    print(f"{folder / own.path}: {len(data) / 1e6:.2f} MB")


def main() -> None:
    """Keep the network that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="folder of the stage")
    try:
        keep(parser.parse_args().checkpoint, OWN)
    except MienError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
