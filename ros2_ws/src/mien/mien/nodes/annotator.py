"""Pictures with drawn results on `image_annotated`, made beside the camera path and only when somebody looks."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rclpy.node import Node
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header

from mien.drawing import draw
from mien.faces.detector import Image
from mien.nodes.images import encode_image
from mien.nodes.inbox import Arrival, Inbox
from mien.pipeline import FaceAffect


class Annotator:
    """Draws the newest result in a thread of its own; older ones that it could not keep up with are skipped."""

    def __init__(self, node: Node, labels: Sequence[str]) -> None:
        self._node = node
        self._labels = tuple(labels)
        self._publisher = node.create_publisher(ImageMessage, "image_annotated", 1)
        self._inbox = Inbox()
        self._thread = threading.Thread(target=self._work, name="annotator")
        self._thread.start()

    def offer(self, camera: str, header: Header, image: Image, faces: Sequence[FaceAffect]) -> None:
        """Hand over a result; costs nothing when nobody subscribes."""
        if self._publisher.get_subscription_count() > 0:
            self._inbox.put(Arrival(camera, (header, image, faces)))

    def close(self) -> None:
        """Stop the thread and remove the topic."""
        self._inbox.close()
        self._thread.join()
        self._node.destroy_publisher(self._publisher)

    def _work(self) -> None:
        while arrivals := self._inbox.take():
            for arrival in arrivals.values():
                try:
                    self._draw(*arrival.message)
                except Exception as error:  # noqa: BLE001  a picture that cannot be drawn must not end the thread
                    self._node.get_logger().error(f"Cannot draw: {error}", throttle_duration_sec=5.0)

    def _draw(self, header: Header, image: Image, faces: Sequence[FaceAffect]) -> None:
        drawn = draw(image, faces, self._labels)
        self._publisher.publish(encode_image(drawn, header.stamp, header.frame_id))
