"""The cheapest way to pair as many as possible."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.faces.assignment import assign

entries = st.one_of(st.integers(0, 30).map(float), st.floats(0, 3), st.just(math.inf))
tables = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(entries, min_size=width, max_size=width), min_size=1, max_size=5)
)


def best(costs: list[list[float]]) -> tuple[int, float]:
    """Number of pairs and total cost of the best pairing, by trying all."""
    rows, columns = range(len(costs)), range(len(costs[0]))
    for count in range(min(len(rows), len(columns)), 0, -1):
        totals = [
            sum(costs[i][j] for i, j in zip(some, order, strict=True))
            for some in itertools.combinations(rows, count)
            for order in itertools.permutations(columns, count)
        ]
        if min(totals) < math.inf:
            return count, min(totals)
    return 0, 0.0


@settings(deadline=None)
@given(tables)
def test_no_other_pairing_is_better(costs: list[list[float]]) -> None:
    pairs = assign(costs)
    rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
    assert len(set(rows)) == len(rows)
    assert len(set(columns)) == len(columns)
    count, total = best(costs)
    assert len(pairs) == count
    assert sum(costs[i][j] for i, j in pairs) == pytest.approx(total, abs=1e-9)


def test_nothing_to_pair() -> None:
    assert assign([]) == []
    assert assign([[math.inf], [math.inf]]) == []
