"""Satisfaction of the perception node: observed on the worker's thread, asked for and published on the executor's."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence

from mien_msgs.srv import BeginInteraction, EndInteraction
from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Header

from mien.errors import MienError
from mien.expression.interactions import Interactions, PersonSatisfaction
from mien.expression.satisfaction import Level, SatisfactionParameters
from mien.nodes.clock import ImageClock
from mien.nodes.messages import satisfaction
from mien.pipeline import FaceAffect


class InteractionServices:
    """Services begin_interaction and end_interaction, and the topic satisfaction.

    Args:
        node: offers them.
        labels: of the model.
        publisher: of the topic.
        rate_hz: how often the topic is published.
        clock: whose time the observations have.
        remember: is given how satisfied an enrolled person was, when an interaction or the person's presence ends; must
            be short.
    """

    def __init__(
        self,
        node: Node,
        labels: Sequence[str],
        publisher: Publisher,
        rate_hz: float,
        clock: ImageClock,
        remember: Callable[[PersonSatisfaction], None],
    ) -> None:
        self._node = node
        self._remember = remember
        self._publisher = publisher
        self._clock = clock
        self._lock = threading.Lock()
        self._interactions = Interactions(labels, SatisfactionParameters())
        self._headers: dict[str, Header] = {}  # of the newest image of each face
        self._services = [
            node.create_service(BeginInteraction, "begin_interaction", self._begin),
            node.create_service(EndInteraction, "end_interaction", self._end),
        ]
        self._timer = node.create_timer(1 / rate_hz, self._publish)

    def observe(self, header: Header, time_s: float, faces: Sequence[FaceAffect]) -> None:
        """Take note of the faces of one image, taken at `time_s` of the clock."""
        with self._lock:
            for face in faces:
                self._headers[face.face_id] = header
                self._interactions.observe(
                    face.face_id, face.person_id, time_s, face.probabilities, face.valence, face.confidence
                )

    def forget(self, person_id: str) -> None:
        """Drop all windows of a person."""
        with self._lock:
            self._interactions.forget(person_id)

    def set_rate(self, rate_hz: float) -> None:
        """Change how often satisfaction is published, Hz."""
        self._timer.timer_period_ns = int(1e9 / rate_hz)

    def close(self) -> None:
        """Remove services and timer; windows by presence end, those still open otherwise are gone."""
        with self._lock:
            self._remember_all(self._interactions.ended(math.inf))
        self._node.destroy_timer(self._timer)
        for service in self._services:
            self._node.destroy_service(service)

    def _publish(self) -> None:
        with self._lock:
            now_s = self._clock.now_s()
            people = self._interactions.states(now_s)
            self._remember_all(self._interactions.ended(now_s))
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
                response.interaction_id = self._interactions.begin(
                    request.subject, request.person_ids, self._clock.now_s()
                )
                response.success = True
            except MienError as error:
                response.message = str(error)
        return response

    def _end(self, request: EndInteraction.Request, response: EndInteraction.Response) -> EndInteraction.Response:
        with self._lock:
            try:
                summary = self._interactions.end(request.interaction_id, self._clock.now_s())
            except MienError as error:
                response.message = str(error)
                return response
            self._remember_all(summary.people)
            response.summaries = [
                satisfaction(self._headers.get(person.face_id, Header()), person) for person in summary.people
            ]
        response.success = True
        response.subject = summary.subject
        response.duration_s = summary.duration_s
        return response

    def _remember_all(self, people: Sequence[PersonSatisfaction]) -> None:
        """Of strangers nothing is remembered, and nothing where too little was seen to tell."""
        for person in people:
            if person.person_id and person.state.level is not Level.UNKNOWN:
                self._remember(person)
