"""Folds cover every moment once; disturbed labels are wrong where they should be, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from mien.personal.samples import Samples
from trainer.personal.protocol import PROTOCOLS, by_class, divide, drifting, later, mislabel


def moments(count: int, classes: int = 4, seed: int = 0) -> Samples:
    random = np.random.default_rng(seed)
    return Samples(
        random.normal(size=(count, 3)).astype(np.float32),
        np.arange(count) * 4.0,
        np.eye(classes, dtype=np.float32)[random.integers(0, classes, count)],
        random.uniform(-1, 1, count).astype(np.float32),
        random.uniform(-1, 1, count).astype(np.float32),
        np.ones(count, np.float32),
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("count", [5, 23, 100])
def test_each_moment_is_tested_once_and_never_learned_there(protocol: str, count: int) -> None:
    folds = divide(protocol, count, 5, seed=1)  # type: ignore[arg-type]
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(count))
    for train, test in folds:
        assert sorted([*train, *test]) == list(range(count))


def test_blocks_are_contiguous_and_frames_are_not() -> None:
    assert all(np.ptp(fold.test) == len(fold.test) - 1 for fold in divide("blocks", 50, 5, seed=0))
    assert all(np.ptp(fold.test) > len(fold.test) for fold in divide("frames", 50, 5, seed=0))


def test_later_learns_from_the_past() -> None:
    train, test = later(8)
    assert (train.tolist(), test.tolist()) == ([0, 1, 2, 3, 4, 5], [6, 7])


def test_a_drifting_person_is_each_shift_in_turn() -> None:
    by_shift = {shift: moments(9, seed=int(shift)) for shift in (0.0, 1.0, 2.0)}
    found = drifting(by_shift, (2.0, 0.0, 1.0))
    for rows, shift in ((slice(0, 3), 2.0), (slice(3, 6), 0.0), (slice(6, 9), 1.0)):
        np.testing.assert_array_equal(found.embeddings[rows], by_shift[shift].embeddings[rows])
        np.testing.assert_array_equal(found.valence[rows], by_shift[shift].valence[rows])


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_wrong_labels_are_all_wrong_and_the_others_untouched(share: float) -> None:
    right = moments(200)
    wrong = mislabel(right, share, np.random.default_rng(2))
    changed = (right.classes != wrong.classes).any(axis=1)
    assert changed.sum() == round(200 * share)
    np.testing.assert_array_equal(changed, right.valence != wrong.valence)
    np.testing.assert_array_equal(changed, right.arousal != wrong.arousal)
    np.testing.assert_array_equal(wrong.classes.sum(axis=1), 1)
    np.testing.assert_array_equal(right.embeddings, wrong.embeddings)


def test_labels_come_class_after_class_or_from_low_valence_up() -> None:
    samples = moments(60)
    order = by_class(samples)
    assert sorted(np.concatenate(order)) == list(range(60))
    assert [set(samples.classes[rows].argmax(axis=1)) for rows in order] == [{0}, {1}, {2}, {3}]
    nameless = Samples(
        samples.embeddings, samples.stamps_s, np.full((60, 4), np.nan, np.float32), samples.valence, samples.arousal,
        samples.weights,
    )  # fmt: skip
    valence = np.concatenate([samples.valence[rows] for rows in by_class(nameless)])
    assert (np.diff(valence) >= 0).all()
