"""Heads, forward passes, and what training changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mien.errors import MienError
from trainer.data.face_parts import Points
from trainer.models import ARCHITECTURES, Network, Outputs, build_network

SMALL = "mobilenet_v1_48_w025"
CLASSES = Outputs(labels=("anger", "happiness", "neutral"))
JOINT = Outputs(labels=CLASSES.labels, affect=("valence", "arousal"))

FIRST = {SMALL: "0.weight", "mini_xception": "0.weight", "mobilenet_v2": "0.0.weight", "efficientnet_lite0": "1.weight"}
"""First weights of the first part."""


def pictures(network: Network, count: int = 4) -> Tensor:
    spec = network.input
    return torch.randn(count, spec.depth, spec.height, spec.width, generator=torch.Generator().manual_seed(1))


def loss(network: Network, images: Tensor) -> Tensor:
    """Something that every output takes part in."""
    output = network(images)
    told = [value for value in (output.classes, output.valence, output.arousal) if value is not None]
    return torch.stack([(value - 1).square().mean() for value in told]).mean()


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        (CLASSES, {"classes"}),
        (Outputs(affect=("valence",)), {"valence"}),
        (Outputs(affect=("arousal",)), {"arousal"}),
        (JOINT, {"classes", "valence", "arousal"}),
    ],
)
def test_a_network_tells_what_it_was_built_for(outputs: Outputs, told: set[str]) -> None:
    network = build_network(SMALL, outputs, seed=0).eval()
    output = network(pictures(network))
    assert {name for name in ("classes", "valence", "arousal") if getattr(output, name) is not None} == told
    for name in told:
        layer = network.parts["output"][name]
        expected = output.features @ layer.weight.T + layer.bias
        torch.testing.assert_close(getattr(output, name), expected if name == "classes" else expected[:, 0])


@pytest.mark.parametrize(("points", "count"), [("all", 68), ("eyebrows", 10), ("nose", 9), ("jaw", 17)])
@pytest.mark.parametrize("scales", [False, True])
def test_landmarks_of_a_part_have_two_units_each_and_perhaps_a_scale(points: Points, count: int, scales: bool) -> None:
    network = build_network("parts_subnet_48", Outputs(points=points, scales=scales), seed=0).eval()
    output = network(pictures(network, 2))
    assert output.classes is None
    layers = network.parts["output"]
    torch.testing.assert_close(output.landmarks, layers["landmarks"](output.features))
    assert output.landmarks.shape == (2, 2 * count)
    assert (output.scales is not None) == scales
    if scales:
        torch.testing.assert_close(output.scales, layers["scales"](output.features))
        assert output.scales.shape == (2, count)


def test_hidden_layers_stand_between_embedding_and_features() -> None:
    network = build_network("alexnet", JOINT, seed=0, image_side=64).eval()
    output = network(pictures(network, 2))
    dense = [network.parts["dense1"], network.parts["dense2"]]
    features = torch.relu(dense[1](torch.relu(dense[0](output.embedding))))
    torch.testing.assert_close(output.features, features)
    assert (output.embedding.shape, output.features.shape) == ((2, 9216), (2, 4096))


def test_dropout_takes_its_share_while_training_only_and_spares_the_features() -> None:
    network = build_network(SMALL, CLASSES, seed=0, dropout=0.5)
    assert build_network(SMALL, CLASSES, seed=0).dropout == 0.5  # paper 003
    seen: list[Tensor] = []
    network.parts["output"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    features = network.train()(pictures(network, 64)).features
    assert (seen[0] == 0).float().mean().item() == pytest.approx(
        0.5 + 0.5 * (features == 0).float().mean().item(), abs=0.02
    )
    kept = seen[0] != 0
    torch.testing.assert_close(seen[0][kept], 2 * features[kept])
    network.eval()(pictures(network))
    assert torch.equal(network.eval()(pictures(network)).features, seen[1])


def test_the_same_seed_gives_the_same_weights_and_others_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (build_network(SMALL, CLASSES, seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["parts.conv1.0.weight"], other["parts.conv1.1.weight"])


@pytest.mark.parametrize(
    ("name", "side"),
    [(SMALL, None), ("mini_xception", None), ("mobilenet_v2", 64), ("efficientnet_lite0", 64), ("resnet50", 64)],
)
def test_every_parameter_learns_and_the_loss_falls(name: str, side: int | None) -> None:
    network = build_network(name, JOINT, seed=0, dropout=0, image_side=side).train()
    images = pictures(network)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-5)
    losses = []
    for _ in range(2):
        optimiser.zero_grad()
        value = loss(network, images)
        value.backward()
        assert [key for key, parameter in network.named_parameters() if parameter.grad is None] == []
        optimiser.step()
        losses.append(value.item())
    assert losses[1] < losses[0]


@pytest.mark.parametrize("name", [SMALL, "mini_xception", "mobilenet_v2", "efficientnet_lite0"])
def test_the_order_of_channels_in_memory_changes_nothing(name: str) -> None:
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        network = build_network(name, JOINT, seed=0, dropout=0, image_side=64).train().to(memory_format=memory_format)
        value = loss(network, pictures(network).contiguous(memory_format=memory_format))
        value.backward()
        results.append((value.item(), network.parts["conv1"].get_parameter(FIRST[name]).grad.contiguous()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-3)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=0.05, atol=0.05 * results[0][1].abs().max().item())


def test_the_first_layer_of_mobilenet_v1_starts_from_its_authors_gaussian() -> None:
    weights = build_network("mobilenet_v1_224", CLASSES, seed=0).state_dict()["parts.conv1.0.weight"]
    assert weights.std().item() == pytest.approx(0.09 * 0.8796, rel=0.1)  # cut off at two deviations
    assert weights.abs().max().item() <= 0.18


@pytest.mark.parametrize(
    ("outputs", "problem"),
    [
        (Outputs(), "cannot tell nothing"),
        (Outputs(labels=("anger",)), r"cannot tell \['anger'\]"),
        (Outputs(labels=("anger", "anger")), "occurs twice"),
        (Outputs(affect=("valence", "valence")), "occurs twice"),
        (Outputs(labels=("anger", "fear"), points="eyes"), "cannot tell landmarks of eyes and other things"),
        (Outputs(scales=True), "cannot tell nothing"),
    ],
)
def test_impossible_outputs_are_refused(outputs: Outputs, problem: str) -> None:
    with pytest.raises(MienError, match=problem):
        build_network(SMALL, outputs, seed=0)


def test_every_architecture_names_its_parts_from_input_to_output() -> None:
    for architecture in ARCHITECTURES.values():
        assert architecture.parts()[0] == "conv1"
        assert architecture.parts()[-1] == "output"
    assert ARCHITECTURES["alexnet"].parts()[-3:] == ("dense1", "dense2", "output")
