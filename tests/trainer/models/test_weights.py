"""Weights that others have trained compute what they computed there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.models
from torch.nn import functional

from mien.bundle import InputSpec
from mien.errors import MienError
from mien.models.fer2013 import LABELS
from mien.models.fetch import fetch
from mien.models.mini_xception import convert_mini_xception
from mien.runtime.backend import BackendOptions, Model, load_network
from trainer.models import Network, Outputs, build_network
from trainer.models.face_expression_net import read_face_expression_net
from trainer.models.teacher import as_input
from trainer.models.weights import KNOWN_EXPRESSIONS, load_start_weights

TWO = Outputs(labels=("a", "b"))
KERAS = json.loads((Path(__file__).parents[2] / "data" / "keras_logits.json").read_text())["patterns"]
FACE_API = (
    (0.552773, 0.351971, 0.034816, 0.037519, 0.002219, 0.017466, 0.003235),
    (0.424398, 0.003995, 0.552368, 0.016599, 0.001808, 0.000565, 0.000267),
)
"""Probabilities of `patterns()` in the network's order, from @vladmandic/face-api 1.7.15 on tfjs 4.22.0."""
LITE0 = (0.0, 0.00381353, 0.0, 0.0, 0.02851619, 0.0, 0.0, 0.09008601)
"""Every 160th value of the embedding of `waves()`, and below the sum, from efficientnet-lite-pytorch 0.1.0."""
LITE0_SUM = 190.054291


def waves(side: int = 224) -> torch.Tensor:
    """A picture (1, 3, side, side) that any program can make."""
    step = torch.arange(float(side))
    return torch.stack([torch.sin(step[:, None] * a / 20) * torch.cos(step * a / 30) for a in (1, 2, 3)])[None]


