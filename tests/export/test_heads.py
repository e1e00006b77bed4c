"""Heads: what the robot computes from an embedding is what torch computes."""

from __future__ import annotations

import numpy as np
import torch

from mien.expression.head import Head, softmax
from tests.export.checkpoints import LABELS, noise, settled_network
from trainer.models import Network, Outputs
from trainer.models.heads import make_head


def embeddings(networks: list[Network], pictures: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return torch.cat([network(pictures).embedding for network in networks], 1).numpy()


def test_hidden_layers_are_shared_by_all_outputs() -> None:
    network = settled_network("alexnet", Outputs(LABELS, ("valence", "arousal")), 0, side=64)
    spec, tensors = make_head([network])
    assert sorted(tensors) == sorted(
        f"{layer}.{kind}"
        for layer in ("dense1", "dense2", "classes", "valence", "arousal")
        for kind in ("weight", "bias")
    )
    pictures = noise(network, 2)
    with torch.inference_mode():
        expected = network(pictures)
    found = Head(spec, tensors, len(LABELS), 9216).predict(embeddings([network], pictures))
    np.testing.assert_allclose(found.probabilities, softmax(expected.classes.numpy()), atol=1e-5)
    np.testing.assert_allclose(found.valence, expected.valence.numpy(), atol=1e-5)
    np.testing.assert_allclose(found.arousal, expected.arousal.numpy(), atol=1e-5)


def test_each_network_has_its_slice_and_classes_are_averaged() -> None:
    outputs = (Outputs(LABELS, ("arousal",)), Outputs(affect=("valence",)), Outputs(LABELS))
    networks = [settled_network("mini_xception", one, seed) for seed, one in enumerate(outputs)]
    spec, tensors = make_head(networks)
    pictures = noise(networks[0], 4)
    with torch.inference_mode():
        first, second, third = (network(pictures) for network in networks)
    head = Head(spec, tensors, len(LABELS), 3 * 1152)
    found = head.predict(embeddings(networks, pictures))
    mean = (softmax(first.classes.numpy()) + softmax(third.classes.numpy())) / 2
    np.testing.assert_allclose(found.probabilities, mean, atol=1e-5)
    assert np.abs(mean - softmax(first.classes.numpy())).max() > 1e-3
    np.testing.assert_allclose(found.valence, second.valence.numpy(), atol=1e-5)
    np.testing.assert_allclose(found.arousal, first.arousal.numpy(), atol=1e-5)
    assert head.part_names == ("network1", "network3")
