"""Grad-CAM of trained networks, through torch."""

from __future__ import annotations

from collections.abc import Mapping

from mien.expression.combining import Rule
from trainer.explain.explanation import Explanation, Floats
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
    raise NotImplementedError