def patterns() -> torch.Tensor:
    """Two pictures (2, 3, 112, 112), 0 to 255, that any program can make."""
    channel, row, column = np.mgrid[1:4, :112, :112]
    pixels = np.stack([column * channel + row**2, column * row * channel // 16]) % 256
    return torch.from_numpy(pixels.astype(np.float32))


def with_weights(name: str, start: str, outputs: Outputs = TWO) -> tuple[Network, str]:
    network = build_network(name, outputs, seed=0)
    weights = load_start_weights(network, start)
    assert any(licence in weights.terms for licence in ("MIT", "BSD", "Apache"))
    return network.eval(), weights.lineage


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torchvision's, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@torch.no_grad()
def test_mini_xception_answers_as_keras_does_and_as_the_robots_graph() -> None:
    network, lineage = with_weights("mini_xception", "package", Outputs(labels=LABELS))
    assert lineage == "FER2013"
    row, column = np.mgrid[:64, :64]
    grey = np.array([(a * column + b * row + c * column * row) % 256 for a, b, c in (e["abc"] for e in KERAS)])
    images = ((grey.astype(np.float32) - 127.5) * (2 / 255))[:, None].astype(np.float32)
    output = network(torch.from_numpy(images))
    np.testing.assert_allclose(output.classes, [e["logits"] for e in KERAS], rtol=0, atol=1e-4)
    graph = load_network(
        Model.of("backbone", "a test", convert_mini_xception(fetch("mini_xception")).backbone), BackendOptions()
    )
    np.testing.assert_allclose(output.embedding, graph.run(images)["embedding"], rtol=0, atol=1e-5)


def test_mini_xception_keeps_a_new_output_layer_for_other_classes() -> None:
    new = build_network("mini_xception", Outputs(labels=LABELS[:3]), seed=0)
    network, _ = with_weights("mini_xception", "package", Outputs(labels=LABELS[:3]))
    assert torch.equal(network.parts["output"]["classes"].weight, new.parts["output"]["classes"].weight)


def test_mini_xception_keeps_what_it_knows_of_more_classes() -> None:
    outputs = Outputs(labels=("contempt", *sorted(LABELS)), affect=("valence", "arousal"))
    whole, _ = with_weights("mini_xception", "package", Outputs(labels=LABELS))
    new, network = (build_network("mini_xception", outputs, seed=0) for _ in range(2))
    load_start_weights(network, "package", keep_classes=True)
    for kind in ("weight", "bias"):
        rows, known = (getattr(one.parts["output"]["classes"], kind) for one in (network, whole))
        assert torch.equal(rows[0], getattr(new.parts["output"]["classes"], kind)[0])
        for label in LABELS:
            assert torch.equal(rows[outputs.labels.index(label)], known[LABELS.index(label)]), label
    assert torch.equal(network.parts["output"]["valence"].weight, new.parts["output"]["valence"].weight)


@torch.no_grad()
def test_face_expression_net_answers_as_the_package_does() -> None:
    labels = KNOWN_EXPRESSIONS["face_expression_net"]
    network, lineage = with_weights("face_expression_net", "package", Outputs(labels=labels))
    assert lineage == "face-api.js's pictures"
    assert labels == ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
    mean, scale = (torch.tensor(values)[:, None, None] for values in (network.input.mean, network.input.scale))
    probabilities = network((patterns() - mean) * scale).classes.softmax(1)
    np.testing.assert_allclose(probabilities, FACE_API, rtol=0, atol=5e-6)


@torch.no_grad()
def test_the_pair_says_the_product_of_what_both_say() -> None:
    labels = ("happiness", "contempt", *(label for label in LABELS if label != "happiness"))
    pair = build_network("expression_pair", Outputs(labels=labels), seed=0).eval()
    weights = load_start_weights(pair, "package", keep_classes=True)
    assert weights.lineage == "FER2013 + face-api.js's pictures"
    assert "Octavio Arriaga" in weights.terms
    assert "Vincent Mühler" in weights.terms
    grey = functional.interpolate(torch.rand(2, 1, 8, 8), 64, mode="bicubic") * 255
    of_pair = as_input(grey, InputSpec(64, 64, "grey", (0.0,), (1.0,)), pair.input)
    together = torch.zeros(2, len(labels))
    for name in ("mini_xception", "face_expression_net"):
        own = KNOWN_EXPRESSIONS[name]
        network, _ = with_weights(name, "package", Outputs(labels=own))
        seen = as_input(of_pair, pair.input, network.input)
        together[:, [labels.index(label) for label in own]] += network(seen).classes
    known = [place for place, label in enumerate(labels) if label != "contempt"]
    found = pair(of_pair)
    torch.testing.assert_close(found.classes[:, known], together[:, known], rtol=1e-4, atol=1e-4)
    lengths = found.embedding[:, :1152].norm(dim=1), found.embedding[:, 1152:].norm(dim=1)
    assert torch.stack(lengths).min() > torch.stack(lengths).max() / 8  # neither drowns the other
    assert found.embedding.shape == (2, 1408)


@pytest.mark.parametrize("damage", ["cut", "index"])
def test_a_network_of_face_api_that_is_damaged_is_named(damage: str, tmp_path: Path) -> None:
    index, weights = (tmp_path / name for name in ("index.json", "weights.bin"))
    index.write_bytes(fetch("face_expression_net_index").read_bytes() if damage == "cut" else b"[{}]")
    weights.write_bytes(fetch("face_expression_net").read_bytes()[:-1])
    with pytest.raises(MienError, match=r"weights\.bin is no expression network of face-api\.js"):
        read_face_expression_net(index, weights)


@pytest.mark.parametrize("name", ["mobilenet_v2", "mini_xception_dense"])
def test_weights_that_know_no_expressions_have_none_to_keep(name: str) -> None:
    with pytest.raises(MienError, match=f"The weights of {name} from package know no expressions") as caught:
        load_start_weights(build_network(name, TWO, seed=0), "package", keep_classes=True)
    assert caught.value.remedy.endswith("mini_xception, face_expression_net, expression_pair")


@torch.no_grad()
def test_efficientnet_lite0_answers_as_the_network_that_its_weights_are_for() -> None:
    network, lineage = with_weights("efficientnet_lite0", "package")
    assert lineage == "IN"
    embedding = network(waves()).embedding[0]
    np.testing.assert_allclose(embedding[::160], LITE0, atol=1e-5)
    assert embedding.sum().item() == pytest.approx(LITE0_SUM, rel=1e-5)


@torch.no_grad()
def test_mobilenet_v2_answers_as_torchvisions_does(torch_home: Path) -> None:
    file = fetch("mobilenet_v2_imagenet")
    theirs = torchvision.models.mobilenet_v2()
    theirs.load_state_dict(torch.load(file, weights_only=True))
    expected = theirs.eval().features(waves()).mean((2, 3))
    shutil.copy(file, torch_home / "mobilenet_v2-b0353104.pth")
    for start in ("package", "torchvision"):
        network, lineage = with_weights("mobilenet_v2", start)
        assert lineage == "IN"
        torch.testing.assert_close(network(waves()).embedding, expected)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "file", "last"),
    [("alexnet", "alexnet-owt-7be5be79.pth", "classifier.6"), ("resnet50", "resnet50-0676ba61.pth", "fc")],
)
def test_torchvisions_file_reaches_every_layer_before_the_last(
    name: str, file: str, last: str, torch_home: Path
) -> None:
    theirs = torchvision.models.get_model(name).eval()
    for tensor in theirs.state_dict().values():
        if tensor.dim() == 1:
            tensor.uniform_(0.5, 1.5)  # so that no two tensors of a normalisation are alike
    torch.save(dict(reversed(theirs.state_dict().items())), torch_home / file)
    network, lineage = with_weights(name, "torchvision")
    assert lineage == "IN"
    seen: list[torch.Tensor] = []
    theirs.get_submodule(last).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    theirs(waves())
    torch.testing.assert_close(network(waves()).features, seen[0])


def test_a_closed_network_is_named_with_the_file_to_copy(torch_home: Path) -> None:
    with pytest.raises(MienError, match="torchvision's weights of mobilenet_v2 cannot be fetched") as caught:
        with_weights("mobilenet_v2", "torchvision")
    assert "mobilenet_v2-b0353104.pth" in caught.value.remedy
    assert str(torch_home) in caught.value.remedy


def test_a_damaged_file_is_named(torch_home: Path) -> None:
    whole = fetch("mobilenet_v2_imagenet").read_bytes()
    (torch_home / "mobilenet_v2-b0353104.pth").write_bytes(whole[:-1000])
    with pytest.raises(MienError, match=r"mobilenet_v2-b0353104\.pth is damaged"):
        with_weights("mobilenet_v2", "torchvision")


@pytest.mark.parametrize(
    ("name", "start", "instead"),
    [
        ("mobilenet_v1_48_w025", "package", "efficientnet_lite0"),
        ("mobilenet_v1_48_w025", "torchvision", "resnet50"),
        ("mini_xception", "torchvision", "resnet50"),
    ],
)
def test_networks_without_weights_are_named(name: str, start: str, instead: str) -> None:
    with pytest.raises(MienError, match=f"no weights for {name} from") as caught:
        with_weights(name, start)
    assert instead in caught.value.remedy
