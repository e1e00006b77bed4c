"""Pairing two groups so that as many as possible are paired, at the lowest total cost (the Hungarian method)."""

from __future__ import annotations

import math
from collections.abc import Sequence


def assign(costs: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Pair rows with columns, each at most once: as many pairs as can be, and of those the cheapest.

    Args:
        costs: costs[row][column], 0 or more; infinite where the two must not be paired.

    Returns:
        Pairs (row, column) in ascending order.
    """
    rows = [i for i, line in enumerate(costs) if any(map(math.isfinite, line))]
    columns = sorted({j for i in rows for j, cost in enumerate(costs[i]) if math.isfinite(cost)})
    if len(rows) > len(columns):
        turned = assign([[line[j] for line in costs] for j in range(len(costs[0]))])
        return sorted((row, column) for column, row in turned)
    # One forbidden pair costs more than all allowed ones together, so there are as few as possible.
    forbidden = 1.0 + sum(cost for i in rows for cost in costs[i] if math.isfinite(cost))
    square = [[min(costs[i][j], forbidden) for j in columns] for i in rows]
    return [
        (rows[i], columns[j])
        for i, j in enumerate(_shortest_paths(square))
        if math.isfinite(costs[rows[i]][columns[j]])
    ]


def _shortest_paths(costs: list[list[float]]) -> list[int]:
    """The column of each row at the lowest total cost, for no more rows than columns.

    Jonker and Volgenant 1987: rows enter one at a time, each along the shortest path of reduced costs. Row and column
    0 of the potentials are sentinels.
    """
    width = len(costs[0]) if costs else 0
    row_potential, column_potential = [0.0] * (len(costs) + 1), [0.0] * (width + 1)
    row_of = [0] * (width + 1)
    for new_row in range(1, len(costs) + 1):
        row_of[0], column = new_row, 0
        shortest, previous = [math.inf] * (width + 1), [0] * (width + 1)
        done = [False] * (width + 1)
        while row_of[column]:
            done[column] = True
            row, step, nearest = row_of[column], math.inf, 0
            for j in range(1, width + 1):
                if done[j]:
                    continue
                reduced = costs[row - 1][j - 1] - row_potential[row] - column_potential[j]
                if reduced < shortest[j]:
                    shortest[j], previous[j] = reduced, column
                if shortest[j] < step:
                    step, nearest = shortest[j], j
            for j in range(width + 1):
                if done[j]:
                    row_potential[row_of[j]] += step
                    column_potential[j] -= step
                else:
                    shortest[j] -= step
            column = nearest
        while column:
            row_of[column] = row_of[previous[column]]
            column = previous[column]
    result = [0] * len(costs)
    for j, row in enumerate(row_of[1:]):
        if row:
            result[row - 1] = j
    return result
