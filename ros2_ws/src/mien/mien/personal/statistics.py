"""What a base head's training data looks like, for learners that ask; optional tensors of the head file.

Names, all float32, F being the length of what a part's last layer takes (the part's slice of the embedding where it
has one layer, else the values of the hidden layer below):

    statistics.embedding_mean                  (D,) mean of the embeddings
    statistics.<output>.<part>.mean            (F,) mean of the part's features
    statistics.<output>.<part>.variance        (F,) their variance over all faces
    statistics.classes.<part>.class_means      (L, F) their mean in each class, in the order of the labels
    statistics.classes.<part>.within           (F,) their variance around the mean of each face's class

Means are over classes of equal size, whatever the numbers of faces. Personal heads do not repeat these tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.personal.dense import Dense, Part
from mien.personal.samples import Array, BaseHead


@dataclass(frozen=True, slots=True)
class PartStatistics:
    """The features of one part, float64; shapes as above. `class_means` and `within` are None but for classes."""

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    class_means: NDArray[np.float64] | None
    within: NDArray[np.float64] | None


def measure_statistics(base: BaseHead, embeddings: Array, classes: Array) -> dict[str, Array]:
    """Measure all of the above on faces like those that the base head was trained on.

    Args:
        base: the head.
        embeddings: float32 (N, D).
        classes: float32 (N, L), each face's shares of the classes, rows sum to 1 (one-hot for plain labels); (N, 0)
            for heads without classes.

    Returns:
        Tensors by name.

    Raises:
        MienError: a class has no faces.
    """
    shares = classes.astype(np.float64) if classes.shape[1] else np.ones((len(embeddings), 1))
    for label, faces in zip(base.labels, shares.sum(axis=0), strict=False):
        if faces == 0:
            raise MienError(f"No face shows {label}", "Measure the statistics on faces of every class")
    shares = shares / shares.sum(axis=0)  # each class sums to 1
    weights = shares.mean(axis=1)
    dense = Dense(base.spec)
    done = dense.forward(base.tensors, embeddings)
    found = {"statistics.embedding_mean": weights @ embeddings}
    for part in dense.parts:
        features, name = done.inputs[part.last].astype(np.float64), f"statistics.{part.output}.{part.name}"
        mean = weights @ features
        found[f"{name}.mean"] = mean
        found[f"{name}.variance"] = weights @ (features - mean) ** 2
        if part.output == "classes":
            found[f"{name}.class_means"] = means = shares.T @ features
            squares = [share @ (features - one) ** 2 for share, one in zip(shares.T, means, strict=True)]
            found[f"{name}.within"] = np.mean(squares, axis=0)
    return {name: np.asarray(values, np.float32) for name, values in found.items()}


def part_statistics(base: BaseHead, part: Part, features: int) -> PartStatistics | None:
    """Those of one part with that many features; None where the head file has none.

    Raises:
        MienError: they have another shape.
    """
    name = f"statistics.{part.output}.{part.name}"
    mean, variance = (_read(base, f"{name}.{one}", (features,)) for one in ("mean", "variance"))
    if mean is None or variance is None:
        return None
    class_means = _read(base, f"{name}.class_means", (len(base.labels), features))
    return PartStatistics(mean, variance, class_means, _read(base, f"{name}.within", (features,)))


def embedding_mean(base: BaseHead) -> NDArray[np.float64] | None:
    """The mean embedding, float64 (D,); None where the head file has none.

    Raises:
        MienError: it has another length.
    """
    return _read(base, "statistics.embedding_mean", (base.embedding_size,))


def no_statistics(learner: str) -> MienError:
    """What a learner says that cannot do without them."""
    return MienError(
        f"{learner} needs the statistics of the base head's data, and this bundle's head has none",
        "Use the learner ridge, or add the tensors statistics.* to the head file",
    )


def _read(base: BaseHead, name: str, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    if name not in base.tensors:
        return None
    values = np.asarray(base.tensors[name], np.float64)
    if values.shape != shape or not np.isfinite(values).all():
        raise MienError(
            f"The base head's tensor {name} is {values.shape} or not finite, not {shape} finite numbers",
            "Measure the statistics again on the head of this bundle",
        )
    return values
