"""Answers of several parts about one face: eq. 4 as published, and weights by how sure each part is of this face."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mien.expression.combining import Rule, combine, reliability
from mien.expression.head import softmax

LOGITS = arrays(np.float32, (3, 2, 4), elements=st.floats(-1e3, 1e3, width=32))
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
RULES: tuple[Rule, ...] = ("mean", "reliability")


def test_the_mean_is_the_sum_of_equation_4() -> None:
    probabilities = softmax(np.random.default_rng(0).normal(size=(5, 4, 7)))
    mean = combine("mean", probabilities)
    np.testing.assert_allclose(mean, probabilities.sum(axis=0) / 5)
    np.testing.assert_array_equal(mean.argmax(axis=1), probabilities.sum(axis=0).argmax(axis=1))


@pytest.mark.parametrize("rule", RULES)
@QUIET
@given(logits=LOGITS)
def test_any_rule_gives_a_distribution_that_no_order_of_the_parts_changes(rule: Rule, logits: np.ndarray) -> None:
    probabilities = softmax(logits)
    combined = combine(rule, probabilities)
    assert combined.dtype == np.float32
    np.testing.assert_allclose(combined.sum(axis=1), 1, rtol=1e-5)
    assert (combined >= probabilities.min(axis=0) - 1e-6).all()
    assert (combined <= probabilities.max(axis=0) + 1e-6).all()
    np.testing.assert_allclose(combine(rule, probabilities[::-1]), combined, atol=1e-5)


@QUIET
@given(LOGITS)
def test_parts_that_say_the_same_weigh_the_same(logits: np.ndarray) -> None:
    same = np.stack([softmax(logits[0])] * 5)
    np.testing.assert_allclose(reliability(same), 0.2, rtol=1e-3)
    np.testing.assert_allclose(reliability(softmax(logits[:2])), 0.5, rtol=1e-3)


def test_a_part_that_is_sure_of_what_no_other_sees_counts_less() -> None:
    borne_out = np.array([0.55, 0.15, 0.15, 0.15])
    alone = np.array([0.01, 0.97, 0.01, 0.01])
    probabilities = np.stack([borne_out, borne_out, borne_out, alone, alone])[:, np.newaxis]
    one_alone = np.stack([borne_out, borne_out, borne_out, borne_out, alone])[:, np.newaxis]
    weights = reliability(one_alone)[:, 0]
    assert weights[4] < 0.6 * weights[0]
    np.testing.assert_allclose(weights.sum(), 1)
    assert combine("mean", probabilities)[0].argmax() == 1
    assert combine("reliability", one_alone)[0, 1] < combine("mean", one_alone)[0, 1]


def test_parts_that_all_contradict_each_other_weigh_the_same() -> None:
    np.testing.assert_allclose(reliability(np.eye(5, dtype=np.float32)[:, np.newaxis]), 0.2)
