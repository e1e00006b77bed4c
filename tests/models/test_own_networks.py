"""The networks that mien brings: whole and small, as their cards say, and in the bundle."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import msgspec
import pytest
import safetensors.numpy
from msgspec.structs import replace

from mien.bundle import CANONICAL_LABELS, Accuracy, Bundle, File, open_bundle
from mien.errors import MienError
from mien.expression.circumplex import COORDINATES
from mien.expression.recogniser import Recogniser
from mien.models.build_bundle import write_bundle
from mien.models.default_bundle import default_bundle
from mien.models.fetch import fetch
from mien.models.own_networks import (
    EXPRESSION_CARD,
    LANDMARKS_CARD,
    MODEL_CARD,
    NOTICE,
    OWN,
    LandmarksCard,
    own_expression,
    own_landmarks,
    own_model_card,
)
from mien.pipeline import Frame, Pipeline, PipelineSettings
from mien.runtime.backend import BackendOptions
from mien.sources import open_source
from tests.faces.template import TEMPLATE, constant_network, spec

LARGEST_BYTES = 8_000_000


def test_they_are_small_enough_to_come_with_the_package() -> None:
    assert sum(file.stat().st_size for file in OWN.iterdir()) <= LARGEST_BYTES


def test_every_file_there_is_named_by_a_card() -> None:
    files = [*own_expression().card.files(), own_landmarks().card.spec.file]
    assert {file.name for file in OWN.iterdir()} == {
        *(file.path for file in files),
        *(EXPRESSION_CARD, LANDMARKS_CARD, MODEL_CARD, NOTICE),
    }
    assert all(file.licence.startswith("Apache-2.0") for file in files)


def test_the_one_for_expressions_tells_all_of_them_in_every_precision() -> None:
    bundle = open_bundle(default_bundle())
    manifest = bundle.manifest
    assert set(manifest.labels) == set(CANONICAL_LABELS)
    assert manifest.valence_arousal is not None
    assert manifest.valence_arousal.source == "circumplex"
    assert manifest.valence_arousal.coordinates == {label: COORDINATES[label] for label in manifest.labels}
    assert list(manifest.backbone.files) == ["fp32", "fp16", "int8"]
    for precision in manifest.backbone.files:
        Recogniser(bundle, BackendOptions(precision=precision)).close()
    head = safetensors.numpy.load(bundle.read(manifest.head.file))
    assert any(name.startswith("statistics.classes") for name in head), "learners ask for them"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Our networks, with a landmark network that always gives the same."""
    folder = tmp_path / "own"
    shutil.copytree(OWN, folder)
    model = constant_network(TEMPLATE)
    file = File("landmarks.onnx", hashlib.sha256(model).hexdigest(), "trained by mien on renders", "Apache-2.0")
    figure = Accuracy("landmark error", 0.04, "renders", "test", people=50, faces=500)
    card = LandmarksCard(replace(spec(), file=file), ("renders",), (figure,))
    (folder / "landmarks.onnx").write_bytes(model)
    (folder / LANDMARKS_CARD).write_bytes(msgspec.json.encode(card))
    return folder


def test_both_are_in_the_bundle_with_what_their_cards_say(kept: Path, tmp_path: Path) -> None:
    bundle = written(tmp_path / "bundle", kept)
    manifest = bundle.manifest
    expression, landmarks = own_expression(kept).card, own_landmarks(kept).card
    for field in ("name", "description", "lineage", "labels", "backbone", "head", "valence_arousal"):
        assert getattr(manifest, field) == getattr(expression, field)
    assert manifest.landmarks == landmarks.spec
    assert manifest.data_sets == (*expression.data_sets, "WIDER FACE (detector)", "renders (landmarks)")
    assert manifest.accuracy == (*expression.accuracy, *landmarks.accuracy)
    assert expression.licence in manifest.licence
    assert "OpenCV Zoo" in manifest.licence
    assert manifest.card is not None
    assert bundle.read(manifest.card) == own_model_card(kept)
    image = next(iter(open_source(fetch("demo_video")))).image
    pipeline = Pipeline(bundle, PipelineSettings(), lambda: "f1")
    (face,) = pipeline.process([Frame(image, "c", 0.0)])[0]
    assert face.landmarks is not None
    assert len(face.landmarks) == 68
    pipeline.close()


def written(folder: Path, own: Path) -> Bundle:
    folder.mkdir()
    write_bundle(folder, fetch("yunet"), own=own)
    bundle = open_bundle(folder)
    bundle.verify()
    return bundle


@pytest.mark.parametrize(
    "name", ["landmarks.onnx", "backbone.fp32.onnx", "backbone.fp16.onnx", "backbone.int8.onnx", "head.safetensors"]
)
def test_a_damaged_or_missing_network_is_refused(kept: Path, name: str) -> None:
    read = own_landmarks if name == "landmarks.onnx" else own_expression
    (kept / name).write_bytes(b"another")
    with pytest.raises(MienError, match=rf"{name} is not the file that .*\.json describes"):
        read(kept)
    (kept / name).unlink()
    with pytest.raises(MienError, match=rf"{name} cannot be read \(No such file.*Install mien again"):
        read(kept)


def test_damaged_or_missing_cards_are_refused(kept: Path) -> None:
    for name, read in ((EXPRESSION_CARD, own_expression), (LANDMARKS_CARD, own_landmarks)):
        (kept / name).write_bytes(b'{"spec": 1}')
        with pytest.raises(MienError, match=name):
            read(kept)
        (kept / name).unlink()
        with pytest.raises(MienError, match=name):
            read(kept)
    (kept / MODEL_CARD).unlink()
    with pytest.raises(MienError, match=MODEL_CARD):
        own_model_card(kept)
