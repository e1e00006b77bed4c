"""A trained landmark network in a bundle: the robot locates what torch does, and knows as much of how sure it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from export.bundle import export_bundle
from export.landmarks import TOLERANCE, export_landmarks
from mien.bundle import Accuracy, Bundle, CropSpec, open_bundle
from mien.errors import MienError
from mien.faces.crop import crop_square, write_crop
from mien.faces.detector import Box
from mien.faces.landmarks import LandmarkLocator
from mien.models.default_bundle import built_bundle
from mien.runtime.backend import BackendOptions
from mien.runtime.onnx_graph import graph_problems
from tests.export.checkpoints import LABELS, save_answers, save_landmark_answers, save_network, settled_network
from trainer.models import Network, Outputs

ALL = Outputs(points="all", scales=True)
IMAGE = np.random.default_rng(1).integers(0, 256, (24, 30, 3), np.uint8).repeat(8, 0).repeat(8, 1)
BOXES = [Box(40, 30, 90, 110), Box(-20, 60, 70, 80)]


@pytest.fixture(scope="module")
def network() -> Network:
    """As a network that has learned: it sees the mean face, in the middle of its crop."""
    made = settled_network("landmark_net", ALL, 0, side=80)
    with torch.no_grad():
        made.parts["output"]["landmarks"].weight *= 0.05
        made.parts["output"]["landmarks"].bias += 0.5
        made.parts["output"]["scales"].weight *= 0.2
        made.parts["output"]["scales"].bias -= 4
    return made


@pytest.fixture(scope="module")
def checkpoint(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_network(tmp_path_factory.mktemp("run") / "landmarks", network)
    save_landmark_answers(folder, 0.125)
    return folder


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle fer2013 with these landmarks."""
    return export_bundle([built_bundle("fer2013")], tmp_path_factory.mktemp("export") / "bundle", landmarks=checkpoint)


def test_a_robot_locates_what_was_trained(network: Network, bundle: Bundle) -> None:
    before = open_bundle(built_bundle("fer2013"))
    spec = bundle.manifest.landmarks
    assert spec is not None
    assert (spec.output, spec.confidence_output, spec.crop) == ("landmarks", "confidences", CropSpec("box", 0.2))
    assert bundle.manifest.backbone == before.manifest.backbone

    crops = np.empty((2, 1, 80, 80), np.float32)
    for box, crop in zip(BOXES, crops, strict=True):
        write_crop(IMAGE, crop_square(spec.crop, box, None, 240, 192), spec.input, crop)
    with torch.inference_mode():
        told = network(torch.from_numpy(crops))
    scales = told.scales.exp().numpy()
    sure = (1 - np.exp(-TOLERANCE / scales)) ** 2
    assert 0.05 < sure.min() < sure.max() < 1
    outputs = run(bundle.read(spec.file), crops)
    np.testing.assert_allclose(outputs["landmarks"], told.landmarks.numpy(), atol=1e-4)
    np.testing.assert_allclose(outputs["confidences"], sure, atol=1e-4)
    locator = LandmarkLocator(bundle.read(spec.file), spec, BackendOptions())
    assert np.isfinite(locator.locate(IMAGE, BOXES).points).all()
    locator.close()


