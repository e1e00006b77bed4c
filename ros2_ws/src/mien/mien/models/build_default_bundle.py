"""Writes the default bundle from its packages' weights and our landmarks: python -m mien.models.build_default_bundle.

A process of its own, started by `mien.models.default_bundle`: it loads h5py and onnx, which a node shall not carry.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import msgspec
import safetensors.numpy

from mien.bundle import (
    MANIFEST_VERSION,
    Accuracy,
    BackboneSpec,
    CropSpec,
    DetectorSpec,
    File,
    HeadFile,
    InputSpec,
    LandmarksSpec,
    Manifest,
    ValenceArousalSpec,
    encode_manifest,
)
from mien.expression.circumplex import CITATION, RUSSELL_MEHRABIAN_1977
from mien.expression.head import DenseLayerSpec, HeadOutputSpec, HeadPartSpec, HeadSpec
from mien.models.cache import write_atomically
from mien.models.catalogue import find_model
from mien.models.mini_xception import SplitNetwork, convert_mini_xception
from mien.models.own_landmarks import LandmarksCard, OwnLandmarks, own_landmarks
from mien.models.yunet import free_input_size

LABELS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""The network's outputs in order (FER2013's: angry, disgust, fear, happy, sad, surprise, neutral)."""

DETECTOR_DATA = "WIDER FACE (detector)"
_LANDMARKS = " (landmarks)"
"""After the data sets of a landmark network."""

_NOTE = (
    "A smoke check: three people make half of the faces, fear does not occur, disgust, anger and surprise hardly do."
)
MEASURED = tuple(
    Accuracy(metric, value, "real_faces development set", "dev", people=61, faces=252, note=_NOTE)
    for metric, value in (("accuracy", 0.905), ("mean over people", 0.807))
)
"""What `python -m trainer evaluate-faces` finds, rounded; a test compares them."""


def write_default_bundle(detector_path: Path, network_path: Path, folder: Path, landmarks: OwnLandmarks) -> None:
    """Convert detector and expression network and write manifest and models into a folder.

    Args:
        detector_path: YuNet.
        network_path: mini-XCEPTION.
        folder: to write into.
        landmarks: our network for them.

    Raises:
        MienError: a file is not what it should be, h5py or onnx is missing, or the folder cannot be written.
    """
    split = convert_mini_xception(network_path)
    head = safetensors.numpy.save({"classes.weight": split.weight, "classes.bias": split.bias})
    manifest = _manifest(
        detector=_write(folder, "detector.onnx", free_input_size(detector_path), "yunet"),
        backbone=_write(folder, "backbone.fp32.onnx", split.backbone, "mini_xception"),
        head=_write(folder, "head.safetensors", head, "mini_xception"),
        split=split,
    )
    write_atomically(folder / landmarks.card.spec.file.path, landmarks.model)
    manifest = with_landmarks(manifest, landmarks.card)
    write_atomically(folder / "manifest.json", encode_manifest(manifest))


def _write(folder: Path, name: str, data: bytes, origin: str) -> File:
    write_atomically(folder / name, data)
    model = find_model(origin)
    source = f"{model.archive}, {model.path}: {model.source}; converted by mien"
    return File(name, hashlib.sha256(data).hexdigest(), source, f"{model.licence}. {model.licence_note}")


def _manifest(detector: File, backbone: File, head: File, split: SplitNetwork) -> Manifest:
    return Manifest(
        format="mien-bundle",
        version=MANIFEST_VERSION,
        name="default-fer2013-mini-xception",
        description="Seven expressions from a grey face of 64x64 pixels. Small, fast and public: a starting point, not "
        "a measure of what is possible. Trained on web pictures with noisy labels, only 1.5 % of them disgust; not "
        "checked for fairness between groups of people.",
        licence="Networks MIT as their publishers state; the terms of their training pictures (FER2013, WIDER FACE) "
        "do not follow from it. See each file.",
        lineage="FER2013",
        data_sets=("FER2013", DETECTOR_DATA),
        labels=LABELS,
        # Size and thresholds are the defaults of the YuNet class in OpenCV Zoo (its demo asks for a score of 0.9).
        detector=DetectorSpec("yunet", detector, width=320, score_threshold=0.6, nms_threshold=0.3),
        backbone=BackboneSpec(
            files={"fp32": backbone},
            # (x / 255 − 0.5) · 2, as the network was trained.
            input=InputSpec(64, 64, "grey", mean=(127.5,), scale=(2 / 255,)),
            # FER2013's faces are registered to fill their picture, as the detector's tight box does. Chosen for that
            # reason, not by trying margins on faces.
            crop=CropSpec("box", 0.0),
            embedding_output="embedding",
            embedding_size=split.embedding_size,
            feature_map_output="feature_map",
        ),
        head=HeadFile(head, _head_spec(split.embedding_size)),
        valence_arousal=ValenceArousalSpec(
            source="circumplex",
            coordinates={label: RUSSELL_MEHRABIAN_1977[label] for label in LABELS},
            citation=CITATION,
        ),
        accuracy=MEASURED,
    )


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


def _head_spec(embedding_size: int) -> HeadSpec:
    layer = DenseLayerSpec("classes.weight", "classes.bias")
    return HeadSpec(HeadOutputSpec("softmax", (HeadPartSpec("face", 0, embedding_size, (layer,)),)))


if __name__ == "__main__":
    detector, network, target = (Path(argument) for argument in sys.argv[1:4])
    write_default_bundle(detector, network, target, own_landmarks())
