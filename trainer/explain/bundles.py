"""Grad-CAM of bundles by numpy alone: from the last maps and the embedding that the graph gives, and the dense head.

A class's logit depends on a map only through the embedding, which is pooled from it channel by channel: the mean over
all positions, over a grid of cells, over the largest of each 2×2 (paper 004), or as each tap of a 3×3 convolution sees
it (mini-XCEPTION). Pooling is linear, given which ones are the largest, so the mean over the positions of the logit's
gradient in channel k (paper 004, eq. 5) is

    α_k = 1/Z · Σ_m g_km · p_m

with Z positions, g the gradient in the embedding, and p what pooling makes of a map of ones. A graph of networks whose
maps differ in size gives each of them, and in the embedding stands what they are pooled into, one behind the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count, takewhile
from typing import NamedTuple

import numpy as np

from mien.bundle import Bundle
from mien.errors import MienError
from mien.expression.head import softmax
from mien.networks import backbone_model
from mien.personal.dense import Dense
from mien.personal.model import base_head
from mien.runtime.backend import BackendOptions, load_network
from trainer.explain.explanation import Explanation, Floats, Part, add_up, find_class

_TOLERANCE = 1e-3
"""Of the largest number that is pooled from a map: half precision passes, another way of pooling does not."""

_Pool = Callable[[Floats], Floats]
"""(K, h, w) → (K, M)."""


class _Pooled(NamedTuple):
    """Where a map went.

    Attributes:
        maps: (K, h, w).
        start: of its K · M numbers in the embedding.
        ones: (M,), what the pooling that made them makes of a map of ones.
    """

    maps: Floats
    start: int
    ones: Floats

    @property
    def stop(self) -> int:
        """Behind its last number in the embedding."""
        return self.start + len(self.maps) * len(self.ones)

    def share(self, gradient: Floats) -> Floats:
        """Σ_k α_k A_k (h, w), of the logit's gradient in the embedding."""
        weights = gradient[self.start : self.stop].reshape(len(self.maps), -1) @ self.ones / self.maps[0].size
        share: Floats = np.tensordot(weights, self.maps, 1)
        return share


class ExplainedBundle:
    """A bundle that can be asked why.

    Args:
        bundle: whose graph gives its last maps before pooling.

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
        classes = bundle.manifest.head.spec.classes
        if classes is None:
            raise MienError(f"{bundle.path} tells no classes", "Name a bundle that tells expressions")
        self._bundle, self._spec, self._parts = bundle, spec, classes.parts
        self._base, self._head = base_head(bundle), bundle.load_head()
        self._dense = Dense(self._base.spec)
        options = BackendOptions(precision="fp32" if "fp32" in spec.files else None)
        self._network = load_network(backbone_model(bundle, options.precision), options)
        first, given = spec.feature_map_output, self._network.output_names
        if first not in given:
            self._network.close()
            raise MienError(f"{bundle.path}: the backbone has no output {first!r}", "Export the bundle again")
        more = (f"{first}_{number}" for number in count(2))  # as `export.graph` names them
        self._maps = (first, *takewhile(lambda name: name in given, more))

    def explain(self, image: Floats, class_name: str | None = None) -> Explanation:
        """Explain what the bundle answers on one face.

        Args:
            image: float32 (C, H, W), normalised as the manifest says.
            class_name: that the maps explain; None = the one that is answered.

        Raises:
            MienError: there is no such class, or the embedding is not pooled from the maps in a way that is known.
        """
        outputs = self._network.run(np.ascontiguousarray(image[None]))
        embeddings = outputs[self._spec.embedding_output]
        probabilities = self._head.predict(embeddings).probabilities[0]
        target = find_class(class_name, self._base.labels, probabilities)
        done = self._dense.forward(self._base.tensors, embeddings)
        pooled = self._find_pooled([outputs[name][0] for name in self._maps], embeddings[0])
        parts = []
        # Parts of classes are the first ones there.
        for number, (own, part) in enumerate(zip(self._parts, self._dense.parts, strict=False)):
            wanted = [np.zeros_like(done.values[one.last]) for one in self._dense.parts]
            wanted[number][0, target] = 1
            (gradient,) = self._dense.backward_to_embeddings(self._base.tensors, done, wanted, embeddings.shape[1])
            heat = add_up([one.share(gradient) for one in pooled if one.start < own.stop and own.start < one.stop])
            parts.append(Part(part.name, softmax(done.values[part.last])[0], heat))
        return Explanation(self._base.labels, target, probabilities, tuple(parts))

    def close(self) -> None:
        """Free the network."""
        self._network.close()

    def _find_pooled(self, maps: Sequence[Floats], embedding: Floats) -> list[_Pooled]:
        found = _follow(maps, embedding)
        if found is None:
            shapes = " and ".join(str(one.shape) for one in maps)
            raise MienError(
                f"{self._bundle.path}: its embedding {embedding.shape} is no mean of its feature map {shapes}",
                "Explain the checkpoint that it was made from: --checkpoint FOLDER",
            )
        return found


def _follow(maps: Sequence[Floats], embedding: Floats, start: int = 0) -> list[_Pooled] | None:
    """Where maps (K, h, w) went that the embedding from `start` on was pooled from in turn; None = it was not."""
    if not maps:
        return [] if start == len(embedding) else None
    first, *others = maps
    for pool in _poolings(first, (len(embedding) - start) // len(first)):
        numbers = pool(first).reshape(-1)
        expected = embedding[start : start + numbers.size]
        if np.abs(numbers - expected).max() <= _TOLERANCE * np.abs(expected).max():
            followed = _follow(others, embedding, start + numbers.size)
            if followed is not None:
                ones = pool(np.ones((1, *first.shape[1:]), np.float32))[0]
                return [_Pooled(first, start, ones), *followed]
    return None


def _poolings(maps: Floats, most: int) -> Iterator[_Pool]:
    """Ways to pool each channel into so many numbers or fewer."""
    for side in range(1, math.isqrt(most) + 1):
        yield partial(_cells, side=side)
        if min(maps.shape[1:]) > 1:
            yield partial(_cells_of_largest, side=side)
    if most >= 9:
        yield _shifted


def _cells(maps: Floats, side: int) -> Floats:
    """Means over a grid of cells, which overlap where they do not fit, as torch's `AdaptiveAvgPool2d`."""
    rows, columns = ([(i * size // side, -(-(i + 1) * size // side)) for i in range(side)] for size in maps.shape[1:])
    means = [maps[:, top:bottom, left:right].mean((1, 2)) for top, bottom in rows for left, right in columns]
    return np.stack(means, -1)


def _cells_of_largest(maps: Floats, side: int) -> Floats:
    """The same of the largest of each 2×2, of which an odd last row or column is left out."""
    channels, height, width = maps.shape[0], maps.shape[1] // 2, maps.shape[2] // 2
    blocks = maps[:, : 2 * height, : 2 * width].reshape(channels, height, 2, width, 2)
    return _cells(blocks.max(axis=(2, 4)), side)


def _shifted(maps: Floats) -> Floats:
    """Means as each tap of a 3×3 convolution with zeros around sees them (`trainer.models.mini_xception`)."""
    height, width = maps.shape[1:]
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    means = [padded[:, y : y + height, x : x + width].mean((1, 2)) for y in range(3) for x in range(3)]
    return np.stack(means, -1)
