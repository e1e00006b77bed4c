"""Which part of the image a network sees, and in what form."""

from __future__ import annotations

import math

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.bundle import CropSpec, InputSpec
from mien.errors import MienError
from mien.faces.crop import crop_square, cut, from_crop, to_crop, write_crop
from mien.faces.detector import Box

GREY = InputSpec(64, 64, "grey", (127.5,), (1 / 127.5,))

sizes = st.floats(1, 2000)
places = st.floats(-3000, 3000)
boxes = st.builds(Box, places, places, sizes, sizes)


def picture(height: int = 48, width: int = 60, channels: int = 3) -> np.ndarray:
    """A smooth picture whose channels differ everywhere."""
    y, x = np.mgrid[:height, :width]
    planes = [x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)]
    image = np.stack(planes, axis=-1).astype(np.uint8)
    return image if channels == 3 else image[:, :, 0]


@settings(deadline=None)
@given(boxes, st.floats(0, 2))
def test_box_crop_is_a_square_around_the_boxs_middle(box: Box, margin: float) -> None:
    square = crop_square(CropSpec("box", margin), box, None, 640, 480)
    assert square.width == square.height == pytest.approx((1 + margin) * max(box.width, box.height))
    assert square.center == pytest.approx(box.center, abs=1e-6)


def test_landmark_crops_hold_their_points_and_inner_leaves_the_contour_out() -> None:
    landmarks = np.random.default_rng(0).uniform(100, 200, (68, 2)).astype(np.float32)
    landmarks[:17] += np.float32([0, 60])  # the jaw hangs lower
    anywhere = Box(0, 0, 10, 10)
    outer = crop_square(CropSpec("outer"), anywhere, landmarks, 640, 480)
    inner = crop_square(CropSpec("inner"), anywhere, landmarks, 640, 480)
    for square, points in ((outer, landmarks), (inner, landmarks[17:])):
        low, high = points.min(axis=0), points.max(axis=0)
        assert square.width == square.height == pytest.approx((high - low).max(), rel=1e-5)
        assert square.center == pytest.approx(((low + high) / 2).tolist(), rel=1e-5)
    assert outer.center[1] > inner.center[1] + 10
    wide = crop_square(CropSpec("inner", 0.5), anywhere, landmarks, 640, 480)
    assert wide.width == pytest.approx(1.5 * inner.width)


@pytest.mark.parametrize("kind", ["outer", "inner"])
def test_without_landmarks_their_crop_is_a_square_in_the_box(kind: str) -> None:
    box = Box(100, 50, 80, 120)
    square = crop_square(CropSpec(kind), box, None, 640, 480)
    assert square.width == square.height
    assert 0.6 * 120 < square.width < 0.9 * 120
    assert square.center[0] == box.center[0]
    assert box.center[1] < square.center[1] < box.center[1] + 0.15 * 120
    wide = crop_square(CropSpec(kind, 0.5), box, None, 640, 480)
    assert wide.width == pytest.approx(1.5 * square.width)
    assert wide.center == pytest.approx(square.center)


def test_uncropped_is_the_whole_image_stretched() -> None:
    image = picture()
    square = crop_square(CropSpec("uncropped"), Box(5, 5, 9, 9), None, 60, 48)
    assert square == Box(0, 0, 60, 48)
    assert np.array_equal(cut(image, square, 60, 48), image)
    assert cut(image, square, 30, 30).shape == (30, 30, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_cut_of_its_own_size_is_the_pixels_themselves(channels: int) -> None:
    image = picture(channels=channels)
    assert np.array_equal(cut(image, Box(7, 9, 20, 20), 20, 20), image[9:29, 7:27])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "square",
    [Box(-10, -6, 24, 24), Box(50, 40, 24, 24), Box(-100, 5, 24, 24), Box(500, 600, 24, 24), Box(-20, -20, 100, 100)],
)
def test_beyond_the_image_the_border_is_repeated(square: Box, channels: int) -> None:
    image = picture(channels=channels)
    padded = np.pad(image, [(700, 700), (700, 700)] + [(0, 0)] * (image.ndim - 2), mode="edge")
    x, y, side = 700 + int(square.x), 700 + int(square.y), int(square.width)
    assert np.array_equal(cut(image, square, side, side), padded[y : y + side, x : x + side])


@settings(deadline=None)
@given(st.integers(20, 700), st.integers(0, 40), st.integers(0, 40))
def test_any_size_of_face_gives_nearly_the_mean_of_its_pixels(side: int, x: int, y: int) -> None:
    image = cv2.resize(picture(), (800, 760), interpolation=cv2.INTER_CUBIC)
    image = cv2.add(image, np.random.default_rng(1).integers(0, 8, image.shape, np.uint8))
    got = cut(image, Box(x, y, side, side), 64, 64)
    how = cv2.INTER_AREA if side > 64 else cv2.INTER_LINEAR
    want = cv2.resize(image[y : y + side, x : x + side], (64, 64), interpolation=how)
    assert np.abs(got.astype(int) - want).mean() < 1.5


