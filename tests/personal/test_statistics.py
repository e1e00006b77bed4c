"""A base head's statistics against their definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mien.errors import MienError
from mien.personal.dense import Dense
from mien.personal.statistics import embedding_mean, measure_statistics, part_statistics
from tests.personal.heads import LABELS, make_base, make_samples


def test_classes_count_the_same_whatever_their_numbers_of_faces() -> None:
    base = make_base("parts")
    classes = np.eye(4, dtype=np.float32)[[0] * 90 + [1] * 10 + [2] * 20 + [3] * 30]
    embeddings = make_samples(base, 150).embeddings + classes @ np.arange(40, dtype=np.float32).reshape(4, 10)
    found = measure_statistics(base, embeddings, classes)
    means = np.stack([embeddings[classes[:, one] == 1].mean(axis=0) for one in range(4)])
    np.testing.assert_allclose(found["statistics.embedding_mean"], means.mean(axis=0), rtol=1e-4)
    mouth = embeddings[:, 4:10]
    np.testing.assert_allclose(found["statistics.classes.mouth.class_means"], means[:, 4:], rtol=1e-4)
    within = [mouth[classes[:, one] == 1].var(axis=0) for one in range(4)]
    np.testing.assert_allclose(found["statistics.classes.mouth.within"], np.mean(within, axis=0), rtol=1e-3)
    total = np.mean(within, axis=0) + means[:, 4:].var(axis=0)
    np.testing.assert_allclose(found["statistics.classes.mouth.variance"], total, rtol=1e-3)
    assert found["statistics.classes.eyes.mean"].shape == (5,)  # of the hidden layer

    full = replace(base, tensors={**base.tensors, **found})
    mouths = part_statistics(full, Dense(base.spec).parts[1], 6)
    assert mouths is not None
    assert mouths.class_means is not None
    np.testing.assert_array_equal(mouths.mean, found["statistics.classes.mouth.mean"])
    np.testing.assert_array_equal(embedding_mean(full), found["statistics.embedding_mean"])


def test_heads_without_statistics_or_with_wrong_ones() -> None:
    base = make_base("twins")
    part = Dense(base.spec).parts[0]
    assert part_statistics(base, part, 5) is None
    assert embedding_mean(base) is None
    found = measure_statistics(base, make_samples(base, 20).embeddings, np.empty((20, 0), np.float32))
    assert not any("class_means" in name for name in found)
    full = replace(base, tensors={**base.tensors, **found})
    assert part_statistics(full, part, 5) is not None
    with pytest.raises(MienError, match=r"statistics\.valence\.valence\.mean"):
        part_statistics(full, part, 6)


def test_a_class_without_faces_is_named() -> None:
    base = make_base("parts")
    with pytest.raises(MienError, match=LABELS[3]):
        measure_statistics(base, make_samples(base, 3).embeddings, np.eye(4, dtype=np.float32)[:3])
