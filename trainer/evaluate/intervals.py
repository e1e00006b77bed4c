"""95 % intervals: bootstrap over people for one test, Student's t for a comparison over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mien.errors import require

Floats = NDArray[np.float64]
Sums = Mapping[str, Floats]

RESAMPLES = 1_000
LEAST_SEEDS = 3
_PERCENTILES = (2.5, 97.5)
_AT_ONCE = 2_000_000
"""Weights held in memory at a time."""


def sum_by_unit(values: Floats, units: NDArray[np.intp], count: int) -> Floats:
    """Sum what pictures contribute: values (N, K) of pictures that belong to units (N,), 0 … count − 1 → (count, K)."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, units, values)
    return sums


def bootstrap(
    of_units: Sums, figures: Callable[[Sums], Mapping[str, Floats]], seed: int, resamples: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of figures when the units are drawn anew, with all that belongs to them.

    Units are people, so that the interval says how the figure varies from one group of people to the next. Pictures of
    one person are alike: drawn singly, they would give intervals that are too narrow.

    Args:
        of_units: what each unit contributes to sums, by name, (units, K).
        figures: gives figures, (R,), from sums, (R, K), by name.
        seed: the same seed gives the same intervals.
        resamples: how many.

    Returns:
        Bounds by figure; without those that are not defined in any resample, and empty for fewer than two units.
    """
    units = len(next(iter(of_units.values())))
    if units < 2:
        return {}
    random = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // units)
    sums: dict[str, list[Floats]] = {name: [] for name in of_units}
    for start in range(0, resamples, at_once):
        drawn = random.integers(units, size=(min(at_once, resamples - start), units))
        weights = np.stack([np.bincount(one, minlength=units) for one in drawn]).astype(np.float64)
        for name, values in of_units.items():
            sums[name].append(weights @ values)
    resampled = figures({name: np.concatenate(parts) for name, parts in sums.items()})
    bounds = {}
    for name, values in resampled.items():
        if not np.isnan(values).all():
            low, high = np.nanpercentile(values, _PERCENTILES)
            bounds[name] = (float(low), float(high))
    return bounds


def student_interval(differences: NDArray[np.floating] | list[float]) -> tuple[float, float]:
    """Interval of the mean of paired differences over seeds, from Student's t.

    Args:
        differences: one for each seed, at least 3; equal ones give an interval without width.

    Raises:
        ValueError: there are fewer.
    """
    values = np.asarray(differences, np.float64)
    if len(values) < LEAST_SEEDS:
        raise ValueError(f"{len(values)} differences give no interval")
    quantile = float(require("scipy.special", "trainer").stdtrit(len(values) - 1, _PERCENTILES[1] / 100))
    half = quantile * float(values.std(ddof=1)) / float(np.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half
