"""Grad-CAM of bundles by numpy alone: from the map and the embedding that the graph gives, and the dense head.

A class's logit depends on the map only through the embedding, which is pooled from it channel by channel: the mean over
all positions, over a grid of cells, over the largest of each 2×2 (paper 004), or as each tap of a 3×3 convolution sees
it (mini-XCEPTION). Pooling is linear, given which ones are the largest, so the mean over the positions of the logit's
gradient in channel k (paper 004, eq. 5) is

    α_k = 1/Z · Σ_m g_km · p_m

with Z positions, g the gradient in the embedding, and p what pooling makes of a map of ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from mien.bundle import Bundle
from mien.errors import MienError
from mien.expression.head import softmax
from mien.networks import backbone_model
from mien.personal.dense import Dense
from mien.personal.model import base_head
from mien.runtime.backend import BackendOptions, load_network
from trainer.explain.explanation import Explanation, Floats, Part, find_class

_TOLERANCE = 1e-3
"""Of the largest number in the embedding: half precision passes, another way of pooling does not."""

_Pool = Callable[[Floats], Floats]
"""(K, h, w) → (K, M)."""


class ExplainedBundle:
    """A bundle that can be asked why.

    Args:
        bundle: whose graph gives its last map before pooling.

    Raises:
        MienError: it gives none, tells no classes, or cannot be loaded.
    """

    def __init__(self, bundle: Bundle) -> None:
        spec = bundle.manifest.backbone
        if spec.feature_map_output is None:
            raise MienError(
                f"{bundle.path} was made without a feature map, so nobody can say where its network looked",
                "Export its checkpoint again with --feature-map, or explain the checkpoint itself: --checkpoint FOLDER",
            )
        if not bundle.manifest.labels:
            raise MienError(f"{bundle.path} tells no classes", "Name a bundle that tells expressions")
        self._bundle, self._spec = bundle, spec
        self._map: str = spec.feature_map_output
        self._base, self._head = base_head(bundle), bundle.load_head()
        self._dense = Dense(self._base.spec)
        options = BackendOptions(precision="fp32" if "fp32" in spec.files else None)
        self._network = load_network(backbone_model(bundle, options.precision), options)
        if self._map not in self._network.output_names:
            self._network.close()
            raise MienError(f"{bundle.path}: the backbone has no output {self._map!r}", "Export the bundle again")

    def explain(self, image: Floats, class_name: str | None = None) -> Explanation:
        """Explain what the bundle answers on one face.

        Args:
            image: float32 (C, H, W), normalised as the manifest says.
            class_name: that the maps explain; None = the one that is answered.

        Raises:
            MienError: there is no such class, or the embedding is not pooled from the map in a way that is known.
        """
        outputs = self._network.run(np.ascontiguousarray(image[None]))
        embeddings, maps = outputs[self._spec.embedding_output], outputs[self._map][0]
        probabilities = self._head.predict(embeddings).probabilities[0]
        target = find_class(class_name, self._base.labels, probabilities)
        done = self._dense.forward(self._base.tensors, embeddings)
        pooled_ones = self._pooled_ones(maps, embeddings[0])
        parts = []
        for number, part in enumerate(self._dense.parts):
            if part.output != "classes":
                continue
            wanted = [np.zeros_like(done.values[one.last]) for one in self._dense.parts]
            wanted[number][0, target] = 1
            gradient = self._dense.backward_to_embeddings(self._base.tensors, done, wanted, embeddings.shape[1])
            weights = gradient.reshape(len(maps), -1) @ pooled_ones / maps[0].size
            heat = np.maximum(np.tensordot(weights, maps, 1), 0)  # eq. 6
            parts.append(Part(part.name, softmax(done.values[part.last])[0], heat))
        return Explanation(self._base.labels, target, probabilities, tuple(parts))

    def close(self) -> None:
        """Free the network."""
        self._network.close()

    def _pooled_ones(self, maps: Floats, embedding: Floats) -> Floats:
        """(M,): what the pooling that made the embedding from the maps (K, h, w) makes of a map of ones."""
        for pool in _poolings(len(embedding) / len(maps)):
            difference = np.abs(pool(maps).reshape(-1) - embedding).max()
            if difference <= _TOLERANCE * np.abs(embedding).max():
                ones: Floats = pool(np.ones((1, *maps.shape[1:]), np.float32))[0]
                return ones
        raise MienError(
            f"{self._bundle.path}: its embedding {embedding.shape} is no mean of its feature map {maps.shape}",
            "Explain the checkpoint that it was made from: --checkpoint FOLDER",
        )


def _poolings(numbers: float) -> Iterator[_Pool]:
    """Ways to pool each channel into so many numbers."""
    side = math.isqrt(int(numbers))
    if side * side == numbers > 0:
        yield lambda maps: _cells(maps, side)
        yield lambda maps: _cells(_largest(maps), side)
    if numbers == 9:
        yield _shifted


def _cells(maps: Floats, side: int) -> Floats:
    """Means over a grid of cells, which overlap where they do not fit, as torch's `AdaptiveAvgPool2d`."""
    rows, columns = ([(i * size // side, -(-(i + 1) * size // side)) for i in range(side)] for size in maps.shape[1:])
    means = [maps[:, top:bottom, left:right].mean((1, 2)) for top, bottom in rows for left, right in columns]
    return np.stack(means, -1)


def _largest(maps: Floats) -> Floats:
    """The largest of each 2×2, of which an odd last row or column is left out."""
    channels, height, width = maps.shape[0], maps.shape[1] // 2, maps.shape[2] // 2
    blocks = maps[:, : 2 * height, : 2 * width].reshape(channels, height, 2, width, 2)
    largest: Floats = blocks.max(axis=(2, 4))
    return largest


def _shifted(maps: Floats) -> Floats:
    """Means as each tap of a 3×3 convolution with zeros around sees them (`trainer.models.mini_xception`)."""
    height, width = maps.shape[1:]
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    means = [padded[:, y : y + height, x : x + width].mean((1, 2)) for y in range(3) for x in range(3)]
    return np.stack(means, -1)
