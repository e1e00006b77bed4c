"""REP-155 topics, heard by a process of its own: faces with their regions, expressions, landmarks and cut-outs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.bundle import CANONICAL_LABELS
from mien.nodes.rep155 import EXPRESSIONS
from tests.faces.template import TEMPLATE, constant_network, spec, with_landmarks
from tests.ros.driver import Driver, perception, stamp_ns
from tests.ros.harness import NodeProcess, node_environment, wait_for
from tests.ros.humans_messages import hri_msgs_environment
from tests.ros.pictures import demo_frame, face_picture, paste

EMPTY = np.full((360, 640, 3), 90, np.uint8)
REP_155_WORDS = {"neutral", "angry", "sad", "happy", "surprised", "disgusted", "scared"}

CONFIDENCES = np.linspace(0.5, 1, 68, dtype=np.float32)

# The first run builds the messages.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def hri() -> dict[str, str]:
    return hri_msgs_environment()


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory, ros_domain_id: int, hri: dict[str, str]) -> Iterator[Driver]:
    folder = tmp_path_factory.mktemp("rep155")
    bundle = with_landmarks(folder / "bundle", constant_network(TEMPLATE, CONFIDENCES), spec("confidences"))
    parameters = {"bundle": str(bundle), "detection_interval_frames": 1}
    with perception(folder, ros_domain_id, parameters=parameters, environment=hri) as driver:
        yield driver


class Humans:
    """What the listener has heard."""

    def __init__(self, process: NodeProcess) -> None:
        self._process = process

    def heard(self, topic: str) -> list[dict[str, Any]]:
        lines = [line for line in self._process.output.splitlines(keepends=True) if line.endswith("}\n")]
        return [record for record in map(json.loads, lines) if record["topic"] == topic]

    @property
    def tracked(self) -> list[str]:
        """The faces listed last."""
        heard = self.heard("tracked")
        return list(heard[-1]["ids"]) if heard else []

    def of(self, topic: str, stamp: int) -> list[dict[str, Any]]:
        """What was heard of the image with that stamp (ns)."""
        return [one for one in self.heard(topic) if one["stamp"] == [stamp // 10**9, stamp % 10**9]]


@pytest.fixture
def humans(start_process, hri: dict[str, str], robot: Driver) -> Humans:
    script = Path(__file__).with_name("humans_listener.py")
    process = start_process("listener", [sys.executable, str(script)], {**node_environment(), **hri})
    process.wait_for_output("listening")
    wait_for(lambda: robot.node.count_subscribers("/humans/faces/tracked") == 1, 20, "the listener")
    return Humans(process)


def publishers_of_faces(robot: Driver) -> set[str]:
    names = robot.node.get_publisher_names_and_types_by_node("perception", "/")
    return {name for name, _ in names if name.startswith("/humans/faces/") and name != "/humans/faces/tracked"}


def leave(robot: Driver) -> None:
    while robot.read(EMPTY).faces:
        pass


def test_every_face_is_described_and_cut_out(robot: Driver, humans: Humans) -> None:
    picture = paste((640, 360), [face_picture(20, 240), face_picture(300, 240)], [(40, 60), (360, 60)])
    answers = []

    def all_heard() -> bool:
        answers.append(robot.read(picture))
        return {one["face"] for one in humans.heard("cropped")} == {face.face_id for face in answers[-1].faces}

    wait_for(all_heard, 20, "the faces to be heard")
    leave(robot)
    wait_for(lambda: humans.tracked == [], 10, "the faces to go")
    stamp = stamp_ns(answers[-1])
    faces = {face.face_id: face for face in answers[-1].faces}
    assert len(faces) == 2
    assert [one["ids"] for one in humans.of("tracked", stamp)] == [sorted(faces)]
    topics = {topic: humans.of(topic, stamp) for topic in ("roi", "expression", "landmarks", "cropped")}
    for topic, heard in topics.items():
        assert {one["face"] for one in heard} == set(faces), topic
        assert {one["frame_id"] for one in heard} == {"camera_link"}
    for one in topics["roi"]:
        box = faces[one["face"]].box
        expected = [box.x_offset, box.y_offset, box.x_offset + box.width, box.y_offset + box.height]
        assert all(0 <= value <= 1 for value in one["roi"])
        np.testing.assert_allclose(np.multiply(one["roi"], [640, 360, 640, 360]), expected, atol=1)
        assert one["c"] == pytest.approx(faces[one["face"]].detection_confidence)
    for one in topics["expression"]:
        face = faces[one["face"]]
        assert one["expression"] == EXPRESSIONS[face.expression]
        assert one["expression"] in REP_155_WORDS
        for name in ("valence", "arousal", "confidence"):
            assert one[name] == pytest.approx(getattr(face, name))
    for one in topics["landmarks"]:
        face = faces[one["face"]]
        assert (face.landmark_layout, one["size"]) == (68, [640, 360])
        points = np.array(one["points"])
        np.testing.assert_allclose(points[:68, :2] * (640, 360), np.reshape(face.landmarks, (68, 2)), atol=0.1)
        np.testing.assert_allclose(points[:68, 2], CONFIDENCES, rtol=1e-6)
        assert (points[68:] == 0).all()
    assert {(*one["size"], one["encoding"]) for one in topics["cropped"]} == {(128, 128, "bgr8")}
    report = robot.diagnostics()
    assert int(report["model"][2]["landmarks.trusted"]) >= 2
    assert float(report["frames"][2]["landmarks_ms.median"]) > 0


def test_publishers_come_and_go_with_their_faces(robot: Driver) -> None:
    leave(robot)
    wait_for(lambda: publishers_of_faces(robot) == set(), 10, "the publishers of earlier faces to go")
    (face,) = robot.read(demo_frame()).faces
    expected = {f"/humans/faces/{face.face_id}/{topic}" for topic in ("roi", "expression", "landmarks", "cropped")}
    wait_for(lambda: publishers_of_faces(robot) == expected, 10, "the publishers of the face")
    leave(robot)
    wait_for(lambda: publishers_of_faces(robot) == set(), 10, "the publishers of the face to go")


def test_the_faces_of_a_camera_that_falls_silent_go(robot: Driver, humans: Humans) -> None:
    def tracked() -> bool:
        robot.read(demo_frame())
        return len(humans.tracked) == 1

    wait_for(tracked, 10, "a face")
    assert robot.set_parameters(camera_timeout_s=0.2).successful
    try:
        wait_for(lambda: humans.tracked == [] and publishers_of_faces(robot) == set(), 10, "the face to go")
    finally:
        assert robot.set_parameters(camera_timeout_s=2.0).successful
    assert len(robot.read(demo_frame()).faces) == 1


def test_deactivating_takes_all_topics_away(robot: Driver) -> None:
    robot.read(demo_frame())
    assert robot.change_state("deactivate")
    wait_for(lambda: robot.node.count_publishers("/humans/faces/tracked") == 0, 10, "the topic to go")
    assert publishers_of_faces(robot) == set()
    assert robot.change_state("activate")
    robot.wait_until_connected("/image_raw")
    assert len(robot.read(demo_frame()).faces) == 1
    wait_for(lambda: len(publishers_of_faces(robot)) == 4, 10, "the publishers of the face")


def test_every_expression_has_a_word() -> None:
    assert set(EXPRESSIONS) == set(CANONICAL_LABELS)
    assert set(EXPRESSIONS.values()) <= REP_155_WORDS


def test_faces_that_come_and_go_all_the_time_end_nothing(start_process, hri: dict[str, str]) -> None:
    script = Path(__file__).with_name("humans_churn.py")
    process = start_process("churn", [sys.executable, str(script)], {**node_environment(), **hri})
    assert process.wait(60) == 0, process.output
    assert "survived" in process.output
