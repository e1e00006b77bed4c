"""YuNet decoded by us finds what OpenCV's own decoder finds, in any image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import MienError
from mien.faces.yunet import YuNetDetector, decode
from mien.models.fetch import fetch
from mien.runtime.backend import BackendOptions
from tests.conftest import small_backbone
from tests.faces.conftest import NMS_THRESHOLD


def four_faces(frames: list[np.ndarray]) -> np.ndarray:
    """Four frames side by side, each of another size of face."""
    tiles = [cv2.resize(frame, None, fx=f, fy=f) for frame, f in zip(frames, (1.0, 0.8, 0.6, 0.4), strict=False)]
    canvas = np.full((720, 1280, 3), 60, np.uint8)
    for tile, (x, y) in zip(tiles, ((0, 0), (640, 0), (0, 360), (640, 360)), strict=True):
        canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return canvas


@pytest.mark.parametrize("width", [320, 500, 640])
def test_agrees_with_opencv_at_the_same_input_size(clip, yunet_of_width, width: int) -> None:
    detector = yunet_of_width(width)
    images = [*clip[::12], cv2.resize(clip[0], (300, 500)), four_faces(clip)]
    seen = 0
    for image in images:
        image_height, image_width = image.shape[:2]
        scale = min(1, width / image_width)
        size = round(image_width * scale), round(image_height * scale)
        opencv = cv2.FaceDetectorYN.create(str(fetch("yunet")), "", size, 0.6, NMS_THRESHOLD)
        _, expected = opencv.detect(cv2.resize(image, size))
        found = detector.detect(image)
        assert len(found) == len(expected)
        to_pixels = np.array([image_width / size[0], image_height / size[1]])
        for face, row in zip(found, expected[np.argsort(-expected[:, 14])], strict=True):
            points = np.vstack([(face.box.x, face.box.y), (face.box.width, face.box.height), face.landmarks])
            assert np.abs(points / to_pixels - row[:14].reshape(7, 2)).max() < 1
            assert face.score == pytest.approx(row[14], abs=1e-3)
            seen += 1
    assert seen == 17


def test_grey_images_are_searched_like_colour_images_without_colour(clip, yunet: YuNetDetector) -> None:
    grey = cv2.cvtColor(clip[40], cv2.COLOR_BGR2GRAY)
    (face,) = yunet.detect(grey)
    (same,) = yunet.detect(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    assert face.box == same.box


def test_best_faces_come_first(clip, yunet_of_width) -> None:
    scores = [face.score for face in yunet_of_width(640).detect(four_faces(clip))]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)


def test_small_images_are_not_enlarged_and_boxes_are_in_their_pixels(clip, yunet: YuNetDetector) -> None:
    (large,) = yunet.detect(clip[0])
    (small,) = yunet.detect(cv2.resize(clip[0], (160, 90), interpolation=cv2.INTER_AREA))
    assert [4 * side for side in small.box.center] == pytest.approx(large.box.center, abs=12)
    assert 4 * small.box.height == pytest.approx(large.box.height, rel=0.1)


@pytest.mark.parametrize(
    "shape", [(1, 1, 3), (1, 1), (0, 0, 3), (0, 640, 3), (480, 0), (3, 4000, 3), (4000, 3), (4320, 7680, 3)]
)
def test_black_images_of_any_shape_have_no_faces(yunet: YuNetDetector, shape: tuple[int, ...]) -> None:
    assert yunet.detect(np.zeros(shape, np.uint8)) == []


def test_noise_is_survived(yunet: YuNetDetector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    assert all(0.6 <= face.score <= 1 for face in yunet.detect(noise))


def test_images_of_many_sizes_take_turns(clip, yunet: YuNetDetector) -> None:
    (expected,) = yunet.detect(clip[0])
    for _ in range(2):
        for factor in (1.0, 1.1, 1.2, 1.3, 1.4, 1.5):
            (face,) = yunet.detect(cv2.resize(clip[0], None, fx=factor, fy=factor))
            assert face.box.width / factor == pytest.approx(expected.box.width, rel=0.1)


def test_another_network_is_refused() -> None:
    detector = YuNetDetector(small_backbone(), BackendOptions(), 320, 0.6, 0.3)
    with pytest.raises(MienError, match=r"not a YuNet.*cls_16"):
        detector.detect(np.zeros((32, 32, 3), np.uint8))


WIDTH, HEIGHT = 96, 64


def outputs_with(faces: list[tuple[int, int, np.ndarray, float]]) -> dict[str, np.ndarray]:
    """The network's outputs for faces given as (stride, cell, seven points in cells, score)."""
    outputs = {}
    for stride in (8, 16, 32):
        cells = (WIDTH // stride) * (HEIGHT // stride)
        for name, size in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            outputs[f"{name}_{stride}"] = np.zeros((1, cells, size), np.float32)
    for stride, cell, numbers, score in faces:
        outputs[f"bbox_{stride}"][0, cell] = numbers[:4]
        outputs[f"kps_{stride}"][0, cell] = numbers[4:]
        outputs[f"cls_{stride}"][0, cell] = score
        outputs[f"obj_{stride}"][0, cell] = score
    return outputs


@settings(deadline=None)
@given(
    st.sampled_from([8, 16, 32]),
    st.integers(0, 5),
    st.lists(st.floats(-2, 2), min_size=14, max_size=14),
    st.floats(0.61, 1),
)
def test_a_cell_is_decoded_to_its_place(stride: int, cell: int, numbers: list[float], score: float) -> None:
    (face,) = decode(outputs_with([(stride, cell, np.array(numbers), score)]), WIDTH, 0.6, 0.3)
    row, column = divmod(cell, WIDTH // stride)
    width, height = np.exp(numbers[2]) * stride, np.exp(numbers[3]) * stride
    x, y = (column + numbers[0]) * stride, (row + numbers[1]) * stride
    points = (np.reshape(numbers[4:], (5, 2)) + np.array([column, row])) * stride
    expected = [x - width / 2, y - height / 2, width, height, *points.ravel(), score]
    assert face == pytest.approx(expected, abs=1e-3)


def test_weak_faces_and_the_weaker_of_two_overlapping_ones_are_dropped() -> None:
    box = np.array([0.5, 0.5, 1.0, 1.0, *[0.0] * 10])
    strong, near, weak, apart = (16, 0, box, 0.9), (16, 1, box, 0.8), (16, 12, box, 0.5), (16, 23, box, 0.7)
    faces = decode(outputs_with([apart, weak, near, strong]), WIDTH, 0.6, 0.3)
    assert faces[:, 14] == pytest.approx([0.9, 0.7])
    assert len(decode(outputs_with([apart, weak, near, strong]), WIDTH, 0.4, 0.9)) == 4
    assert decode(outputs_with([weak]), WIDTH, 0.6, 0.3).shape == (0, 15)
