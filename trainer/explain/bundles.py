"""Grad-CAM of bundles by numpy alone: from the map and the embedding that the graph gives, and the dense head."""

from __future__ import annotations

from mien.bundle import Bundle
from trainer.explain.explanation import Explanation, Floats


class ExplainedBundle:
    """A bundle that can be asked why.

    Args:
        bundle: whose graph gives its last map before pooling.

    Raises:
        MienError: it gives none, tells no classes, or cannot be loaded.
    """

    def __init__(self, bundle: Bundle) -> None:
        raise NotImplementedError

    def explain(self, image: Floats, class_name: str | None = None) -> Explanation:
        """Explain what the bundle answers on one face.

        Args:
            image: float32 (C, H, W), normalised as the manifest says.
            class_name: that the maps explain; None = the one that is answered.

        Raises:
            MienError: there is no such class, or the embedding is not pooled from the map in a way that is known.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Free the network."""
        raise NotImplementedError
