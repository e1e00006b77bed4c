"""REP-155 (ROS4HRI) topics for faces, where the package hri_msgs is installed.

The published labels follow hri_msgs/Expression, which has no contempt: contempt is published as `disgusted`, its
nearest neighbour in the list (both belong to the hostile emotions, Izard 1977), with the face's own valence, arousal
and confidence. `emotions` keeps the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from rclpy.node import Node
from std_msgs.msg import Header

from mien.errors import MienError, require
from mien.faces.detector import Image
from mien.nodes.images import encode_image
from mien.pipeline import FaceAffect

EXPRESSIONS = {
    "neutral": "neutral",
    "happiness": "happy",
    "sadness": "sad",
    "surprise": "surprised",
    "fear": "scared",
    "disgust": "disgusted",
    "anger": "angry",
    "contempt": "disgusted",
}
CROPPED_SIZE_PX = 128


class HumansPublisher:
    """Publishes /humans/faces/tracked and, per face, roi, expression, landmarks (68 points) and cropped.

    Publishers of a face appear with it and go with it.

    Raises:
        MienError: hri_msgs is not installed.
    """

    def __init__(self, node: Node) -> None:
        try:
            self._hri = require("hri_msgs.msg", "ros")
        except MienError as error:
            raise MienError(
                error.problem, "Install it (apt install ros-$ROS_DISTRO-hri-msgs) or set rep155:=false"
            ) from error
        self._node = node
        self._tracked = node.create_publisher(self._hri.IdsList, "/humans/faces/tracked", 1)
        self._faces: dict[str, dict[str, Any]] = {}
        self._seen_by: dict[str, set[str]] = {}

    def publish(self, header: Header, camera: str, image: Image, faces: Sequence[FaceAffect]) -> None:
        """Publish the faces of one image; the ids listed are those of all cameras' newest images."""
        self._seen_by[camera] = {face.face_id for face in faces}
        present = set().union(*self._seen_by.values())
        for face_id in set(self._faces) - present:
            self._remove(face_id)
        for face in faces:
            self._publish_face(header, image, face)
        self._tracked.publish(self._hri.IdsList(header=header, ids=sorted(present)))

    def close(self) -> None:
        """Remove all publishers."""
        for face_id in list(self._faces):
            self._remove(face_id)
        self._node.destroy_publisher(self._tracked)

    def _remove(self, face_id: str) -> None:
        for publisher in self._faces.pop(face_id).values():
            self._node.destroy_publisher(publisher)

    def _publishers(self, face_id: str) -> dict[str, Any]:
        if face_id not in self._faces:
            from sensor_msgs.msg import Image as ImageMessage

            types = {
                "roi": self._hri.NormalizedRegionOfInterest2D,
                "expression": self._hri.Expression,
                "landmarks": self._hri.FacialLandmarks,
                "cropped": ImageMessage,
            }
            self._faces[face_id] = {
                name: self._node.create_publisher(kind, f"/humans/faces/{face_id}/{name}", 1)
                for name, kind in types.items()
            }
        return self._faces[face_id]

    def _publish_face(self, header: Header, image: Image, face: FaceAffect) -> None:
        publishers = self._publishers(face.face_id)
        height, width = image.shape[:2]
        box = face.box
        publishers["roi"].publish(
            self._hri.NormalizedRegionOfInterest2D(
                header=header,
                xmin=box.x / width,
                ymin=box.y / height,
                xmax=min((box.x + box.width) / width, 1.0),
                ymax=min((box.y + box.height) / height, 1.0),
                c=face.detection_confidence,
            )
        )
        publishers["expression"].publish(
            self._hri.Expression(
                header=header,
                expression=EXPRESSIONS[face.expression],
                valence=face.valence,
                arousal=face.arousal,
                confidence=face.confidence,
            )
        )
        if face.landmarks is not None and len(face.landmarks) == 68:
            publishers["landmarks"].publish(self._landmarks(header, width, height, face.landmarks))
        if publishers["cropped"].get_subscription_count() > 0:
            publishers["cropped"].publish(_cropped(header, image, face))

    def _landmarks(self, header: Header, width: int, height: int, points: np.ndarray[Any, Any]) -> Any:
        message = self._hri.FacialLandmarks(header=header, width=width, height=height)
        for slot, (x, y) in zip(message.landmarks, np.clip(points / (width, height), 0, 1).tolist(), strict=False):
            slot.x, slot.y, slot.c = x, y, 1.0
        return message


def _cropped(header: Header, image: Image, face: FaceAffect) -> Any:
    box = face.box
    left, top = int(box.x), int(box.y)
    cut = image[top : max(round(box.y + box.height), top + 1), left : max(round(box.x + box.width), left + 1)]
    return encode_image(cv2.resize(cut, (CROPPED_SIZE_PX, CROPPED_SIZE_PX)), header.stamp, header.frame_id)
