"""The union of maps, and how they are scaled and laid over faces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import MienError
from trainer.explain.explanation import Explanation, Part, add_up, enlarge, find_class, scaled
from trainer.explain.overlay import overlay

LABELS = ("neutral", "happiness", "anger")
SEEDS = st.integers(0, 1000)


def some_heat(seed: int) -> np.ndarray:
    """Now and then nothing but zeros."""
    rng = np.random.default_rng(seed)
    return np.maximum(rng.normal(-3 * (seed % 2), 100 ** rng.random(), (3, 4)), 0).astype(np.float32)


def explanation(*heats: np.ndarray) -> Explanation:
    odds = np.full(3, 1 / 3, np.float32)
    return Explanation(LABELS, 1, odds, tuple(Part(f"part {i}", odds, heat) for i, heat in enumerate(heats)))


@settings(deadline=None, max_examples=50)
@given(SEEDS, SEEDS)
def test_the_union_is_the_maximum_of_maps_that_count_alike(one: int, other: int) -> None:
    first, second = some_heat(one), some_heat(other)
    union = explanation(first, second).heat
    np.testing.assert_allclose(union, np.maximum(scaled(first), scaled(second)), atol=1e-6)
    np.testing.assert_allclose(explanation(second, 7 * first).heat, union, rtol=1e-4, atol=1e-6)
    assert union.max() in (0, pytest.approx(1))


def test_smaller_maps_are_enlarged_to_the_largest() -> None:
    small, large = np.zeros((2, 2), np.float32), np.zeros((4, 6), np.float32)
    small[0, 0] = 5
    union = explanation(small, large).heat
    assert union.shape == (4, 6)
    assert union.argmax() == 0
    assert union[-1, -1] < 0.05


@settings(deadline=None, max_examples=50)
@given(SEEDS, st.integers(1, 9), st.integers(1, 9))
def test_a_maps_share_of_the_logit_does_not_depend_on_its_size(seed: int, rows: int, columns: int) -> None:
    small = np.random.default_rng(seed).random((rows, columns), np.float32)
    np.testing.assert_array_equal(add_up([small - 0.5]), np.maximum(small - 0.5, 0))
    large = add_up([small, np.zeros((9, 9), np.float32)])
    assert large.shape == (9, 9)
    assert large.sum() == pytest.approx(small.sum(), rel=1e-5)


def test_what_one_map_says_against_a_class_counts_against_what_another_says_for_it() -> None:
    speaks_for, against = np.full((2, 2), 9, np.float32), np.full((3, 3), -3, np.float32)
    against[0, 0] = -5
    heat = add_up([speaks_for, against])
    np.testing.assert_allclose(heat, [[0, 1, 1], [1, 1, 1], [1, 1, 1]], atol=1e-6)


def test_where_nothing_speaks_for_a_class_there_is_no_heat() -> None:
    assert not explanation(np.zeros((3, 3), np.float32)).heat.any()


@settings(deadline=None, max_examples=50)
@given(SEEDS)
def test_enlarged_maps_stay_in_their_range(seed: int) -> None:
    heat = some_heat(seed)
    large = enlarge(heat, 40, 30)
    assert large.shape == (30, 40)
    assert heat.min() <= large.min() <= large.max() <= heat.max()


def test_cold_places_show_the_face_as_it_was_and_hot_ones_are_coloured() -> None:
    face = np.random.default_rng(0).integers(0, 256, (64, 64, 1), np.uint8).repeat(3, 2)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    drawn = overlay(face, heat)
    np.testing.assert_array_equal(drawn[40:, 40:], face[40:, 40:])
    blue, _, red = drawn[4, 4].tolist()
    assert red > blue + 60


def test_classes_are_found_by_name_or_by_what_is_answered() -> None:
    odds = np.array([0.2, 0.3, 0.5], np.float32)
    assert (find_class(None, LABELS, odds), find_class("happiness", LABELS, odds)) == (2, 1)
    with pytest.raises(MienError, match=r"class 'joy'.*neutral, happiness, anger"):
        find_class("joy", LABELS, odds)