numbers = st.one_of(st.floats(), st.sampled_from([0.0, -1.0, 1e9, -1e9, 1e300, math.inf, math.nan]))


@settings(deadline=None)
@given(
    st.builds(Box, numbers, numbers, numbers, numbers), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3])
)
def test_no_square_is_too_odd_to_cut(square: Box, height: int, width: int, channels: int) -> None:
    image = picture(height, width, channels)
    out = np.full((1, 64, 64), np.nan, np.float32)
    write_crop(image, square, GREY, out)
    assert np.isfinite(out).all()


def test_a_square_that_is_not_finite_shows_the_whole_image() -> None:
    image = picture()
    square = crop_square(CropSpec("box", 0.1), Box(math.nan, 0, 5, 5), None, 60, 48)
    assert np.array_equal(cut(image, square, 60, 48), image)


def test_an_empty_image_is_refused() -> None:
    with pytest.raises(MienError, match="empty"):
        cut(np.zeros((0, 5, 3), np.uint8), Box(0, 0, 2, 2), 8, 8)


@pytest.mark.parametrize(("channels", "order"), [("bgr", (0, 1, 2)), ("rgb", (2, 1, 0))])
def test_colour_channels_are_ordered_and_normalised_each_by_its_own(channels: str, order: tuple[int, ...]) -> None:
    spec = InputSpec(20, 16, channels, (10.0, 20.0, 30.0), (0.1, 0.2, 0.5))
    image, square = picture(), Box(4, 6, 20, 16)
    out = np.empty((3, 16, 20), np.float32)
    write_crop(image, square, spec, out)
    want = [(image[6:22, 4:24, order[i]].astype(float) - spec.mean[i]) * spec.scale[i] for i in range(3)]
    assert out == pytest.approx(np.array(want), abs=1e-5)


def clear(spec: InputSpec) -> InputSpec:
    return msgspec.structs.replace(spec, contrast="clahe")


@settings(deadline=None)
@given(boxes, st.integers(8, 90))
def test_contrast_is_enhanced_in_what_the_network_sees(square: Box, side: int) -> None:
    """OpenCV's CLAHE on the crop, and nothing else, before the values are normalised."""
    spec = InputSpec(side, side, "grey", (127.5,), (1 / 127.5,))
    plain, enhanced = np.empty((2, 1, side, side), np.float32)
    write_crop(picture(), square, spec, plain)
    write_crop(picture(), square, clear(spec), enhanced)
    grey = cv2.cvtColor(cut(picture(), square, side, side), cv2.COLOR_BGR2GRAY)
    assert np.array_equal(plain[0], (grey - np.float32(127.5)) * np.float32(1 / 127.5))
    wanted = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(grey)
    assert np.array_equal(enhanced[0], (wanted - np.float32(127.5)) * np.float32(1 / 127.5))


def test_grey_and_colour_images_fit_grey_and_colour_networks() -> None:
    colour, square = picture(), Box(3, 3, 40, 40)
    grey = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    batch = np.empty((2, 1, 64, 64), np.float32)
    write_crop(colour, square, GREY, batch[0])
    write_crop(grey, square, GREY, batch[1])
    assert np.abs(batch[0] - batch[1]).max() <= 2 / 127.5
    spec = InputSpec(64, 64, "rgb", (127.5,) * 3, (1 / 127.5,) * 3)
    planes = np.empty((3, 64, 64), np.float32)
    write_crop(grey, square, spec, planes)
    assert np.array_equal(planes, np.repeat(batch[1], 3, axis=0))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.floats(40, 150), st.integers(24, 128))
def test_points_lie_across_a_crop_where_it_shows_them(seed: int, side: float, output: int) -> None:
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 159 - side, 2)
    point = corner + side * random.uniform(0.4, 0.6, 2)
    rows, columns = np.mgrid[:160, :160]
    wide = max(1.5, side / output)  # of the dot, pixels
    image = np.exp(-0.5 * ((columns - point[0]) ** 2 + (rows - point[1]) ** 2) / wide**2)
    crop = cut(np.asarray(np.round(255 * image), np.uint8), Box(*corner, side, side), output, output).astype(float)
    squares = np.array([(*corner, side, side)])
    found = to_crop(point[None, None], squares)
    middle = np.array([crop.sum(0) @ np.arange(output), crop.sum(1) @ np.arange(output)]) / crop.sum()
    np.testing.assert_allclose(found[0, 0] * output - 0.5, middle, atol=0.2)
    np.testing.assert_allclose(from_crop(found, squares)[0, 0], point, atol=1e-3)