def test_the_bundle_says_of_its_landmarks_what_is_so_of_the_new_network(
    network: Network, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they take the place of others or are the first, in a bundle or beside a checkpoint."""
    first, before = bundle.manifest, open_bundle(built_bundle("fer2013")).manifest
    assert before.landmarks is not None
    assert first.licence.partition(" Landmarks ")[0] == before.licence.partition(" Landmarks ")[0]
    assert before.landmarks.file.licence in before.licence
    assert before.landmarks.file.licence not in first.licence
    assert first.licence.endswith("Weights of somebody: MIT.")
    assert first.data_sets == ("FER2013", "WIDER FACE (detector)", "IN (landmarks)", "CK+ (landmarks)")
    own = [one for one in before.accuracy if "landmark" not in one.metric]
    note = "1 of the people were trained on too; 95 %: 0.125 to 0.125"
    assert own
    assert list(first.accuracy[: len(own)]) == own
    assert first.accuracy[len(own)] == Accuracy("landmark error", 0.125, "renders faces", "by person", 2, 2, note)
    assert {one.value for one in first.accuracy[len(own) :]} == {0.125}

    graph = (bundle.path / "landmarks.onnx").read_bytes()
    monkeypatch.setattr("export.landmarks.export_module", lambda *_: graph)
    other = save_network(tmp_path / "other", network, weights="", licences=("Terms of others.",))
    save_landmark_answers(other, 0.25)
    again = export_bundle([bundle.path], tmp_path / "again", landmarks=other).manifest
    assert "Weights of somebody" not in again.licence
    assert again.licence.count(" Landmarks ") == 1
    assert again.data_sets == ("FER2013", "WIDER FACE (detector)", "CK+ (landmarks)")
    assert {one.value for one in again.accuracy[len(own) :]} == {0.25}
    assert "0.250" in (tmp_path / "again/README.md").read_text()

    face = save_network(tmp_path / "face", settled_network("mini_xception", Outputs(LABELS), 1), licences=("Mine.",))
    save_answers(face)
    both = export_bundle([face], tmp_path / "both", landmarks=other).manifest
    assert both.landmarks is not None
    assert both.licence.endswith("Mine. Landmarks " + both.landmarks.file.licence)
    assert both.backbone.files["fp32"].licence.endswith("Mine.")
    assert both.data_sets == ("IN", "CK+", "WIDER FACE (detector)", "CK+ (landmarks)")
    figures = {one.metric: one.value for one in both.accuracy}
    assert (figures["accuracy"], figures["landmark error"]) == (0.75, 0.25)


def test_the_graph_is_one_that_engines_take(checkpoint: Path, tmp_path: Path) -> None:
    export_landmarks(checkpoint, tmp_path)
    data = (tmp_path / "landmarks.onnx").read_bytes()
    assert graph_problems(data, "landmarks.onnx") == []
    graph = onnx.load_model_from_string(data).graph
    assert [one.name for one in graph.input] == ["image"]
    assert [size.dim_param or size.dim_value for size in graph.output[1].type.tensor_type.shape.dim] == ["batch", 68]


def test_a_network_that_does_not_tell_scales_gives_no_confidences(tmp_path: Path) -> None:
    plain = settled_network("parts_subnet_48", Outputs(points="all"), 0, side=48)
    spec = export_landmarks(save_network(tmp_path / "one", plain), tmp_path).spec
    assert (spec.output, spec.confidence_output) == ("landmarks", None)
    assert spec.file.source.startswith("IN → CK+ (trained with mien")
    assert "Weights of somebody: MIT." in spec.file.licence


@pytest.mark.parametrize(
    ("outputs", "keys", "problem"),
    [
        (Outputs(points="nose"), {}, "the landmarks of nose only"),
        (Outputs(labels=("anger", "fear")), {}, "tells no landmarks"),
        (ALL, {"crop": CropSpec("inner")}, "needs the landmarks themselves"),
        (ALL, {"contrast": "picture"}, "enhanced as a whole"),
    ],
)
def test_other_checkpoints_are_refused(tmp_path: Path, outputs: Outputs, keys: dict[str, Any], problem: str) -> None:
    network = settled_network("parts_subnet_48", outputs, 0, side=48)
    with pytest.raises(MienError, match=problem):
        export_landmarks(save_network(tmp_path / "one", network, **keys), tmp_path)
    assert not (tmp_path / "landmarks.onnx").exists()


def run(data: bytes, pictures: np.ndarray) -> dict[str, np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return dict(zip((one.name for one in session.get_outputs()), session.run(None, {"image": pictures}), strict=True))
