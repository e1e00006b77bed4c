"""Work on results beside the camera path, which waits for none of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from rclpy.node import Node
from std_msgs.msg import Header

from mien.faces.detector import Image
from mien.nodes.inbox import Arrival, Inbox
from mien.pipeline import FaceAffect

Handle = Callable[[str, Header, Image, Sequence[FaceAffect]], None]


class Beside:
    """Handles the newest result of each camera in a thread of its own; those it cannot keep up with are skipped.

    Args:
        node: logs what fails; a failure ends nothing.
        what: the work in a word or two, for the log.
        handle: called with camera, header and image and faces of the result.
    """

    def __init__(self, node: Node, what: str, handle: Handle) -> None:
        self._node, self._what, self._handle = node, what, handle
        self._inbox = Inbox()
        self._thread = threading.Thread(target=self._work, name=what, daemon=True)
        self._thread.start()

    def offer(self, camera: str, header: Header, image: Image, faces: Sequence[FaceAffect]) -> None:
        """Hand over a result."""
        self._inbox.put(Arrival(camera, (header, image, faces)))

    def close(self) -> None:
        """Let the thread finish what it is at, and end it."""
        self._inbox.close()
        self._thread.join()

    def _work(self) -> None:
        while arrivals := self._inbox.take():
            for camera, arrival in arrivals.items():
                try:
                    self._handle(camera, *arrival.message)
                except Exception as error:  # noqa: BLE001  one result that fails must not end the thread
                    self._node.get_logger().error(f"Failed: {self._what}: {error}", throttle_duration_sec=5.0)
