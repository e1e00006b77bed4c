"""annotated.mp4: pictures of every kind become a video that plays, at the speed they were taken."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.faces.detector import Box
from mien.pipeline import FaceAffect
from mien.recording.video import MAXIMUM_SAMPLES, MAXIMUM_WIDTH_PX, SAMPLE_WIDTH_PX, AnnotatedVideo

LABELS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")


def face(expression="happiness", confidence=0.8) -> FaceAffect:
    probabilities = np.full(len(LABELS), (1 - confidence) / (len(LABELS) - 1), np.float32)
    probabilities[LABELS.index(expression)] = confidence
    none = np.empty(0, np.float32)
    return FaceAffect(
        "abcd1", "/c", Box(60, 40, 70, 80), 0.9, False, None, probabilities, probabilities, expression, confidence,
        0.1, 0.2, none,
    )  # fmt: skip


def picture(width=320, height=240, channels=(3,)):
    return np.full((height, width, *channels), 128, np.uint8)


def read(path):
    video, pictures = cv2.VideoCapture(str(path)), []
    while (frame := video.read())[0]:
        pictures.append(frame[1])
    return pictures, video.get(cv2.CAP_PROP_FRAME_COUNT) / video.get(cv2.CAP_PROP_FPS)


@pytest.fixture
def video(tmp_path):
    return AnnotatedVideo(tmp_path / "annotated.mp4")


def test_it_appears_only_when_it_is_whole(video) -> None:
    for index in range(10):
        video.write(index / 25, picture(), [face()], LABELS)
        assert not video.path.exists()
    assert video.close()
    pictures, _ = read(video.path)
    assert len(pictures) == 10
    assert [file.name for file in video.path.parent.iterdir()] == ["annotated.mp4"]


def test_without_pictures_there_is_no_video(video) -> None:
    assert not video.close()
    assert list(video.path.parent.iterdir()) == []


def test_it_plays_as_fast_as_the_pictures_were_taken(video) -> None:
    for index in range(30):
        video.write(index / 10, picture(), [], LABELS)
    video.close()
    _, duration_s = read(video.path)
    assert duration_s == pytest.approx(3.0, abs=0.15)


@pytest.mark.parametrize("times", [[5.0, 4.0, 3.0, 3.0], [0.0, 1e9, 1e9 + 1, 2e9]])
def test_a_clock_that_jumps_does_no_harm(video, times) -> None:
    for time_s in times:
        video.write(time_s, picture(), [], LABELS)
    video.close()
    pictures, duration_s = read(video.path)
    assert len(pictures) == 4
    assert duration_s < 10


@pytest.mark.parametrize(
    ("size", "expected"), [((321, 241), (320, 240)), ((1, 1), (2, 2)), ((2560, 1440), (MAXIMUM_WIDTH_PX, 720))]
)
def test_sizes_that_the_codec_does_not_take_are_changed(video, size, expected) -> None:
    for index in range(2):
        video.write(index / 25, picture(*size), [face()], LABELS)
    video.close()
    pictures, _ = read(video.path)
    assert pictures[0].shape == (expected[1], expected[0], 3)


def test_grey_pictures_and_pictures_of_another_size_fit_in(video) -> None:
    video.write(0.0, picture(), [], LABELS)
    video.write(0.1, picture(channels=()), [], LABELS)
    video.write(0.2, picture(100, 50), [], LABELS)
    video.close()
    assert [one.shape for one in read(video.path)[0]] == [(240, 320, 3)] * 3


def test_samples_are_the_surest_moments_in_order_of_time_and_small(video) -> None:
    for index, expression in enumerate(LABELS):
        video.write(index, picture(1280, 720), [face(expression, 0.5 + index / 20)], LABELS)
    video.write(20.0, picture(1280, 720), [face("anger", 0.95)], LABELS)
    video.write(21.0, picture(1280, 720), [face("anger", 0.6)], LABELS)
    samples = video.samples
    assert len(samples) == MAXIMUM_SAMPLES
    assert [sample.time_s for sample in samples] == sorted(sample.time_s for sample in samples)
    assert {"neutral", "happiness"}.isdisjoint(sample.expression for sample in samples)  # the least sure of the eight
    assert next(sample.time_s for sample in samples if sample.expression == "anger") == 20.0
    assert all(sample.image.shape[1] == SAMPLE_WIDTH_PX for sample in samples)
    video.close()
