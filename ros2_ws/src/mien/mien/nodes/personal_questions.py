"""The topic label_requests: the robot asks for labels of the moments that it would learn most from."""

from __future__ import annotations

import math
import threading

import numpy as np
from builtin_interfaces.msg import Time
from mien_msgs.msg import LabelRequest
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Header

from mien.personal.moments import KEPT_S, Moment, Moments
from mien.personal.stream import StreamSampler
from mien.pipeline import FaceAffect

CONSIDER_EVERY_S = 0.5
"""Neighbouring images say the same."""


class LabelRequests:
    """Considers what enrolled people show, and asks on a budget. For any thread.

    Args:
        node: whose clock says when a request expires.
        publisher: of the topic.
        labels: of the model.
        moments: keeps what was asked about until it is answered.
        questions_per_hour: the budget; 0 never asks.
    """

    def __init__(
        self, node: Node, publisher: Publisher, labels: tuple[str, ...], moments: Moments, questions_per_hour: float
    ) -> None:
        self._node, self._publisher, self._labels, self._moments = node, publisher, labels, moments
        self._lock = threading.Lock()
        self._sampler = StreamSampler(questions_per_hour)
        self._considered_s: dict[str, float] = {}  # by person
        self.asked = 0

    def consider(self, header: Header, face: FaceAffect, moment: Moment) -> None:
        """Ask about what a face of an enrolled person shows, if it is worth a question."""
        with self._lock:
            person_id = moment.person_id
            if moment.time_s - self._considered_s.get(person_id, -math.inf) < CONSIDER_EVERY_S:
                return
            self._considered_s[person_id] = moment.time_s
            uncertainty = 1.0 if math.isnan(face.confidence) else 1.0 - face.confidence
            question = self._sampler.consider(
                person_id, moment.time_s, moment.embedding, moment.prediction, uncertainty
            )
        if question is None:
            return
        self._moments.keep(moment)
        self.asked += 1
        expires: Time = (self._node.get_clock().now() + Duration(seconds=KEPT_S)).to_msg()
        self._publisher.publish(
            LabelRequest(
                header=header,
                sample_id=moment.sample_id,
                face_id=face.face_id,
                person_id=person_id,
                reason=question.reason,
                labels=list(self._labels),
                probabilities=np.asarray(face.probabilities, np.float32).tolist(),
                valence=face.valence,
                arousal=face.arousal,
                expires=expires,
            )
        )

    def remember(self, moment: Moment) -> None:
        """A moment was labelled: others like it are no longer new."""
        with self._lock:
            self._sampler.remember(moment.person_id, moment.embedding, moment.prediction)

    def forget(self, person_id: str) -> None:
        """Drop all that is kept of a person."""
        with self._lock:
            self._sampler.forget(person_id)
            self._considered_s.pop(person_id, None)
