"""How near the answers of one file of a network are to those of another, on the same faces."""

from __future__ import annotations

from statistics import NormalDist
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from mien.bundle import Precision
from mien.expression.recogniser import Recognition

FP32_DIFFERENCE = 1e-4
"""Of the fp32 file's numbers to torch's at most, where the largest is below 1; else in proportion to it."""
FP16_COSINE = 0.9999
INT8_COSINE = 0.999
INT8_AGREEMENT = 0.98
"""Goals of a file: mean cosine between its embeddings and those of the fp32 file, and share of the same labels."""
_SMALLEST = 1e-30
"""Instead of 0."""


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """One file beside another on some faces.

    Attributes:
        precision: of the file.
        beside: what it is compared with: the fp32 file, or the network in torch.
        data: the faces.
        faces: how many.
        people: how many.
        largest_embedding: largest magnitude in the embeddings that it is compared with.
        embedding_difference: largest one between two numbers of the embeddings.
        cosine: mean one between the embeddings of a face.
        lowest_cosine: of the face where they differ most.
        probability_difference: largest one of a class; None for models without classes.
        part_confidence_difference: largest one of a part's highest probability; None for models without several parts.
        agreement: share of the faces with the same label; None for models without classes.
        accuracy: share of the faces with the right label, of those whose label the model knows; None where there are
            none.
        accuracy_difference: that minus the other's.
        valence_difference: largest one; None where the model tells none.
        arousal_difference: likewise.
    """

    precision: Precision
    beside: Literal["fp32", "torch"]
    data: str
    faces: int
    people: int
    largest_embedding: float
    embedding_difference: float
    cosine: float
    lowest_cosine: float
    probability_difference: float | None
    part_confidence_difference: float | None
    agreement: float | None
    accuracy: float | None
    accuracy_difference: float | None
    valence_difference: float | None
    arousal_difference: float | None

    @property
    def problems(self) -> list[str]:
        """Goals that are missed, in words; NaN misses all."""
        missed = []
        if self.beside == "torch":
            allowed = allowed_difference(self.largest_embedding)
            if not self.embedding_difference <= allowed:
                found = f"{self.embedding_difference:.2g}, more than {allowed:.2g}"
                missed.append(f"embeddings up to {self.largest_embedding:.3g} differ by {found}")
            missed += [
                f"{what} differ by {difference:.2g}, more than {FP32_DIFFERENCE:g}"
                for what, difference in self._answers.items()
                if difference is not None and not difference <= FP32_DIFFERENCE
            ]
        elif not self.cosine >= (FP16_COSINE if self.precision == "fp16" else INT8_COSINE):
            missed.append(f"the mean cosine is {self.cosine:.5f}")
        if self.precision == "int8" and self.agreement is not None and not self.agreement >= INT8_AGREEMENT:
            missed.append(f"only {self.agreement:.1%} of the labels agree")
        return [f"{self.precision} beside {self.beside} on {self.data}: {problem}" for problem in missed]

    @property
    def _answers(self) -> dict[str, float | None]:
        """Largest differences of what the dense layers tell."""
        return {
            "probabilities": self.probability_difference,
            "the parts' confidences": self.part_confidence_difference,
            "valences": self.valence_difference,
            "arousals": self.arousal_difference,
        }


def allowed_difference(largest: float) -> float:
    """How far fp32's numbers may be from torch's, whose largest magnitude is this; float32 rounds in proportion."""
    return FP32_DIFFERENCE * max(1.0, largest)


def cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine between the rows of two arrays (N, E), float64 (N,); 1 where both are 0, 0 where one is."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    product = lengths[0] * lengths[1]
    are_empty = (lengths[0] == 0) & (lengths[1] == 0)
    return np.where(are_empty, 1.0, (a * b).sum(axis=1) / np.where(product == 0, 1.0, product))


def expected_agreement(found: NDArray[np.float32], wanted: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Share of faces whose label stays the same, by how much answers change and how near they are to another label.

    Where few faces are at hand it says more than counting: most of the labels that would change are not among them.

    Args:
        found: probabilities (N, C), C > 1.
        wanted: the other file's for the same faces.
        others: the other file's for more faces (M, C).
    """
    change = _margins(found, wanted) - _margins(wanted, wanted)
    spread = NormalDist(0, max(float(np.sqrt(np.square(change).mean())), _SMALLEST))
    return float(np.mean([spread.cdf(margin) for margin in _margins(others, others)]))


def _margins(probabilities: NDArray[np.float32], by: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logarithm of how much likelier than the second the first label is, first and second as somebody else says."""
    first, second = np.argsort(-by, axis=1)[:, :2].T
    logarithms, rows = np.log(np.maximum(np.asarray(probabilities, np.float64), _SMALLEST)), np.arange(len(by))
    margins: NDArray[np.float64] = logarithms[rows, first] - logarithms[rows, second]
    return margins


def compare(
    precision: Precision,
    found: Recognition,
    beside: Literal["fp32", "torch"],
    wanted: Recognition,
    truth: NDArray[np.int64],
    data: str,
    people: int,
) -> Parity:
    """Compare answers on N faces.

    Args:
        precision: of the file that gave `found`.
        found: its answers.
        beside: what gave `wanted`.
        wanted: the other answers.
        truth: int64 (N,), place of the true label among the model's; -1 where it is none of these.
        data: the faces, in words.
        people: how many.
    """
    cosine = cosines(found.embeddings, wanted.embeddings)
    has_classes = found.probabilities.shape[1] > 0
    labels, others = (one.probabilities.argmax(axis=1) if has_classes else None for one in (found, wanted))
    accuracy, other_accuracy = _accuracy(labels, truth), _accuracy(others, truth)
    return Parity(
        precision=precision,
        beside=beside,
        data=data,
        faces=len(cosine),
        people=people,
        largest_embedding=float(np.abs(wanted.embeddings).max()),
        embedding_difference=float(np.abs(found.embeddings - wanted.embeddings).max()),
        cosine=float(cosine.mean()),
        lowest_cosine=float(cosine.min()),
        probability_difference=_largest(found.probabilities, wanted.probabilities),
        part_confidence_difference=_largest(found.part_confidences, wanted.part_confidences),
        agreement=None if labels is None or others is None else float((labels == others).mean()),
        accuracy=accuracy,
        accuracy_difference=None if accuracy is None or other_accuracy is None else accuracy - other_accuracy,
        valence_difference=_largest(found.valence, wanted.valence),
        arousal_difference=_largest(found.arousal, wanted.arousal),
    )


def _accuracy(labels: NDArray[np.intp] | None, truth: NDArray[np.int64]) -> float | None:
    is_known = truth >= 0
    return None if labels is None or not is_known.any() else float((labels == truth)[is_known].mean())


def _largest(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float | None:
    """Largest difference; None where nothing is told (all NaN, or no columns)."""
    return None if np.isnan(wanted).all() else float(np.abs(found - wanted).max())
