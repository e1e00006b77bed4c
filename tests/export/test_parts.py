"""Networks that each learned a part of the face, as one bundle: what the robot reads, and what it learns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.bundle import export_bundle
from export.manifest import part_names
from export.training_faces import TrainingFaces
from mien.bundle import Bundle
from mien.errors import MienError
from mien.expression.combining import combine
from mien.expression.recogniser import Recogniser
from mien.personal.learners import LEARNERS, say_nothing
from mien.personal.model import base_head
from mien.personal.samples import Samples
from mien.runtime.backend import BackendOptions
from tests.export.checkpoints import LABELS, noise, save_network, settled_network
from trainer.models import Network, Outputs
from trainer.stages.checkpoint import Card, Step, load_card

PARTS = ("eyes", "mouth", "jaw")
"""Each takes seconds to export."""
SIDE_PX = 48
pytestmark = pytest.mark.timeout(300)


def learned(points: str) -> Step:
    """The step in which a network learned landmarks."""
    return Step(
        stage="points", source="lab", data="300-W", pictures=9, people=3, split="by person", target="landmarks",
        epochs=1, images_seen=9, learning_rate=0.1, seed=0, points=points,
    )  # fmt: skip


@pytest.fixture(scope="module")
def networks() -> list[Network]:
    return [settled_network("parts_subnet", Outputs(LABELS), seed, SIDE_PX) for seed, _ in enumerate(PARTS)]


@pytest.fixture(scope="module")
def bundle(networks: list[Network], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    """In fp32 and fp16, with the feature map; noise stands in for the faces that they were trained on."""
    folder = tmp_path_factory.mktemp("parts")
    places = []
    for part, network in zip(PARTS, networks, strict=True):
        steps = learned(part), load_card(save_network(folder / "any", network)).lineage[0]
        places.append(save_network(folder / part, network, lineage=steps))
    pixels = np.random.default_rng(0).integers(0, 256, (60, SIDE_PX, SIDE_PX, 1), np.uint8)
    faces = TrainingFaces(pixels, LABELS, np.arange(60) % len(LABELS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.statistics.training_faces", lambda *_: faces)
        yield export_bundle(places, folder / "bundle", precisions=["fp16"], has_feature_map=True)


def test_one_graph_reads_what_its_networks_say(networks: list[Network], bundle: Bundle) -> None:
    backbone, head = bundle.manifest.backbone, bundle.load_head()
    assert (backbone.embedding_size, backbone.feature_map_output) == (len(PARTS) * 128, "feature_map")
    assert head.part_names == PARTS
    assert bundle.manifest.head.spec.classes is not None
    assert {len(part.layers) for part in bundle.manifest.head.spec.classes.parts} == {3}
    pictures = noise(networks[0], 5)
    with torch.inference_mode():
        each = np.stack([network(pictures).classes.softmax(1).numpy() for network in networks])
    for precision, tolerance in (("fp32", 1e-5), ("fp16", 0.03)):
        recogniser = Recogniser(bundle, BackendOptions(precision=precision))
        found = recogniser.classify(pictures.numpy())
        recogniser.close()
        np.testing.assert_allclose(found.probabilities, each.mean(axis=0), atol=tolerance)
        np.testing.assert_allclose(found.part_confidences, each.max(axis=2).T, atol=tolerance)


def test_a_grey_picture_is_read_once_and_not_as_three_colours(bundle: Bundle) -> None:
    for precision, file in bundle.manifest.backbone.files.items():
        model = onnx.load_model_from_string(bundle.read(file))
        weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
        convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
        read = [weights[node.input[1]][1] for node in convolutions]
        assert read.count(1) == len(PARTS), precision
        assert 3 not in read


def test_parts_are_weighted_where_it_is_asked_for(bundle: Bundle, networks: list[Network], tmp_path: Path) -> None:
    weighted = export_bundle([bundle.path], tmp_path / "weighted", rule="reliability")
    assert json.loads((weighted.path / "manifest.json").read_text())["version"] == 2
    pictures = noise(networks[0], 5)
    with torch.inference_mode():
        each = np.stack([network(pictures).classes.softmax(1).numpy() for network in networks])
    recogniser = Recogniser(weighted, BackendOptions())
    np.testing.assert_allclose(
        recogniser.classify(pictures.numpy()).probabilities, combine("reliability", each), atol=1e-5
    )
    recogniser.close()


def test_one_network_has_nothing_to_combine(networks: list[Network], tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"nothing to combine by mean.*--combine"):
        export_bundle([save_network(tmp_path / "one", networks[0])], tmp_path / "bundle", rule="mean")


def test_the_head_knows_what_its_training_data_look_like(bundle: Bundle) -> None:
    file = bundle.manifest.head.file
    assert file.source.endswith("; statistics of 60 of the faces that it was trained on")
    assert file.source in (bundle.path / "README.md").read_text()
    tensors = base_head(bundle).tensors
    assert tensors["statistics.embedding_mean"].shape == (len(PARTS) * 128,)
    assert tensors["statistics.classes.jaw.class_means"].shape == (len(LABELS), 128)


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_takes_such_a_head(bundle: Bundle, name: str) -> None:
    base, random = base_head(bundle), np.random.default_rng(1)
    nothing = np.full(30, np.nan, np.float32)
    samples = Samples(
        random.normal(1, 1, (30, len(PARTS) * 128)).astype(np.float32),
        np.arange(30) * 4.0,
        np.eye(len(LABELS), dtype=np.float32)[np.arange(30) % len(LABELS)],
        nothing,
        nothing,
        np.ones(30, np.float32),
    )
    found = LEARNERS[name].fit(base, samples, None, 0, say_nothing)
    assert len(found) == len(PARTS) * 3 * 2
    assert all(np.isfinite(values).all() for values in found.values())


def test_networks_that_learned_the_same_part_or_none_are_counted(tmp_path: Path, networks: list[Network]) -> None:
    steps = load_card(save_network(tmp_path / "any", networks[0])).lineage

    def card(*points: str) -> Card:
        return load_card(save_network(tmp_path / "any", networks[0], lineage=(*map(learned, points), *steps)))

    assert part_names([card("mouth"), card(), card("all"), card("mouth"), card("mouth", "eyes")]) == (
        "network1", "network2", "network3", "network4", "eyes",
    )  # fmt: skip
