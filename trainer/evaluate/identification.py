"""How well identity embeddings tell people apart: some are enrolled, and every other look is shown to the gallery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.personal.gallery import Gallery

Embeddings = NDArray[np.float32]
STRANGER = -1


@dataclass(frozen=True, slots=True)
class Trial:
    """One draw of who is enrolled, and with which looks.

    Attributes:
        enrolled: float32 (E, size), for each enrolled person the mean of some looks, of length 1.
        probes: float32 (N, size), the other looks (or means of several), of length 1.
        truth: int (N,), which enrolled person each probe shows, or `STRANGER`.
    """

    enrolled: Embeddings
    probes: Embeddings
    truth: NDArray[np.int64]

    @property
    def similarities(self) -> NDArray[np.float32]:
        """(N, E), of each probe to each enrolled person."""
        return self.probes @ self.enrolled.T


@dataclass(frozen=True, slots=True)
class Named:
    """Shares of the probes: enrolled people called by their name, or by another's; strangers called by any."""

    right: float
    wrong: float
    strangers: float


def draw(
    embeddings: Embeddings,
    people: NDArray[np.str_],
    seed: int,
    *,
    share: float = 1.0,
    enrolled: int = 2,
    looks: int = 1,
) -> Trial:
    """Draw who is enrolled and with which looks.

    Args:
        embeddings: float32 (M, size), of length 1.
        people: (M,), who each of them shows.
        seed: the same seed gives the same draw.
        share: of the people that are enrolled; the others are strangers.
        enrolled: looks that a person is enrolled with; who has no more than these is left out.
        looks: that one probe is the mean of.
    """
    random = np.random.default_rng(seed)
    names, counts = np.unique(people, return_counts=True)
    names = random.permutation(names[counts >= enrolled + looks])
    known = round(share * len(names))
    gallery, probes, truth = [], [], []
    for number, name in enumerate(names):
        rows = random.permutation(np.flatnonzero(people == name))
        if number < known:
            gallery.append(embeddings[rows[:enrolled]].mean(axis=0))
        rest = rows[enrolled:]
        means = [embeddings[rest[i : i + looks]].mean(axis=0) for i in range(0, len(rest) - looks + 1, looks)]
        probes += means
        truth += [number if number < known else STRANGER] * len(means)
    return Trial(_unit(np.array(gallery)), _unit(np.array(probes)), np.array(truth, np.int64))


def rank_1(trial: Trial) -> float:
    """Share of the probes of enrolled people that are most similar to their own person."""
    of_enrolled = trial.truth != STRANGER
    return float((trial.similarities.argmax(axis=1) == trial.truth)[of_enrolled].mean())


def true_accepts(trial: Trial, false_accepts: float) -> float:
    """Verification: share of (probe, own person) pairs above the similarity that this share of other pairs exceeds."""
    own, others = _pairs(trial)
    return float((own > np.quantile(others, 1 - false_accepts)).mean())


def threshold(trial: Trial, false_accepts: float) -> float:
    """The similarity that this share of pairs of different people exceeds."""
    return float(np.quantile(_pairs(trial)[1], 1 - false_accepts))


def open_set(trial: Trial, false_accepts: float) -> float:
    """Identification among strangers: share of the probes of enrolled people that are named rightly.

    At the similarity that this share of the strangers' probes exceeds with whoever is most similar.
    """
    similarities, of_strangers = trial.similarities, trial.truth == STRANGER
    best = similarities.max(axis=1)
    limit = np.quantile(best[of_strangers], 1 - false_accepts)
    right = (similarities.argmax(axis=1) == trial.truth) & (best > limit)
    return float(right[~of_strangers].mean())


def named(trial: Trial, limit: float) -> Named:
    """What the robot's own gallery makes of the probes at a threshold."""
    gallery = Gallery(limit)
    for number, embedding in enumerate(trial.enrolled):
        gallery.put(str(number), embedding[None])
    found = np.array([int(gallery.match(probe).person_id or STRANGER) for probe in trial.probes])
    known = trial.truth != STRANGER
    right, someone = found == trial.truth, found != STRANGER
    strangers = float(someone[~known].mean()) if not known.all() else 0.0
    return Named(float(right[known].mean()), float((someone & ~right)[known].mean()), strangers)


def _pairs(trial: Trial) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Similarities of probes to their own person, and to other enrolled people."""
    own = trial.truth[:, None] == np.arange(len(trial.enrolled))
    return trial.similarities[own], trial.similarities[~own]


def _unit(vectors: NDArray[np.floating]) -> Embeddings:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
