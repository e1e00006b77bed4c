"""Augmentation: what the presets do to pixels, and that draws follow from seed, epoch and picture alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.bundle import InputSpec
from trainer.data.augmentation import PRESETS, Preset, augment, distorted_boxes, middle, move_points, uniform
from trainer.data.crops import stored_size
from trainer.data.face_parts import MIRRORED

SIDE = 32
RGB = InputSpec(SIDE, SIDE, "rgb", (127.5,) * 3, (1 / 127.5,) * 3)
GREY = InputSpec(SIDE, SIDE, "grey", (0.0,), (1.0,))


def ramps(room: float = 1.0, count: int = 1) -> torch.Tensor:
    """Grey pictures that get brighter to the right by 3 a pixel and downwards by 2: bilinear sampling is exact."""
    height, width = stored_size(GREY, room)
    picture = 3 * np.arange(width) + 2 * np.arange(height)[:, None]
    return torch.from_numpy(np.repeat(picture[None, :, :, None], count, 0).astype(np.uint8))


def noise(spec: InputSpec, room: float, count: int) -> torch.Tensor:
    shape = (count, *stored_size(spec, room), spec.depth)
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def run(images: torch.Tensor, spec: InputSpec, preset: Preset, seed: int = 0, epoch: int = 0) -> torch.Tensor:
    count = np.arange(len(images))
    return augment(images, spec, preset, seed, epoch, count, np.zeros_like(count))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("spec", [RGB, GREY])
def test_draws_depend_on_nothing_but_seed_epoch_and_picture(name: str, spec: InputSpec) -> None:
    preset = PRESETS[name]
    images = noise(spec, preset.room, 12)
    numbers, copies = np.arange(100, 112), np.arange(12) % 3
    whole = augment(images, spec, preset, 5, 2, numbers, copies)
    assert whole.shape == (12, spec.depth, SIDE, SIDE)
    assert whole.dtype == torch.float32
    some = np.array([7, 0, 11])
    part = augment(images[some], spec, preset, 5, 2, numbers[some], copies[some])
    torch.testing.assert_close(part, whole[some], rtol=0, atol=0)
    if name != "none":
        for other in ((6, 2, numbers, copies), (5, 3, numbers, copies), (5, 2, numbers, copies + 1)):
            assert not torch.equal(augment(images, spec, preset, *other), whole)


def test_the_middle_is_normalised_as_the_specification_says() -> None:
    images = noise(RGB, 1.25, 2)
    shown = middle(images, RGB)
    wanted = (images[:, 4:36, 4:36].numpy().transpose(0, 3, 1, 2) - np.float32(127.5)) * np.float32(1 / 127.5)
    np.testing.assert_array_equal(shown.numpy(), wanted)


def test_flips_mirror_half_of_the_pictures_exactly() -> None:
    images = noise(RGB, 1.0, 200)
    shown, straight = run(images, RGB, PRESETS["flip"]), middle(images, RGB)
    flipped = [bool(torch.equal(a, b.flip(2))) for a, b in zip(shown, straight, strict=True)]
    kept = [bool(torch.equal(a, b)) for a, b in zip(shown, straight, strict=True)]
    assert sum(flipped) + sum(kept) == 200
    assert 70 < sum(flipped) < 130


def test_shifts_show_any_part_of_the_stored_crop_by_whole_pixels() -> None:
    preset = Preset(room=1.25, shift=True)
    shown = run(ramps(1.25, 400), GREY, preset)
    corners = shown[:, 0, 0, 0].numpy()
    torch.testing.assert_close(shown - shown[:, :, :1, :1], (ramps()[:, None, :, :, 0]).float().expand_as(shown))
    places = {(x, y) for x in range(9) for y in range(9)}
    assert set(np.round(corners).astype(int)) == {3 * x + 2 * y for x, y in places}
    assert np.abs(corners - np.round(corners)).max() < 1e-3


def test_paper_001_rotates_by_at_most_one_degree_and_takes_the_colour_of_a_tenth() -> None:
    preset = PRESETS["paper_001"]
    assert stored_size(InputSpec(224, 224, "rgb", (0.0,) * 3, (1.0,) * 3), preset.room) == (240, 240)
    shown = run(ramps(preset.room, 300), GREY, preset)[:, 0]
    # The gradient of a ramp turns with the picture, and is as steep as before.
    right, down = (shown[:, 16, 20] - shown[:, 16, 12]) / 8, (shown[:, 20, 16] - shown[:, 12, 16]) / 8
    torch.testing.assert_close(torch.hypot(right, down), torch.full((300,), 13**0.5), rtol=0, atol=1e-3)
    right, down = right[right > 0], down[right > 0]  # those that are not mirrored
    angles = np.degrees(np.arctan2(2, 3) - np.arctan2(down.numpy(), right.numpy()))
    assert 0.9 < np.abs(angles).max() <= 1.01
    assert abs(angles.mean()) < 0.15
    colours = run(noise(RGB, preset.room, 1000), RGB, preset)
    grey = (colours[:, 0] == colours[:, 1]).all(dim=(1, 2)) & (colours[:, 1] == colours[:, 2]).all(dim=(1, 2))
    assert 70 < int(grey.sum()) < 130


@pytest.mark.parametrize(("channels", "brightness"), [("rgb", 0.299 * 200), ("bgr", 0.114 * 200)])
def test_grey_pictures_have_the_brightness_of_the_eye(channels: str, brightness: float) -> None:
    spec = InputSpec(SIDE, SIDE, channels, (0.0,) * 3, (1.0,) * 3)  # type: ignore[arg-type]
    images = torch.zeros((1, *stored_size(spec, 1.25), 3), dtype=torch.uint8)
    images[..., 0] = 200
    shown = run(images, spec, Preset(room=1.25, shift=True, grey=1.0))
    torch.testing.assert_close(shown, torch.full_like(shown, brightness))


@given(st.floats(0.76, 1.0), st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_distorted_boxes_keep_the_limits_of_the_published_sampler(area: float, key: int) -> None:
    x, y, width, height = distorted_boxes(area, uniform((key, np.arange(200)), 4)).T
    assert ((width * height > area - 1e-9) & (width * height < 1 + 1e-9)).all()
    assert ((width / height > 0.75) & (width / height < 1.34)).all()
    assert (np.minimum(x, y) >= 0).all()
    assert (np.maximum(x + width, y + height) <= 1 + 1e-9).all()


def test_paper_003_has_a_hundred_boxes_a_picture_and_each_of_them_mirrored() -> None:
    preset, image = PRESETS["paper_003"], ramps()
    seen = {run(image, GREY, preset, epoch=epoch).numpy().tobytes() for epoch in range(3000)}
    assert 195 <= len(seen) <= 200


def test_a_box_is_stretched_over_the_whole_input() -> None:
    preset = Preset(smallest_area=0.85, boxes=1)
    shown = run(ramps(), GREY, preset)[0, 0].numpy()
    x, y, width, height = distorted_boxes(0.85, uniform((0, 2, np.array([0]), np.array([0])), 4))[0]
    # The middle of a pixel lies half a pixel from its edge; so does that of the stretched one.
    column = (SIDE * x + (16 + 0.5) * width) - 0.5
    row = (SIDE * y + (20 + 0.5) * height) - 0.5
    assert shown[20, 16] == pytest.approx(3 * column + 2 * row, abs=1e-2)


@given(st.integers(0, 2**60), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_random_numbers_are_even_and_their_keys_independent(seed: int, epoch: int) -> None:
    numbers = uniform((seed, epoch, np.arange(2000)), 3)
    assert numbers.shape == (2000, 3)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert np.abs(numbers.mean(axis=0) - 0.5).max() < 0.05
    next_epoch = uniform((seed, epoch + 1, np.arange(2000)), 3)
    assert np.abs(np.corrcoef(np.hstack([numbers, next_epoch]).T) - np.eye(6)).max() < 0.15


# ---- landmarks


def dots(spec: InputSpec, room: float, places: np.ndarray) -> torch.Tensor:
    """Grey pictures with one soft dot each, at a place (B, 2) across the robot's own crop, in 0 to 1."""
    height, width = stored_size(spec, room)
    sides, shown = np.array([width, height]), np.array([spec.width, spec.height])
    middles = (places - 0.5) * shown + sides / 2 - 0.5  # pixels; the middle of the first one is 0
    across, down = (np.arange(side) - middles[:, axis, None] for axis, side in ((0, width), (1, height)))
    bright = np.exp(-0.5 * (across[:, None, :] ** 2 + down[:, :, None] ** 2) / 1.5**2)
    return torch.from_numpy(np.round(255 * bright).astype(np.uint8))[..., None]


