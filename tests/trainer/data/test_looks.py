"""Looks: each does what it says and no more, and to each picture alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.data.looks import DRAWS, Look, spoil

ALL = Look(brightness=40, contrast=0.4, gamma=1.6, blur_px=1.5, noise=12, coarse=0.5, erased=0.5)


def even(level: float, count: int = 200, side: int = 24) -> Tensor:
    return torch.full((count, 3, side, side), level)


def edges(count: int = 200, side: int = 24) -> Tensor:
    images = even(50.0, count, side)
    images[..., side // 2 :] = 200
    return images


def run(images: Tensor, seed: int = 0, **look: Any) -> Tensor:
    return spoil(images.clone(), Look(**look), np.random.default_rng(seed).random((len(images), DRAWS)))


def test_nothing_is_spoilt_where_nothing_is_asked_for() -> None:
    torch.testing.assert_close(run(edges()), edges(), rtol=0, atol=1e-3)


def test_pictures_stay_within_their_levels_and_are_spoilt_one_by_one() -> None:
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (12, 1, 20, 24)).astype(np.float32))
    chance = np.random.default_rng(2).random((12, DRAWS))
    whole = spoil(images.clone(), ALL, chance)
    assert whole.shape == images.shape
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 255
    some = [7, 0, 11]
    assert torch.equal(spoil(images[some].clone(), ALL, chance[some]), whole[some])
    assert all(not torch.equal(one, other) for one, other in zip(whole, images, strict=True))


@pytest.mark.parametrize(
    ("look", "level", "lowest", "highest"),
    [
        ({"brightness": 40}, 100, 60, 140),
        ({"contrast": 0.5}, 200, 127.5 + 72.5 / 2, 127.5 + 72.5 * 1.5),
        ({"gamma": 2.0}, 127.5, 255 / 4, 255 / 2**0.5),
    ],
)
def test_light_changes_within_its_range(look: dict[str, float], level: float, lowest: float, highest: float) -> None:
    shown = run(even(level), **look)[:, 0, 5, 5]
    assert (shown.min(), shown.max()) == (pytest.approx(lowest, abs=2), pytest.approx(highest, abs=2))
    assert lowest - 1e-3 <= shown.min() <= shown.max() <= highest + 1e-3


def test_noise_has_no_bias_and_at_most_its_deviation() -> None:
    changes = run(even(128.0), noise=10) - 128
    deviations = changes[:, 0].flatten(1).std(dim=1)
    assert 8.5 < float(deviations.max()) < 11.5
    assert float(deviations.min()) < 1
    assert abs(float(changes.mean())) < 0.1
    assert torch.equal(changes[:, 0], changes[:, 2])


@pytest.mark.parametrize("look", [{"blur_px": 1.5}, {"coarse": 1.0}])
def test_focus_and_resolution_flatten_edges_and_keep_the_light(look: dict[str, float]) -> None:
    shown = run(edges(), **look)
    steepest = shown.diff(dim=3).amax(dim=(1, 2, 3))
    assert float(steepest.min()) < 60
    assert float(steepest.max()) > 120  # a few are hardly spoilt
    torch.testing.assert_close(shown.mean(dim=(1, 2, 3)), edges().mean(dim=(1, 2, 3)), rtol=0, atol=4)


def test_as_many_are_erased_as_shall_be_and_no_larger_part() -> None:
    images = even(-1.0, 1000)
    erased = (
        spoil(images.clone() + 1, Look(erased=0.3, largest_erased=0.5), np.random.default_rng(3).random((1000, DRAWS)))
        > 0
    )
    share = erased.float().mean(dim=(1, 2, 3))
    assert 250 < int((share > 0).sum()) < 350
    assert float(share.max()) <= ((1 + 12) / 24) ** 2
