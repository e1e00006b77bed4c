"""Quality of service of image subscriptions: as reliable as the camera allows."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

DEPTH = 5
"""Images that may wait in the middleware. More than one, so that those which a busy moment replaces are replaced, and
counted, in the node's inbox instead of vanishing unseen; the inbox itself holds one."""
_BY_SETTING = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}


def choose_image_qos(node: Node, topic: str, setting: str, current: QoSProfile | None = None) -> QoSProfile:
    """The profile to subscribe with. Ask again now and then, and subscribe anew when its reliability has changed.

    `auto` is reliable if every publisher is: large messages would otherwise get lost in the default transport. One
    that is not reliable forces best effort, which matches all. Without a publisher `current` stays, so that a camera
    that pauses changes nothing; at first it is best effort.

    Args:
        node: whose view of the graph counts.
        topic: of the images.
        setting: "auto", "reliable" or "best_effort".
        current: what the topic is subscribed with now, if it is.
    """
    reliability = _BY_SETTING.get(setting)
    if reliability is None:
        offered = [publisher.qos_profile.reliability for publisher in node.get_publishers_info_by_topic(topic)]
        if offered:
            reliable = all(policy == ReliabilityPolicy.RELIABLE for policy in offered)
            reliability = _BY_SETTING["reliable" if reliable else "best_effort"]
        else:
            reliability = current.reliability if current else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=DEPTH, reliability=reliability)