def brightest(images: torch.Tensor) -> np.ndarray:
    """Middle of what is bright in pictures (B, 1, H, W): (B, 2), 0 to 1 across them."""
    weights = images[:, 0].numpy().astype(np.float64)
    total = weights.sum(axis=(1, 2))
    height, width = weights.shape[1:]
    across = (weights.sum(axis=1) @ (np.arange(width) + 0.5)) / total / width
    return np.stack([across, (weights.sum(axis=2) @ (np.arange(height) + 0.5)) / total / height], axis=1)


@pytest.mark.parametrize("name", PRESETS)
@given(st.integers(0, 2**40), st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_landmarks_move_with_the_pixels_and_change_sides_in_the_mirror(name: str, seed: int, epoch: int) -> None:
    preset = replace(PRESETS[name], grey=0.0, look=None)
    spec = InputSpec(56, 48, "grey", (0.0,), (1.0,))
    random = np.random.default_rng(seed)
    numbers, repetitions = random.integers(0, 1000, (2, 30))
    places, own = random.uniform(0.4, 0.6, (30, 2)), random.integers(0, 68, 30)
    points = np.full((30, 68, 2), np.nan, np.float32)
    points[np.arange(30), own] = places
    stored, draws = dots(spec, preset.room, places), (seed, epoch, numbers, repetitions)
    found = brightest(augment(stored, spec, preset, *draws))
    moved = move_points(points, (stored.shape[1], stored.shape[2]), spec, preset, *draws)
    known = np.isfinite(moved).all(axis=2)
    np.testing.assert_array_equal(known.sum(axis=1), 1)
    now = known.argmax(axis=1)
    assert set(now[now != own]) <= set(MIRRORED[own])
    is_flipped = (now == MIRRORED[own]) & (now != own)
    assert is_flipped.any() == preset.flip
    pixels = np.abs(moved[np.arange(30), now] - found) * (56, 48)
    assert pixels.max() < 0.25


def test_points_that_nobody_learns_are_left_as_they_are() -> None:
    nothing, numbers = np.empty((3, 0, 2), np.float32), np.arange(3)
    assert move_points(nothing, (32, 32), GREY, PRESETS["flip"], 0, 0, numbers, numbers) is nothing


def test_paper_004_turns_shears_and_moves_within_its_ranges() -> None:
    preset = replace(PRESETS["paper_004"], flip=False)
    numbers = np.arange(2000)
    corners = np.full((2000, 68, 2), np.nan, np.float32)
    corners[:, :3] = [(0.5, 0.5), (0.75, 0.5), (0.5, 0.75)]
    moved = move_points(corners, stored_size(GREY, preset.room), GREY, preset, 0, 0, numbers, numbers)
    middles = moved[:, 0]
    shown = np.stack([moved[:, 1] - middles, moved[:, 2] - middles], axis=2) / 0.25
    right, down = np.moveaxis(np.linalg.inv(shown), 2, 0)  # of what is shown, in the stored picture
    turned = np.degrees(np.arctan2(right[:, 1], right[:, 0]))
    assert 9.5 < np.abs(turned).max() <= 10.001
    np.testing.assert_allclose(np.hypot(*right.T), 1, atol=1e-4)  # rows keep their length
    np.testing.assert_allclose(np.linalg.det(shown), 1, atol=1e-4)  # and slide
    assert 0.095 < np.abs((right * down).sum(axis=1)).max() <= 0.1001
    assert 0.1 < np.abs(middles - 0.5).max() < 0.13


def test_the_part_that_is_shown_is_scaled_evenly_both_ways() -> None:
    preset = Preset(room=1.6, scale=(0.8, 1.25))
    numbers = np.arange(1000)
    ends = np.full((1000, 68, 2), np.nan, np.float32)
    ends[:, :2] = [(0.4, 0.5), (0.6, 0.5)]
    moved = move_points(ends, stored_size(GREY, 1.6), GREY, preset, 0, 0, numbers, numbers)
    factors = (moved[:, 1, 0] - moved[:, 0, 0]) / 0.2
    assert (factors.min(), factors.max()) == pytest.approx((0.8, 1.25), abs=0.01)
    assert np.median(factors) == pytest.approx(1, abs=0.03)
