"""What labels teach, and what is said of labels that teach nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mien.personal.targets import from_head_range, learnable, targets_of, to_head_range
from tests.personal.heads import make_base, make_samples


def test_values_are_told_in_the_heads_own_range() -> None:
    base = make_base("one layer", affect_range=(1.0, 9.0))
    samples = make_samples(base, 30, gaps=0.3)
    targets = targets_of(base, samples, "arousal")
    np.testing.assert_array_equal(targets.rows, ~np.isnan(samples.arousal))
    np.testing.assert_allclose(targets.values[:, 0], 5 + 4 * samples.arousal[targets.rows], rtol=1e-6)
    np.testing.assert_array_equal(targets.weights, samples.weights[targets.rows])
    np.testing.assert_allclose(to_head_range(base, np.float32([-1, 0, 1])), [1, 5, 9])
    np.testing.assert_allclose(from_head_range(base, np.float32([1, 5, 9, 12])), [-1, 0, 1, 1])


def test_classes_are_learned_from_rows_that_name_some() -> None:
    base = make_base("parts")
    samples = make_samples(base, 30, gaps=0.3)
    targets = targets_of(base, samples, "classes")
    assert 10 < targets.rows.sum() < 30
    np.testing.assert_allclose(targets.values.sum(axis=1), 1, rtol=1e-5)
    assert not targets_of(base, samples, "valence").rows.any()


def test_says_what_is_kept_but_not_learned() -> None:
    base = make_base("one layer")
    samples = make_samples(base, 5)
    assert learnable(base, samples).outputs == ("classes", "valence", "arousal")
    assert learnable(base, samples).notes == ()
    derived = learnable(replace(base, affect_range=None), samples)
    assert derived.outputs == ("classes",)
    assert len(derived.notes) == 2
    assert all("follows from the classes" in note for note in derived.notes)
    only_classes = learnable(base, samples, ("classes",))
    assert only_classes.outputs == ("classes",)
    assert "take another" in only_classes.notes[0]


def test_a_class_label_teaches_a_head_without_classes_nothing() -> None:
    base = make_base("twins")
    nothing = np.full(3, np.nan, np.float32)
    named = replace(make_samples(base, 3), classes=np.eye(4, dtype=np.float32)[:3], valence=nothing, arousal=nothing)
    found = learnable(base, named)
    assert found.outputs == ()
    assert "does not tell classes" in found.notes[0]
    assert found.notes[-1].startswith("Nothing to learn")
    assert learnable(base, named.take(slice(0, 0))).notes[-1].startswith("Nothing to learn")
