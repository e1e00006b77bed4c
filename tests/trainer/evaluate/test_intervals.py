"""Intervals over people and over seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.evaluate.intervals import bootstrap, student_interval, sum_by_unit


def mean(sums: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"mean": sums["x"][:, 0] / sums["x"][:, 1]}


def people(values: np.ndarray) -> dict[str, np.ndarray]:
    """One person for each value."""
    return {"x": np.stack([values, np.ones(len(values))], axis=1)}


def test_an_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    low, high = bootstrap(people(values), mean, seed=1, resamples=4000)["mean"]
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_people_are_drawn_with_all_of_their_pictures() -> None:
    # Ten people of a hundred equal pictures each: as wide as ten pictures, not as a thousand.
    values = np.random.default_rng(0).normal(0, 1, 10)
    pictures = np.repeat(values, 100)
    of_people = sum_by_unit(
        np.stack([pictures, np.ones(1000)], axis=1), np.repeat(np.arange(10), 100).astype(np.intp), 10
    )
    np.testing.assert_allclose(of_people, people(values)["x"] * 100)
    of_person, of_picture = (bootstrap(sums, mean, seed=0)["mean"] for sums in ({"x": of_people}, people(pictures)))
    assert of_person == pytest.approx(bootstrap(people(values), mean, seed=0)["mean"])
    assert of_person[1] - of_person[0] > 7 * (of_picture[1] - of_picture[0])


def test_the_same_seed_gives_the_same_interval_however_it_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = people(np.arange(20.0))
    whole = bootstrap(sums, mean, seed=3)
    assert bootstrap(sums, mean, seed=3) == whole
    assert bootstrap(sums, mean, seed=4) != whole
    monkeypatch.setattr("trainer.evaluate.intervals._AT_ONCE", 30)
    assert bootstrap(sums, mean, seed=3) == whole


def test_there_is_no_interval_without_variety() -> None:
    assert bootstrap(people(np.array([1.0])), mean, seed=0) == {}
    nothing = {"x": np.zeros((5, 2))}
    with np.errstate(invalid="ignore"):
        assert bootstrap(nothing, mean, seed=0) == {}


def test_resamples_in_which_a_figure_is_not_defined_do_not_count() -> None:
    sums = {"x": np.array([[1.0, 1.0], [0.0, 0.0]])}
    with np.errstate(invalid="ignore"):
        assert bootstrap(sums, mean, seed=0) == {"mean": (1.0, 1.0)}


def test_student_s_interval_by_the_printed_table() -> None:
    # t for 2 degrees of freedom and 95 % is 4.303; deviation 1, three seeds.
    assert student_interval([1.0, 2.0, 3.0]) == pytest.approx(
        (2 - 4.303 / np.sqrt(3), 2 + 4.303 / np.sqrt(3)), abs=1e-3
    )
    assert student_interval([0.5] * 3) == (0.5, 0.5)
    with pytest.raises(ValueError, match="2 differences"):
        student_interval([1.0, 2.0])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 6))
def test_student_s_interval_moves_and_grows_with_the_values(seed: int, count: int) -> None:
    values = np.random.default_rng(seed).normal(size=count)
    low, high = student_interval(values)
    assert student_interval(values * 2 + 1) == pytest.approx((low * 2 + 1, high * 2 + 1))
    assert low < values.mean() < high


def test_student_s_interval_holds_the_mean_in_95_of_100_cases() -> None:
    random = np.random.default_rng(0)
    held = [low <= 0 <= high for low, high in (student_interval(random.normal(size=3)) for _ in range(2000))]
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)
