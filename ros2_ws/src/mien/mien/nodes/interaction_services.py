"""Satisfaction of the perception node: observed on the worker's thread, asked for and published on the executor's."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from mien_msgs.srv import BeginInteraction, EndInteraction
from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Header

from mien.errors import MienError
from mien.expression.interactions import Interactions
from mien.expression.satisfaction import SatisfactionParameters
from mien.nodes.messages import satisfaction
from mien.pipeline import FaceAffect


class InteractionServices:
    """Services begin_interaction and end_interaction, and the topic satisfaction.

    Time is that of the images, carried on by the monotonic clock between them, so that recorded images with old
    stamps are measured like live ones.
    """

    def __init__(self, node: Node, labels: Sequence[str], publisher: Publisher, rate_hz: float) -> None:
        self._node = node
        self._publisher = publisher
        self._lock = threading.Lock()
        self._interactions = Interactions(labels, SatisfactionParameters())
        self._newest: tuple[Header, float, float] | None = None  # header, its stamp, when it was observed
        self._headers: dict[str, Header] = {}  # of the newest image of each face
        self._services = [
            node.create_service(BeginInteraction, "begin_interaction", self._begin),
            node.create_service(EndInteraction, "end_interaction", self._end),
        ]
        self._timer = node.create_timer(1 / rate_hz, self._publish)

    def observe(self, header: Header, stamp_s: float, faces: Sequence[FaceAffect]) -> None:
        """Take note of the faces of one image."""
        with self._lock:
            self._newest = (header, stamp_s, time.monotonic())
            for face in faces:
                self._headers[face.face_id] = header
                self._interactions.observe(face.face_id, "", stamp_s, face.probabilities, face.valence, face.confidence)

    def set_rate(self, rate_hz: float) -> None:
        """Change how often satisfaction is published, Hz."""
        self._timer.timer_period_ns = int(1e9 / rate_hz)

    def close(self) -> None:
        """Remove services and timer; windows still open are gone."""
        self._node.destroy_timer(self._timer)
        for service in self._services:
            self._node.destroy_service(service)

    def _now_s(self) -> float:
        """The time of the images, now. Before the first image: the node's clock."""
        if self._newest is None:
            return float(self._node.get_clock().now().nanoseconds * 1e-9)
        _, stamp_s, observed_s = self._newest
        return stamp_s + time.monotonic() - observed_s

    def _publish(self) -> None:
        with self._lock:
            people = self._interactions.states(self._now_s())
            faces = {person.face_id for person in people}
            self._headers = {face_id: header for face_id, header in self._headers.items() if face_id in faces}
            messages = [satisfaction(self._headers[person.face_id], person) for person in people]
        for message in messages:
            self._publisher.publish(message)

    def _begin(
        self, request: BeginInteraction.Request, response: BeginInteraction.Response
    ) -> BeginInteraction.Response:
        with self._lock:
            try:
                response.interaction_id = self._interactions.begin(request.subject, request.person_ids, self._now_s())
                response.success = True
            except MienError as error:
                response.message = str(error)
        return response

    def _end(self, request: EndInteraction.Request, response: EndInteraction.Response) -> EndInteraction.Response:
        with self._lock:
            try:
                summary = self._interactions.end(request.interaction_id, self._now_s())
            except MienError as error:
                response.message = str(error)
                return response
            newest = Header() if self._newest is None else self._newest[0]
            response.summaries = [
                satisfaction(self._headers.get(person.face_id, newest), person) for person in summary.people
            ]
        response.success = True
        response.subject = summary.subject
        response.duration_s = summary.duration_s
        return response
