"""REP-155 person ids: another node says on /humans/candidate_matches whose the faces are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from mien.errors import MienError, require

LOWEST_CONFIDENCE = 0.5
"""From which a match counts, as by default in hri_person_manager."""
MAXIMUM_FACES = MAXIMUM_PERSONS = 256
"""Of faces, and of persons that match one of them; the oldest make room."""


class CandidateMatches:
    """Listens to hri_msgs/IdsMatch; the executor's thread calls.

    A face belongs to the person it was matched with most confidently; a match of confidence 0 takes that back.

    Args:
        node: subscribes.
        changed: is given the person of a face, empty when unknown, after every match.

    Raises:
        MienError: hri_msgs is not installed.
    """

    def __init__(self, node: Node, changed: Callable[[dict[str, str]], None]) -> None:
        try:
            self._type: Any = require("hri_msgs.msg", "ros").IdsMatch
        except (MienError, AttributeError) as error:
            raise MienError(
                f"identity is rep155, but there is no hri_msgs of REP-155 ({error})",
                "Install it (apt install ros-$ROS_DISTRO-hri-msgs) or choose another identity",
            ) from error
        self._node, self._changed = node, changed
        self._confidences: dict[str, dict[str, float]] = {}  # that count, by face and person; the oldest first
        self._subscription = node.create_subscription(self._type, "/humans/candidate_matches", self._on_match, 10)

    def persons(self) -> dict[str, str]:
        """The person of each matched face, empty when no match counts any more."""
        return {face_id: _best(persons) for face_id, persons in list(self._confidences.items())}

    def close(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self._subscription)

    def _on_match(self, match: Any) -> None:
        ids = {match.id1_type: match.id1, match.id2_type: match.id2}
        face_id, person_id = ids.get(self._type.FACE), ids.get(self._type.PERSON)
        if not face_id or not person_id:
            return
        persons = self._confidences.setdefault(face_id, {})
        persons.pop(person_id, None)
        if match.confidence >= LOWEST_CONFIDENCE:
            persons[person_id] = match.confidence
        if len(persons) > MAXIMUM_PERSONS:
            del persons[next(iter(persons))]
        if len(self._confidences) > MAXIMUM_FACES:
            del self._confidences[next(iter(self._confidences))]
        self._changed({face_id: _best(persons)})


def _best(persons: dict[str, float]) -> str:
    return max(persons, key=persons.__getitem__, default="")
