"""Drawings are made when somebody looks, and one that fails does not end them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rclpy.node import Node
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header

from mien.nodes.annotator import Annotator
from tests.ros.harness import wait_for

SEEN, UNSEEN, BROKEN = (np.full((48, 64, 3), grey, np.uint8) for grey in (90, 120, 150))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The images that were drawn into; drawing into BROKEN fails."""
    images: list[Any] = []

    def draw(image: Any, faces: Any, labels: Any) -> Any:
        images.append(image)
        if image is BROKEN:
            raise ValueError("nothing to draw on")
        return image

    monkeypatch.setattr("mien.nodes.annotator.draw", draw)
    return images


@pytest.fixture
def annotator(ros_node: Node, drawn: list[Any]) -> Iterator[Annotator]:
    made = Annotator(ros_node, ["neutral", "happiness"])
    yield made
    made.close()


def test_drawings_are_made_for_viewers_only_and_outlive_a_failure(annotator, drawn, collect) -> None:
    annotator.offer("/unseen", Header(), UNSEEN, [])
    pictures = collect("/image_annotated", ImageMessage)

    def offered(image: Any, count: int) -> bool:
        annotator.offer("/seen", Header(frame_id=f"eye_{count}"), image, [])
        return len(pictures.messages) >= count

    wait_for(lambda: offered(SEEN, 1), 10, "a drawing")
    assert {id(image) for image in drawn} == {id(SEEN)}
    annotator.offer("/broken", Header(), BROKEN, [])
    wait_for(lambda: any(image is BROKEN for image in drawn), 10, "the failure")
    more = len(pictures.messages) + 1
    wait_for(lambda: offered(SEEN, more), 10, "a drawing after the failure")
    assert pictures.messages[0].header.frame_id == "eye_1"
