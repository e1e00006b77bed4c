"""A teacher answers what its package's network answers, whatever the student's input and classes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from mien.bundle import InputSpec
from mien.errors import MienError
from mien.models.fer2013 import LABELS
from trainer.models import Outputs, build_network
from trainer.models.teacher import as_input, load_teacher
from trainer.models.weights import load_start_weights

GREY = InputSpec(64, 64, "grey", (127.5,), (2 / 255,))
RGB = InputSpec(96, 96, "rgb", (123.675, 116.28, 103.53), (0.017, 0.0175, 0.018))


def pictures(side: int, depth: int) -> np.ndarray:
    """Two smooth ones, uint8 (2, side, side, depth)."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 6, 6, depth), np.uint8)
    return np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in noise]).reshape(
        2, side, side, depth
    )


def as_seen(images: np.ndarray, spec: InputSpec) -> torch.Tensor:
    """Pictures in the order of a network's channels, normalised."""
    values = (images - np.float32(spec.mean)) * np.float32(spec.scale)
    return torch.from_numpy(values.transpose(0, 3, 1, 2).astype(np.float32))


@torch.no_grad()
def test_it_says_what_its_network_says_of_the_classes_that_both_know() -> None:
    labels = ("contempt", "anger", "neutral", "happiness")
    student = build_network("mini_xception", Outputs(labels=labels), seed=1)
    teacher = load_teacher("mini_xception", student)
    network = build_network("mini_xception", Outputs(labels=LABELS), seed=0)
    load_start_weights(network, "package")
    images = as_seen(pictures(64, 1), GREY)
    expected = network.eval()(images).classes[:, [LABELS.index(label) for label in labels[1:]]]
    assert teacher.places == [1, 2, 3]
    torch.testing.assert_close(teacher.train()(images), expected, rtol=1e-4, atol=1e-4)
    assert teacher.weights.lineage == "FER2013"
    assert not any(weight.requires_grad for weight in teacher.parameters())
    before = {name: values.clone() for name, values in teacher.state_dict().items()}
    teacher.train()(torch.randn(8, 1, 64, 64))
    assert all(torch.equal(values, before[name]) for name, values in teacher.state_dict().items())


def test_another_students_pictures_become_its_own() -> None:
    colours = pictures(96, 3)
    grey = np.stack([cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in colours])
    small = np.stack([cv2.resize(one, (64, 64), interpolation=cv2.INTER_AREA) for one in grey])
    found = as_input(as_seen(colours, RGB), RGB, GREY)
    assert found.shape == (2, 1, 64, 64)
    torch.testing.assert_close(found, as_seen(small[..., None], GREY), rtol=0, atol=4 / 127.5)
    back = as_input(as_seen(grey[..., None], GREY), GREY, RGB)
    torch.testing.assert_close(back, as_seen(np.repeat(grey[..., None], 3, 3), RGB), rtol=0, atol=1e-5)
    blue_first = InputSpec(96, 96, "bgr", RGB.mean, RGB.scale)
    torch.testing.assert_close(
        as_input(as_seen(colours, RGB), RGB, blue_first), as_seen(colours[..., ::-1], blue_first), rtol=0, atol=1e-5
    )


def test_pictures_that_are_its_own_are_not_touched() -> None:
    images = torch.randn(2, 1, 64, 64)
    assert as_input(images, GREY, GREY) is images


def test_a_student_of_another_size_and_colour_is_taught() -> None:
    student = build_network("mobilenet_v1_48_w025", Outputs(labels=("neutral", "happiness", "contempt")), seed=1)
    teacher = load_teacher("mini_xception", student)
    with torch.no_grad():
        assert teacher(torch.zeros(2, 3, 48, 48)).shape == (2, 2)


def test_a_teacher_without_anything_to_teach_is_named() -> None:
    student = build_network("mini_xception", Outputs(labels=("neutral", "contempt")), seed=1)
    with pytest.raises(MienError, match="mini_xception cannot teach neutral, contempt: it knows anger"):
        load_teacher("mini_xception", student)
    with pytest.raises(MienError, match="No package has weights of mobilenet_v2 that tell expressions") as caught:
        load_teacher("mobilenet_v2", student)
    assert caught.value.remedy.endswith("mini_xception, face_expression_net, expression_pair")
