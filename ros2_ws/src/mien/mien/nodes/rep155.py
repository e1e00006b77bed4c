"""REP-155 (ROS4HRI) topics for faces, where the package hri_msgs is installed.

The published labels follow hri_msgs/Expression, which has no contempt: contempt is published as `disgusted`, its
nearest neighbour in the list (both belong to the hostile emotions, Izard 1977), with the face's own valence, arousal
and confidence. `emotions` keeps the difference. A face read by a model without classes has an empty expression, its
own valence and arousal, and NaN for the confidence.

hri_msgs/FacialLandmarks numbers its first 68 points as iBUG 300-W, dlib and OpenPose do; points 68 and 69, the pupils,
are not located and have confidence 0, as has every point beyond the image.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks

from mien.errors import MienError, require
from mien.faces.detector import Image
from mien.faces.landmarks import POINTS
from mien.nodes.beside import Beside
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


@dataclass(frozen=True)
class _Seen:
    """The faces in a camera's newest image, and when it was published (monotonic clock)."""

    header: Header
    face_ids: set[str]
    moment_s: float = field(default_factory=time.monotonic)


class HumansPublisher:
    """Publishes /humans/faces/tracked and, per face, roi, expression, landmarks (68 points) and cropped.

    Publishers of a face appear with it and go with it, which takes milliseconds and therefore happens beside the camera
    path. Methods may be called from any thread.

    Raises:
        MienError: hri_msgs is not installed, or is another version.
    """

    def __init__(self, node: Node) -> None:
        remedy = "Install it (apt install ros-$ROS_DISTRO-hri-msgs) or set rep155:=false"
        try:
            self._hri = require("hri_msgs.msg", "ros")
            self._types = {
                "roi": self._hri.NormalizedRegionOfInterest2D,
                "expression": self._hri.Expression,
                "landmarks": self._hri.FacialLandmarks,
                "cropped": ImageMessage,
            }
            self._tracked = node.create_publisher(self._hri.IdsList, "/humans/faces/tracked", 1)
        except MienError as error:
            raise MienError(error.problem, remedy) from error
        except AttributeError as error:
            raise MienError(f"This hri_msgs is not the one of REP-155 ({error})", remedy) from error
        self._node = node
        self._lock = threading.Lock()
        self._faces: dict[str, dict[str, Any]] = {}
        self._seen_by: dict[str, _Seen] = {}
        self._beside = Beside(node, "REP-155", self._publish)

    def offer(self, camera: str, header: Header, image: Image, faces: Sequence[FaceAffect]) -> None:
        """Hand over the faces of one image; the ids published are those of all cameras' newest images."""
        self._beside.offer(camera, header, image, faces)

    def _publish(self, camera: str, header: Header, image: Image, faces: Sequence[FaceAffect]) -> None:
        with self._lock:
            self._seen_by[camera] = _Seen(header, {face.face_id for face in faces})
            self._announce(header)
            for face in faces:
                self._publish_face(header, image, face)

    def forget_silent(self, timeout_s: float) -> None:
        """Let the faces of cameras go that have shown nothing for longer than `timeout_s` seconds."""
        with self._lock:
            earliest_s = time.monotonic() - timeout_s
            for camera in [camera for camera, seen in self._seen_by.items() if seen.moment_s < earliest_s]:
                self._announce(self._seen_by.pop(camera).header)

    def close(self) -> None:
        """Stop, and remove all publishers."""
        self._beside.close()
        for face_id in list(self._faces):
            self._remove(face_id)
        self._node.destroy_publisher(self._tracked)

    def _announce(self, header: Header) -> None:
        """Say who is there, and remove the publishers of who is not."""
        present: set[str] = set().union(*(seen.face_ids for seen in self._seen_by.values()))
        for face_id in set(self._faces) - present:
            self._remove(face_id)
        self._tracked.publish(self._hri.IdsList(header=header, ids=sorted(present)))

    def _remove(self, face_id: str) -> None:
        for publisher in self._faces.pop(face_id).values():
            self._node.destroy_publisher(publisher)

    def _publishers(self, face_id: str) -> dict[str, Any]:
        if face_id not in self._faces:
            self._faces[face_id] = {
                name: self._node.create_publisher(
                    kind, f"/humans/faces/{face_id}/{name}", 1, event_callbacks=_no_events()
                )
                for name, kind in self._types.items()
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
                expression=EXPRESSIONS.get(face.expression, ""),
                valence=face.valence,
                arousal=face.arousal,
                confidence=face.confidence,
            )
        )
        if face.landmarks is not None and len(face.landmarks) == POINTS:
            publishers["landmarks"].publish(self._landmarks(header, width, height, face))
        if publishers["cropped"].get_subscription_count() > 0:
            publishers["cropped"].publish(_cropped(header, image, face))

    def _landmarks(self, header: Header, width: int, height: int, face: FaceAffect) -> Any:
        message = self._hri.FacialLandmarks(header=header, width=width, height=height)
        points = np.clip(np.asarray(face.landmarks) / (width, height), 0, 1).tolist()
        # The message has two slots more: the pupils.
        for slot, (x, y), c in zip(message.landmarks, points, face.landmark_confidences.tolist(), strict=False):
            slot.x, slot.y, slot.c = x, y, c
        return message


def _no_events() -> PublisherEventCallbacks:
    """No callbacks: the executor would wait for their events and fail when a publisher goes while it does."""
    return PublisherEventCallbacks(use_default_callbacks=False)


def _cropped(header: Header, image: Image, face: FaceAffect) -> ImageMessage:
    box, (height, width) = face.box, image.shape[:2]
    # At least one pixel, also where the box only touches the image's edge.
    left, top = min(int(box.x), width - 1), min(int(box.y), height - 1)
    cut = image[top : max(round(box.y + box.height), top + 1), left : max(round(box.x + box.width), left + 1)]
    cropped = np.asarray(cv2.resize(cut, (CROPPED_SIZE_PX, CROPPED_SIZE_PX)), np.uint8)
    return encode_image(cropped, header.stamp, header.frame_id)
