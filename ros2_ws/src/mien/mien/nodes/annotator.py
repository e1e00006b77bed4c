"""Pictures with drawn results on `image_annotated`, made beside the camera path and only when somebody looks."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.node import Node
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header

from mien.drawing import draw
from mien.faces.detector import Image
from mien.nodes.beside import Beside
from mien.nodes.images import encode_image
from mien.pipeline import FaceAffect


class Annotator:
    """Draws the newest results; older ones that it could not keep up with are skipped."""

    def __init__(self, node: Node, labels: Sequence[str]) -> None:
        self._node = node
        self._labels = tuple(labels)
        self._publisher = node.create_publisher(ImageMessage, "image_annotated", 1)
        self._beside = Beside(node, "drawing", self._draw)

    def offer(self, camera: str, header: Header, image: Image, faces: Sequence[FaceAffect]) -> None:
        """Hand over a result; costs nothing when nobody subscribes."""
        if self._publisher.get_subscription_count() > 0:
            self._beside.offer(camera, header, image, faces)

    def close(self) -> None:
        """Stop the thread and remove the topic."""
        self._beside.close()
        self._node.destroy_publisher(self._publisher)

    def _draw(self, _camera: str, header: Header, image: Image, faces: Sequence[FaceAffect]) -> None:
        drawn = draw(image, faces, self._labels)
        self._publisher.publish(encode_image(drawn, header.stamp, header.frame_id))
