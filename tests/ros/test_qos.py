"""The image subscription follows whoever publishes."""

from __future__ import annotations

import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from mien.nodes.qos import choose_image_qos
from tests.ros.harness import wait_for

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT


def publish(node, *reliabilities):
    publishers = [node.create_publisher(Image, "eye", QoSProfile(depth=1, reliability=r)) for r in reliabilities]
    wait_for(lambda: node.count_publishers("eye") == len(publishers), 10.0, "the publishers to be known")
    return publishers


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ([RELIABLE], RELIABLE),
        ([BEST_EFFORT], BEST_EFFORT),
        ([RELIABLE, RELIABLE], RELIABLE),
        ([RELIABLE, BEST_EFFORT], BEST_EFFORT),
        ([], BEST_EFFORT),
    ],
)
def test_auto_is_reliable_only_when_every_publisher_is(ros_node, offered, expected):
    publish(ros_node, *offered)
    profile = choose_image_qos(ros_node, "eye", "auto")
    assert profile.reliability == expected
    assert profile.depth > 1  # what a busy moment replaces is counted by the node, not lost unseen


def test_auto_follows_a_camera_that_goes_and_returns_with_another_quality(ros_node):
    (publisher,) = publish(ros_node, RELIABLE)
    profile = choose_image_qos(ros_node, "eye", "auto")
    ros_node.destroy_publisher(publisher)
    wait_for(lambda: ros_node.count_publishers("eye") == 0, 10.0, "the publisher to be gone")
    profile = choose_image_qos(ros_node, "eye", "auto", profile)
    assert profile.reliability == RELIABLE
    publish(ros_node, BEST_EFFORT)
    assert choose_image_qos(ros_node, "eye", "auto", profile).reliability == BEST_EFFORT


@pytest.mark.parametrize(("setting", "expected"), [("reliable", RELIABLE), ("best_effort", BEST_EFFORT)])
def test_a_fixed_setting_ignores_the_publishers(ros_node, setting, expected):
    publish(ros_node, RELIABLE, BEST_EFFORT)
    assert choose_image_qos(ros_node, "eye", setting).reliability == expected
