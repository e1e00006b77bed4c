"""Matches of another node: what is remembered of them is bounded. A test's own hri_msgs and node."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy")

from mien.nodes.rep155_matches import MAXIMUM_FACES, MAXIMUM_PERSONS, CandidateMatches


class IdsMatch(SimpleNamespace):
    PERSON, FACE = 1, 2


class Listening:
    """What `CandidateMatches` wants of a node; `say` is a message's arrival."""

    def create_subscription(self, _type: type, _topic: str, callback: Callable[[Any], None], _depth: int) -> None:
        self._callback = callback

    def say(self, face: str, person: str, confidence: float) -> None:
        kinds = {"id1_type": IdsMatch.PERSON, "id2_type": IdsMatch.FACE}
        self._callback(IdsMatch(id1=person, id2=face, confidence=confidence, **kinds))


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Listening:
    module: Any = ModuleType("hri_msgs.msg")
    module.IdsMatch = IdsMatch
    monkeypatch.setitem(sys.modules, "hri_msgs", ModuleType("hri_msgs"))
    monkeypatch.setitem(sys.modules, "hri_msgs.msg", module)
    return Listening()


def test_the_oldest_of_too_many_persons_of_a_face_make_room(node: Any) -> None:
    said: list[dict[str, str]] = []
    matches = CandidateMatches(node, said.append)
    node.say("face", "first", 0.9)
    for number in range(MAXIMUM_PERSONS):
        node.say("face", f"person{number}", 0.6)
    assert said[-2] == {"face": "first"}
    assert said[-1] == {"face": "person0"}
    node.say("face", "person0", 0.0)
    assert matches.persons() == {"face": "person1"}


def test_the_oldest_of_too_many_faces_make_room(node: Any) -> None:
    matches = CandidateMatches(node, lambda persons: None)
    for number in range(MAXIMUM_FACES + 1):
        node.say(f"face{number}", "somebody", 0.9)
    assert matches.persons() == {f"face{number}": "somebody" for number in range(1, MAXIMUM_FACES + 1)}
