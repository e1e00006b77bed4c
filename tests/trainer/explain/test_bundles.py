"""Bundles, asked by numpy alone, give the maps of the networks that they were made from."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from export.bundle import export_bundle
from mien.bundle import open_bundle
from mien.errors import MienError
from mien.models.default_bundle import built_bundle, default_bundle
from mien.models.fer2013 import LABELS as FER2013
from tests.conftest import EMBEDDING, SIZE_PX, small_backbone, write_bundle
from tests.export.checkpoints import LABELS, noise, save_network, settled_network
from trainer.explain.bundles import ExplainedBundle
from trainer.explain.explanation import Explanation
from trainer.explain.networks import explain_networks
from trainer.models import Outputs, build_network
from trainer.models.weights import load_start_weights


def test_bundle_and_checkpoints_give_the_same_maps(tmp_path: Path) -> None:
    networks = {
        f"network{number}": settled_network("parts_subnet", Outputs(LABELS, affects), number, 80)
        for number, affects in enumerate([("valence", "arousal"), ()], 1)
    }
    folders = [save_network(tmp_path / name, network) for name, network in networks.items()]
    bundle = ExplainedBundle(export_bundle(folders, tmp_path / "bundle", has_feature_map=True))
    for image in noise(networks["network1"], 2).numpy():
        for class_name in (None, "happiness"):
            check_same(bundle.explain(image, class_name), explain_networks(networks, image, class_name))
    bundle.close()


def test_the_packages_network_looks_where_it_does_in_torch() -> None:
    """Its embedding are means as nine taps see them."""
    bundle = ExplainedBundle(open_bundle(built_bundle("fer2013")))
    labels = open_bundle(built_bundle("fer2013")).manifest.labels
    network = build_network("mini_xception", Outputs(labels), 0)
    load_start_weights(network, "package")
    image = noise(network, 1)[0].numpy()
    for class_name in labels:
        check_same(bundle.explain(image, class_name), explain_networks({"face": network.eval()}, image, class_name))
    bundle.close()


def test_maps_that_differ_in_size_give_the_same_heat(tmp_path: Path) -> None:
    networks = {}
    for architecture in ("expression_pair", "mini_xception"):
        networks[architecture] = build_network(architecture, Outputs(FER2013), 0).eval()
        load_start_weights(networks[architecture], "package")
    folders = [save_network(tmp_path / name, network) for name, network in networks.items()]
    bundle = ExplainedBundle(export_bundle(folders, tmp_path / "bundle", has_feature_map=True))
    image = noise(networks["mini_xception"], 1)[0].numpy()
    for class_name in FER2013:
        found = bundle.explain(image, class_name)
        assert [part.heat.shape for part in found.parts] == [(7, 7), (4, 4)]
        # Logits of tens, which float32 rounds to a few millionths.
        check_same(found, explain_networks(networks, image, class_name), atol=1e-4)
    bundle.close()


def check_same(found: Explanation, expected: Explanation, atol: float = 1e-5) -> None:
    assert (found.labels, found.target) == (expected.labels, expected.target)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=atol)
    assert len(found.parts) == len(expected.parts)
    for part, other in zip(found.parts, expected.parts, strict=True):
        np.testing.assert_allclose(part.probabilities, other.probabilities, atol=atol)
        np.testing.assert_allclose(part.heat, other.heat, rtol=1e-3, atol=1e-4 * max(other.heat.max(), 1e-6))


def with_map(folder: Path, scale: float = 1.0) -> Path:
    """The small bundle, whose embedding is the means of four quadrants of the picture; the map is the picture."""
    model = onnx.load_from_string(small_backbone())
    size = ["n", 1, SIZE_PX, SIZE_PX]
    model.graph.initializer.append(helper.make_tensor("scale", TensorProto.FLOAT, [], [scale]))
    model.graph.node.append(helper.make_node("Mul", ["image", "scale"], ["map"]))
    model.graph.output.append(helper.make_tensor_value_info("map", TensorProto.FLOAT, size))
    data = model.SerializeToString()
    write_bundle(folder, {"backbone.feature_map_output": "map"})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["backbone"]["files"]["fp32"]["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / "backbone.fp32.onnx").write_bytes(data)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_embeddings_may_be_means_over_a_grid(tmp_path: Path) -> None:
    bundle = ExplainedBundle(open_bundle(with_map(tmp_path / "bundle")))
    image = np.random.default_rng(0).random((1, SIZE_PX, SIZE_PX), np.float32)
    # The head is the identity: a class's logit is the mean of one quadrant, and its mean gradient 1/Z.
    heat = bundle.explain(image, "anger").parts[0].heat
    np.testing.assert_allclose(heat, image[0] / SIZE_PX**2, rtol=1e-5)
    assert EMBEDDING == 4


def test_refuses_maps_that_the_embedding_is_not_pooled_from(tmp_path: Path) -> None:
    bundle = ExplainedBundle(open_bundle(with_map(tmp_path / "bundle", scale=1.1)))
    with pytest.raises(MienError, match=r"is no mean of its feature map .*--checkpoint"):
        bundle.explain(np.ones((1, SIZE_PX, SIZE_PX), np.float32))


def test_refuses_bundles_that_cannot_say_where_they_look(small_bundle: Path, affect_bundle: Path) -> None:
    with pytest.raises(MienError, match=r"without a feature map.*--feature-map"):
        ExplainedBundle(open_bundle(small_bundle))
    with pytest.raises(MienError, match="tells no classes"):
        ExplainedBundle(open_bundle(affect_bundle))


def test_refuses_an_output_that_the_graph_has_not(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", {"backbone.feature_map_output": "map"})
    with pytest.raises(MienError, match="no output 'map'"):
        ExplainedBundle(open_bundle(tmp_path / "bundle"))


def test_a_bundle_is_explained_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys, numpy\n"
        "from pathlib import Path\n"
        "from trainer.explain.models import open_bundle_model\n"
        "from trainer.explain.picture import draw_explanation\n"
        "with open_bundle_model(Path(sys.argv[1])) as model:\n"
        "    found = model.explain(numpy.random.default_rng(0).random((1, 64, 64), numpy.float32), None)\n"
        "draw_explanation(numpy.zeros((64, 64, 3), numpy.uint8), found, [])\n"
        "print('torch' in sys.modules, found.parts[0].heat.shape)\n"
    )
    command = [sys.executable, "-c", code, str(default_bundle())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "False (7, 7)\n", done.stderr
