"""Small heads of every kind, and people for them, made by chance."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mien.bundle import CANONICAL_LABELS
from mien.expression.head import HeadSpec, softmax
from mien.personal.samples import BaseHead, Samples
from mien.personal.statistics import measure_statistics

LABELS = CANONICAL_LABELS[:4]
EMBEDDING = 10
FACE_PARTS = ("eyebrows", "eyes", "nose", "mouth", "jaw")


def part(name: str, start: int, stop: int, *layers: tuple[str, str]) -> dict[str, Any]:
    """A part of a spec; layers are (name, activation), their tensors <name>.weight and .bias."""
    made = [{"weight": f"{one}.weight", "bias": f"{one}.bias", "activation": kind} for one, kind in layers]
    return {"name": name, "start": start, "stop": stop, "layers": made}


def output(combine: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"combine": combine, "parts": list(parts)}


HEADS: dict[str, tuple[dict[str, Any], dict[str, tuple[int, int]]]] = {
    "one layer": (
        {
            "classes": output("softmax", part("face", 0, 10, ("c", "linear"))),
            "valence": output("linear", part("face", 0, 10, ("v", "linear"))),
            "arousal": output("linear", part("face", 0, 10, ("a", "linear"))),
        },
        {"c": (4, 10), "v": (1, 10), "a": (1, 10)},
    ),
    "shared layers": (
        {
            "classes": output("softmax", part("face", 0, 10, ("h1", "tanh"), ("h2", "relu"), ("c", "linear"))),
            "valence": output("linear", part("face", 0, 10, ("h1", "tanh"), ("v", "linear"))),
            "arousal": output("linear", part("face", 0, 10, ("h1", "tanh"), ("h2", "relu"), ("a", "linear"))),
        },
        {"h1": (7, 10), "h2": (6, 7), "c": (4, 6), "v": (1, 7), "a": (1, 6)},
    ),
    "parts": (
        {
            "classes": output(
                "mean_of_softmax",
                part("eyes", 0, 6, ("e1", "relu"), ("e2", "linear")),
                part("mouth", 4, 10, ("m", "linear")),
            )
        },
        {"e1": (5, 6), "e2": (4, 5), "m": (4, 6)},
    ),
    "five parts": (  # as paper 004's: three layers each
        {
            "classes": output(
                "reliability_of_softmax",
                *(
                    part(name, place, place + 6, (f"{name}1", "relu"), (f"{name}2", "relu"), (name, "linear"))
                    for place, name in enumerate(FACE_PARTS)
                ),
            )
        },
        {
            layer: size
            for name in FACE_PARTS
            for layer, size in ((f"{name}1", (8, 6)), (f"{name}2", (6, 8)), (name, (4, 6)))
        },
    ),
    "twins": (
        {
            "valence": output("linear", part("valence", 0, 5, ("v1", "relu"), ("v2", "relu"), ("v3", "linear"))),
            "arousal": output("linear", part("arousal", 5, 10, ("a1", "relu"), ("a2", "tanh"), ("a3", "linear"))),
        },
        {"v1": (6, 5), "v2": (5, 6), "v3": (1, 5), "a1": (6, 5), "a2": (5, 6), "a3": (1, 5)},
    ),
}
"""Outputs, and (outputs, inputs) of the layers."""


def make_base(kind: str, seed: int = 0, affect_range: tuple[float, float] = (-1.0, 1.0)) -> BaseHead:
    """One of `HEADS` with numbers by chance."""
    random = np.random.default_rng(seed)
    outputs, sizes = HEADS[kind]
    tensors = {}
    for name, size in sizes.items():
        tensors[f"{name}.weight"] = (random.normal(size=size) / np.sqrt(size[1])).astype(np.float32)
        tensors[f"{name}.bias"] = (random.normal(size=size[0]) / 4).astype(np.float32)
    spec = msgspec.convert(outputs, HeadSpec)
    labels = LABELS if spec.classes is not None else ()
    return BaseHead(spec, tensors, labels, EMBEDDING, affect_range if spec.valence is not None else None)


def make_samples(base: BaseHead, count: int, seed: int = 0, gaps: float = 0.0) -> Samples:
    """Samples 4 s apart whose labels are by chance; a share `gaps` of each kind of label is missing."""
    random = np.random.default_rng(seed)
    classes = softmax(2 * random.normal(size=(count, len(base.labels)))).astype(np.float32) if base.labels else None
    affect = random.uniform(-1, 1, (2, count)).astype(np.float32)
    missing = random.random((3, count)) < gaps
    if classes is None:
        classes = np.empty((count, 0), np.float32)
    classes[missing[0]] = np.nan
    affect[missing[1:]] = np.nan
    return Samples(
        embeddings=random.normal(size=(count, base.embedding_size)).astype(np.float32),
        stamps_s=np.arange(count) * 4.0,
        classes=classes,
        valence=affect[0],
        arousal=affect[1],
        weights=random.uniform(0.25, 1, count).astype(np.float32),
    )


class World:
    """People whose classes are normal clouds in an embedding of 60 numbers, and the best linear base head for them.

    A person's clouds are moved: all together by `looks`, each by itself by `style` (in units of the clouds' width).
    """

    def __init__(self, seed: int = 0, statistics: bool = True) -> None:
        self._random = random = np.random.default_rng(seed)
        self.means = random.normal(size=(4, 60)) * 0.35 + random.normal(size=60)
        # Log odds of normal clouds: Fisher's discriminant.
        weight = self.means - self.means.mean(axis=0)
        bias = -0.5 * ((self.means**2).sum(axis=1) - (self.means**2).sum(axis=1).mean())
        outputs = {"classes": output("softmax", part("face", 0, 60, ("c", "linear")))}
        tensors = {"c.weight": weight.astype(np.float32), "c.bias": bias.astype(np.float32)}
        self.base = BaseHead(msgspec.convert(outputs, HeadSpec), tensors, LABELS, 60, None)
        if statistics:
            faces = self.moments(self.means, random.integers(0, 4, 4000))
            tensors = {**tensors, **measure_statistics(self.base, faces.embeddings, faces.classes)}
            self.base = BaseHead(self.base.spec, tensors, LABELS, 60, None)

    def person(self, style: float, looks: float = 0.0) -> NDArray[np.float64]:
        """The means of a new person's classes."""
        own = self._random.normal(size=(4, 60)) * style + self._random.normal(size=60) * looks
        return np.asarray(self.means + own, np.float64)

    def moments(self, means: NDArray[np.float64], classes: NDArray[np.integer]) -> Samples:
        """A person's moments that show those classes, rightly labelled, 4 s apart."""
        count = len(classes)
        nothing = np.full(count, np.nan, np.float32)
        return Samples(
            embeddings=(means[classes] + self._random.normal(size=(count, 60))).astype(np.float32),
            stamps_s=np.arange(count) * 4.0,
            classes=np.eye(4, dtype=np.float32)[classes],
            valence=nothing,
            arousal=nothing,
            weights=np.ones(count, np.float32),
        )

    def mixed(self, means: NDArray[np.float64], count: int) -> Samples:
        """A person's moments of all classes, by chance."""
        return self.moments(means, self._random.integers(0, 4, count))
