"""Answers of several parts about one face: eq. 4 as published, and weights by how sure each part is of this face."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mien.expression.combining import Rule, combine, reliability
from mien.expression.head import softmax

LOGITS = arrays(np.float32, (5, 3, 7), elements=st.floats(-1e3, 1e3, width=32))
RULES: tuple[Rule, ...] = ("mean", "reliability")


def test_the_mean_is_the_sum_of_equation_4() -> None:
    probabilities = softmax(np.random.default_rng(0).normal(size=(5, 4, 7)))
    mean = combine("mean", probabilities)
    np.testing.assert_allclose(mean, probabilities.sum(axis=0) / 5)
    np.testing.assert_array_equal(mean.argmax(axis=1), probabilities.sum(axis=0).argmax(axis=1))


@pytest.mark.parametrize("rule", RULES)
@given(logits=LOGITS)
def test_any_rule_gives_a_distribution_that_no_order_of_the_parts_changes(rule: Rule, logits: np.ndarray) -> None:
    probabilities = softmax(logits)
    combined = combine(rule, probabilities)
    assert combined.dtype == np.float32
    np.testing.assert_allclose(combined.sum(axis=1), 1, rtol=1e-5)
    assert (combined >= probabilities.min(axis=0) - 1e-6).all()
    assert (combined <= probabilities.max(axis=0) + 1e-6).all()
    np.testing.assert_allclose(combine(rule, probabilities[::-1]), combined, atol=1e-5)


@given(LOGITS)
def test_parts_that_are_equally_sure_weigh_the_same(logits: np.ndarray) -> None:
    shifted = np.stack([np.roll(softmax(logits[0]), shift, axis=-1) for shift in range(5)])
    np.testing.assert_allclose(reliability(shifted), 0.2, rtol=1e-4)


def test_a_part_that_is_sure_outweighs_several_that_are_not() -> None:
    unsure = np.array([0.26, 0.24, 0.25, 0.25])
    sure = np.array([0.02, 0.94, 0.02, 0.02])
    probabilities = np.stack([unsure, unsure, unsure, unsure, sure])[:, np.newaxis]
    weights = reliability(probabilities)[:, 0]
    assert weights[4] > 2 * weights[0]
    assert combine("reliability", probabilities)[0, 1] > combine("mean", probabilities)[0, 1]
    np.testing.assert_allclose(weights.sum(), 1)
