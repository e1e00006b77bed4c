"""Grad-CAM of every kind of backbone against its definition, and of several networks together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from mien.errors import MienError
from mien.expression.combining import combine
from mien.models.fer2013 import LABELS as FER2013
from tests.export.checkpoints import LABELS, noise, settled_network
from trainer.explain.networks import explain_networks
from trainer.models import Network, Outputs, build_network
from trainer.models.feature_map import backbones
from trainer.models.weights import load_start_weights

SIDES = {
    "mobilenet_v1_48_w025": 64,
    "mini_xception": 64,
    "mini_xception_dense": 64,
    "parts_subnet": 80,
    "mobilenet_v2": 64,
    "efficientnet_lite0": 64,
}
"""Ways to pool, with hidden layers and without; ResNets, AlexNet and VGG19, which are large, end as these do."""


@pytest.mark.parametrize("architecture", SIDES)
def test_maps_follow_the_definition(architecture: str) -> None:
    network = settled_network(architecture, Outputs(LABELS), 1, SIDES[architecture])
    image, head, (backbone,) = noise(network, 1), Head(network), backbones(network)
    maps = backbone.maps(image).detach().requires_grad_()
    logits = head(backbone.pooling(maps))[0]
    highest = 0.0
    for number, label in enumerate(LABELS):
        found = explain_networks({"it": network}, image[0].numpy(), label)
        assert found.target == number
        (gradient,) = torch.autograd.grad(logits[number], maps, retain_graph=True)
        weights = gradient.mean((2, 3), keepdim=True)  # paper 004, eq. 5
        expected = functional.relu((weights * maps).sum(1))[0].detach().numpy()  # eq. 6
        np.testing.assert_allclose(found.parts[0].heat, expected, rtol=1e-3, atol=1e-4 * float(expected.max()))
        highest = max(highest, float(expected.max()))
    assert highest > 0


def test_of_several_maps_each_has_its_share_of_the_logit() -> None:
    network = build_network("expression_pair", Outputs(FER2013), 0)
    load_start_weights(network, "package")
    network.eval()
    image, pair = noise(network, 1), backbones(network)
    maps = [one.maps(image).detach().requires_grad_() for one in pair]
    logits = Head(network)(torch.cat([one.pooling(values) for one, values in zip(pair, maps, strict=True)], 1))[0]
    for number, label in enumerate(FER2013):
        gradients = torch.autograd.grad(logits[number], maps, retain_graph=True)
        small, large = (
            (gradient.mean((2, 3), keepdim=True) * values).sum(1)[0].detach().numpy()
            for gradient, values in zip(gradients, maps, strict=True)
        )
        # Both divided so finely that a cell of each is a whole number of pieces.
        pieces = np.kron(small, np.full((7, 7), 1 / 49, np.float32))
        enlarged = pieces.reshape(7, 4, 7, 4).sum((1, 3))
        heat = explain_networks({"it": network}, image[0].numpy(), label).parts[0].heat
        expected = np.maximum(enlarged + large, 0)
        np.testing.assert_allclose(heat, expected, rtol=1e-3, atol=1e-4 * float(np.abs(enlarged + large).max()))
        assert min(np.abs(enlarged).max(), np.abs(large).max()) > 0.01


class Head(torch.nn.Module):
    """The dense part of a network, in evaluation mode."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        *self.hidden, output = list(network.parts.values())[network.architecture.groups :]
        self.output = output["classes"]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        for layer in self.hidden:
            values = functional.relu(layer(values))
        return self.output(values)


@pytest.mark.parametrize("rule", ["mean", "reliability"])
def test_several_networks_answer_together_and_each_looks_for_itself(rule: str) -> None:
    networks = {name: settled_network("mini_xception", Outputs(LABELS), seed) for seed, name in enumerate("ab")}
    image = noise(networks["a"], 1)
    found = explain_networks(networks, image[0].numpy(), rule=rule)
    alone = {
        name: explain_networks({name: one}, image[0].numpy(), LABELS[found.target]) for name, one in networks.items()
    }
    odds = np.stack([one.probabilities for one in alone.values()])
    np.testing.assert_allclose(found.probabilities, combine(rule, odds[:, None])[0], rtol=1e-5)
    assert found.target == found.probabilities.argmax()
    for part in found.parts:
        np.testing.assert_allclose(part.heat, alone[part.name].parts[0].heat, rtol=1e-5)
        np.testing.assert_allclose(part.probabilities, alone[part.name].probabilities, rtol=1e-5)


def test_networks_are_left_as_they_were() -> None:
    network = settled_network("mini_xception", Outputs(LABELS), 0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    explain_networks({"it": network}, noise(network, 1)[0].numpy())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_refuses_networks_without_classes_or_with_others() -> None:
    of_classes = settled_network("mini_xception", Outputs(LABELS), 0)
    others = settled_network("mini_xception", Outputs(LABELS[::-1]), 0)
    of_affect = settled_network("mini_xception", Outputs(affect=("valence",)), 0)
    image = noise(of_classes, 1)[0].numpy()
    with pytest.raises(MienError, match="b tells no classes"):
        explain_networks({"a": of_classes, "b": of_affect}, image)
    with pytest.raises(MienError, match="a and b tell different classes"):
        explain_networks({"a": of_classes, "b": others}, image)
