"""The bundle with the network of the package `fer`: as its publishers' own runtime answers."""

from __future__ import annotations

import numpy as np

from mien.bundle import open_bundle
from mien.expression.head import softmax
from mien.models.default_bundle import built_bundle
from mien.runtime.backend import BackendOptions, Model, load_network


def test_is_sound_and_says_where_it_comes_from() -> None:
    bundle = open_bundle(built_bundle("fer2013"))
    bundle.verify()
    manifest = bundle.manifest
    assert manifest.name == "fer2013-mini-xception"
    assert manifest.labels == ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    assert manifest.valence_arousal is not None
    assert manifest.valence_arousal.source == "circumplex"
    assert "Russell" in manifest.valence_arousal.citation
    assert manifest.lineage == "FER2013"
    assert manifest.data_sets[:2] == ("FER2013", "WIDER FACE (detector)")
    ours = None if manifest.landmarks is None else manifest.landmarks.file
    for file in bundle.files():
        assert file == ours or "(pip)" in file.source
        assert file.licence.startswith("Apache-2.0" if file == ours else "MIT")


def test_black_and_white_are_the_ends_of_the_input_range() -> None:
    spec = open_bundle(built_bundle("fer2013")).manifest.backbone.input
    ends = (np.array([0.0, 127.5, 255.0]) - spec.mean[0]) * spec.scale[0]
    np.testing.assert_allclose(ends, [-1, 0, 1], atol=1e-9)


def test_probabilities_equal_those_of_keras(patterns: np.ndarray, keras_logits: np.ndarray) -> None:
    bundle = open_bundle(built_bundle("fer2013"))
    backbone = bundle.manifest.backbone
    network = load_network(Model.of("backbone", "a test", bundle.read(backbone.files["fp32"])), BackendOptions())
    embeddings = network.run(patterns)[backbone.embedding_output]
    probabilities = bundle.load_head().predict(embeddings).probabilities
    np.testing.assert_allclose(probabilities, softmax(keras_logits), atol=1e-5)
