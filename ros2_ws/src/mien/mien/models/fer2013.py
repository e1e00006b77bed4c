"""The network of the package `fer`, which others trained on FER2013, as a bundle has it."""

from __future__ import annotations

from pathlib import Path

import safetensors.numpy

from mien.bundle import Accuracy, BackboneSpec, CropSpec, HeadFile, InputSpec, ValenceArousalSpec
from mien.expression.circumplex import CITATION, RUSSELL_MEHRABIAN_1977
from mien.expression.head import DenseLayerSpec, HeadOutputSpec, HeadPartSpec, HeadSpec
from mien.models.catalogue import find_model
from mien.models.mini_xception import convert_mini_xception
from mien.models.own_networks import ExpressionCard, ExpressionNetwork

LABELS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""The network's outputs in order (FER2013's: angry, disgust, fear, happy, sad, surprise, neutral)."""

_NOTE = (
    "A smoke check: three people make half of the faces, fear does not occur, disgust, anger and surprise hardly do."
)
_MEASURED = tuple(
    Accuracy(metric, value, "real_faces development set", "dev", people=61, faces=252, note=_NOTE)
    for metric, value in (("accuracy", 0.905), ("mean over people", 0.807))
)
"""What `python -m trainer evaluate-faces` finds, rounded; a test compares them."""


def fer2013_network(path: Path) -> ExpressionNetwork:
    """Convert the network of the package.

    Args:
        path: of the catalogue's `mini_xception`.

    Raises:
        MienError: the file is not what it should be, or h5py or onnx is missing.
    """
    split = convert_mini_xception(path)
    head = safetensors.numpy.save({"classes.weight": split.weight, "classes.bias": split.bias})
    files = {"backbone.fp32.onnx": split.backbone, "head.safetensors": head}
    model = find_model("mini_xception")
    backbone_file, head_file = (model.converted_file(name, data) for name, data in files.items())
    layer = DenseLayerSpec("classes.weight", "classes.bias")
    card = ExpressionCard(
        name="fer2013-mini-xception",
        description="Seven expressions from a grey face of 64x64 pixels. Small, fast and public: a starting point, not "
        "a measure of what is possible. Trained on web pictures with noisy labels, only 1.5 % of them disgust; not "
        "checked for fairness between groups of people.",
        licence="MIT as the network's publishers state; the terms of its training pictures (FER2013) do not follow "
        "from it.",
        lineage="FER2013",
        data_sets=("FER2013",),
        labels=LABELS,
        backbone=BackboneSpec(
            files={"fp32": backbone_file},
            # (x / 255 − 0.5) · 2, as the network was trained.
            input=InputSpec(64, 64, "grey", mean=(127.5,), scale=(2 / 255,)),
            # FER2013's faces are registered to fill their picture, as the detector's tight box does. Chosen for that
            # reason, not by trying margins on faces.
            crop=CropSpec("box", 0.0),
            embedding_output="embedding",
            embedding_size=split.embedding_size,
            feature_map_output="feature_map",
        ),
        head=HeadFile(
            head_file, HeadSpec(HeadOutputSpec("softmax", (HeadPartSpec("face", 0, split.embedding_size, (layer,)),)))
        ),
        valence_arousal=ValenceArousalSpec(
            source="circumplex",
            coordinates={label: RUSSELL_MEHRABIAN_1977[label] for label in LABELS},
            citation=CITATION,
        ),
        accuracy=_MEASURED,
    )
    return ExpressionNetwork(files, card)
