"""Grad-CAM of trained networks, by captum's `LayerGradCam`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import Tensor

from mien.errors import MienError
from mien.expression.combining import Rule, combine
from trainer.explain.explanation import Explanation, Floats, Part, add_up, find_class
from trainer.models.feature_map import backbones
from trainer.models.network import Network


def explain_networks(
    networks: Mapping[str, Network], image: Floats, class_name: str | None = None, rule: Rule = "mean"
) -> Explanation:
    """Explain what networks answer on one face.

    Args:
        networks: by name, in evaluation mode; all tell the same classes of the same input.
        image: float32 (C, H, W), normalised as their `input` says.
        class_name: that the maps explain; None = the one that they answer together.
        rule: how they answer together.

    Raises:
        MienError: a network tells no classes, or other ones, or there is no such class.
    """
    labels = _labels(networks)
    images = torch.from_numpy(image)[None]
    with torch.no_grad():
        answers = [_classes(network, images).softmax(1).numpy() for network in networks.values()]
    probabilities: Floats = combine(rule, np.stack(answers))[0]
    target = find_class(class_name, labels, probabilities)
    parts = [
        Part(name, answer[0], _heat(network, images, target))
        for (name, network), answer in zip(networks.items(), answers, strict=True)
    ]
    return Explanation(labels, target, probabilities, tuple(parts))


def _heat(network: Network, images: Tensor, target: int) -> Floats:
    shares: list[Floats] = []
    for backbone in backbones(network):
        explainer = LayerGradCam(lambda pictures: _classes(network, pictures), backbone.maps[-1])
        attribution: Tensor = explainer.attribute(images, target)
        shares.append(attribution[0, 0].detach().numpy())
    return add_up(shares)


def _classes(network: Network, images: Tensor) -> Tensor:
    logits: Tensor | None = network(images).classes
    assert logits is not None  # noqa: S101  `_labels` has looked
    return logits.float()


def _labels(networks: Mapping[str, Network]) -> tuple[str, ...]:
    found = {name: network.outputs.labels for name, network in networks.items()}
    first, labels = next(iter(found.items()))
    for name, others in found.items():
        if not others:
            raise MienError(f"{name} tells no classes", "Name networks that tell expressions")
        if others != labels:
            raise MienError(
                f"{first} and {name} tell different classes ({', '.join(labels)}; {', '.join(others)})",
                "Name networks that tell the same ones in the same order",
            )
    return labels
