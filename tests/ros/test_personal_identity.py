"""Who is it: by an identity network, or by what another node says (REP-155)."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from mien.faces.detector import Image
from mien.models.default_bundle import default_bundle
from mien.models.identity import catalogued_identity
from tests.ros.driver import Driver, perception
from tests.ros.harness import NodeProcess, node_environment, wait_for
from tests.ros.humans_messages import hri_msgs_environment
from tests.ros.people import STEADY, TWO_FACES, People, left_to_right
from tests.ros.pictures import face_picture, paste

RED, BLUE = (0.3, 0.5, 1.0), (1.0, 0.5, 0.3)
"""Tints, as shares of blue, green and red, by which the network below tells people apart."""
CAMERA = "/told/image_raw"
EMPTY = np.full((360, 640, 3), 90, np.uint8)

# The first run builds the messages.
pytestmark = pytest.mark.timeout(300)


def bundle_that_knows_people(folder: Path) -> Path:
    """The default bundle with an identity network whose embedding is the mean colour of a face."""
    bundle = Path(shutil.copytree(default_bundle(), folder))
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 112, 112])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data = bytes(model.SerializeToString())
    (bundle / "identity.onnx").write_bytes(data)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["identity"] = {
        "file": {
            "path": "identity.onnx",
            "sha256": hashlib.sha256(data).hexdigest(),
            "source": "test",
            "licence": "Apache-2.0",
        },
        "input": {"width": 112, "height": 112, "channels": "rgb", "mean": [70.0] * 3, "scale": [1 / 128] * 3},
        "points": catalogued_identity().points,
        "output": "output",
        "size": 3,
        "threshold": 0.8,
    }
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return bundle


def tinted(tint: tuple[float, float, float], frame: int = 20) -> Image:
    return np.asarray(face_picture(frame, 240) * np.array(tint), np.uint8)


def scene(*tints: tuple[float, float, float]) -> Image:
    return paste((640, 360), [tinted(tint) for tint in tints], [(40, 60), (360, 60)][: len(tints)])


def persons(robot: Driver, image: Image) -> list[str]:
    robot.let_pass(0.2)
    return [face.person_id for face in left_to_right(robot, image)]


def leave(robot: Driver) -> None:
    robot.let_pass(5)
    while robot.read(EMPTY).faces:
        pass
    robot.let_pass(5)


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory, ros_domain_id: int) -> Iterator[Driver]:
    folder = tmp_path_factory.mktemp("identity")
    parameters = {
        "bundle": str(bundle_that_knows_people(folder / "bundle")),
        "people_folder": str(folder / "people"),
        "track_timeout_s": 1.0,
        **STEADY,
    }
    with perception(folder, ros_domain_id, parameters=parameters) as driver:
        yield driver


def test_people_are_recognised_when_they_come_back_and_strangers_are_not(robot: Driver) -> None:
    people = People(robot)
    for person_id, tint in (("anna", RED), ("ben", BLUE)):
        leave(robot)
        for _ in range(8):
            assert persons(robot, scene(tint)) == [""]
        (face,) = robot.read(scene(tint)).faces
        response = people.enroll(person_id, face.face_id)
        assert (response.success, response.message) == (True, "")
        assert people.label("fear", person=person_id).success is (persons(robot, scene(tint)) == [person_id])
    leave(robot)
    both = scene(BLUE, RED)
    wait_for(lambda: persons(robot, both) == ["ben", "anna"], 20, "both to be recognised")
    leave(robot)
    grey = scene((0.6, 0.6, 0.6))
    assert {tuple(persons(robot, grey)) for _ in range(12)} == {("",)}
    assert people.forget("ben").success
    assert persons(robot, both)[0] == ""
    leave(robot)
    wait_for(lambda: persons(robot, both) == ["", "anna"], 20, "the one who is left to be recognised")
    assert {tuple(persons(robot, both)) for _ in range(8)} == {("", "anna")}
    assert people.forget("anna").success


def test_who_cannot_be_recognised_later_is_told_why(robot: Driver) -> None:
    leave(robot)
    people = People(robot)
    small = paste((200, 120), [face_picture(20, 40)], [(40, 30)])
    for _ in range(4):
        (face,) = robot.read(small).faces
        robot.let_pass(0.5)
    response = people.enroll("cleo", face.face_id)
    assert response.success
    assert "too small" in response.message
    assert persons(robot, small) == ["cleo"]
    assert "without a face" in people.enroll("dora").message
    assert people.forget("cleo").success
    assert people.forget("dora").success


@pytest.fixture
def say_match(start_process: Callable[..., NodeProcess], tmp_path: Path) -> Callable[..., None]:
    """Let another node match a face with a person from now on: `say_match(face, person, confidence)`."""
    script, hri, said = Path(__file__).with_name("humans_matcher.py"), hri_msgs_environment(), tmp_path / "match"

    def say(face: str, person: str, confidence: float) -> None:
        is_first = not said.exists()
        (tmp_path / "next").write_text(f"{face} {person} {confidence}")
        (tmp_path / "next").replace(said)
        if is_first:
            start_process("matcher", [sys.executable, str(script), str(said)], {**node_environment(), **hri})

    return say


def test_rep_155_says_who_is_who(tmp_path: Path, ros_domain_id: int, say_match: Callable[..., None]) -> None:
    def persons() -> list[str]:
        return [face.person_id for face in left_to_right(robot, TWO_FACES, CAMERA)]

    parameters: dict[str, Any] = {"people_folder": str(tmp_path / "people"), "identity": "rep155", **STEADY}
    place: dict[str, Any] = {"namespace": "told", "remaps": {"image_raw": CAMERA}}  # beside the other node
    environment = hri_msgs_environment()
    with perception(tmp_path, ros_domain_id, parameters=parameters, environment=environment, **place) as robot:
        people = People(robot, "/told")
        left, _ = left_to_right(robot, TWO_FACES, CAMERA)
        assert people.enroll("b31ad").success
        say_match(left.face_id, "b31ad", 0.9)
        wait_for(lambda: persons() == ["b31ad", ""], 20, "the match")
        say_match(left.face_id, "b31ad", 0.3)
        wait_for(lambda: persons() == ["", ""], 20, "the doubt")
        say_match(left.face_id, "b31ad", 0.7)
        wait_for(lambda: persons() == ["b31ad", ""], 20, "the match")
        say_match(left.face_id, "b31ad", math.nan)
        wait_for(lambda: persons() == ["", ""], 20, "what is no number to count for nothing")
        say_match(left.face_id, "b31ad", 0.5)
        wait_for(lambda: persons() == ["b31ad", ""], 20, "the match")
        say_match(left.face_id, "b31ad", 0.0)
        wait_for(lambda: persons() == ["", ""], 20, "the match to be taken back")
