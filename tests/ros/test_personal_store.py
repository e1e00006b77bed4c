"""What outlives a node, and what stops none: a kill, a store that another robot holds, a folder that cannot be."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from action_msgs.msg import GoalStatusArray
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import qos_profile_action_status_default

from tests.ros.driver import Driver, perception
from tests.ros.harness import Collector, NodeProcess, node_environment, wait_for
from tests.ros.people import STEADY, People
from tests.ros.pictures import demo_frame


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in found for child in file.read_text().split()]


def test_a_killed_node_comes_back_with_what_it_learned_and_a_second_one_goes_without(
    tmp_path: Path, ros_domain_id: int
) -> None:
    parameters = {"people_folder": str(tmp_path / "people"), "identity": "off", **STEADY}
    with perception(tmp_path / "first", ros_domain_id, parameters=parameters) as robot:
        taught = teach(robot)
        (keeper,) = children(robot.process.pid)
        os.kill(keeper, signal.SIGSTOP)
        a_second_node_says_why_and_reads_faces(parameters, tmp_path / "second", ros_domain_id)
        the_process_that_hangs_and_dies_is_started_again(robot, keeper)
        robot.process.expected_exit = -signal.SIGKILL
        os.kill(robot.process.pid, signal.SIGKILL)
    with perception(tmp_path / "third", ros_domain_id, parameters=parameters) as robot:
        people = People(robot)
        known = wait_for(lambda: listed(people), 20, "the store to be given back")
        assert (known["anna"].display_name, known["anna"].samples, list(known["anna"].head_versions)) == (
            "Anna",
            3,
            [1, 2, 3],
        )
        (before,) = robot.read(demo_frame()).faces
        assert people.enroll("anna", before.face_id, display_name="Anna").success
        (after,) = robot.read(demo_frame()).faces
        assert (after.person_id, after.head_version, after.head_is_personal) == ("anna", 3, True)
        np.testing.assert_allclose(after.probabilities_raw, taught, atol=1e-4)
        waiting = somebody_who_waits_for_learning(robot, tmp_path)
    assert waiting.wait(20) == 1
    assert "ended before it answered" in waiting.output


def somebody_who_waits_for_learning(robot: Driver, folder: Path) -> NodeProcess:
    """Another process that has asked for more than this node lives to learn."""
    people = People(robot)
    for frame in range(300, 400, 10):
        robot.read(demo_frame(frame))
        assert people.label("fear", person="anna").success
    goals = Collector(robot.node, "/personalize/_action/status", GoalStatusArray, qos_profile_action_status_default)
    command = [sys.executable, "-m", "mien.cli", "people", "personalize", "anna"]
    options = ["--learner", "sgd", "--steps", "1000000"]
    process = NodeProcess("personalize", [*command, *options], node_environment(), folder / "personalize.log")
    goals.wait_until(lambda seen: seen and seen[-1].status_list, 20, "the goal")
    return process


def teach(robot: Driver) -> list[float]:
    """Three labels; returns what the robot says then."""
    people = People(robot)
    (face,) = robot.read(demo_frame()).faces
    assert people.enroll("anna", face.face_id, display_name="Anna").success
    for _ in range(3):
        robot.read(demo_frame())
        assert people.label("fear", person="anna").success
    (face,) = robot.read(demo_frame()).faces
    return list(face.probabilities_raw)


def the_process_that_hangs_and_dies_is_started_again(robot: Driver, keeper: int) -> None:
    robot.wait_for_diagnostics(lambda report: "does not answer" in report["people"][1], "silence")
    os.kill(keeper, signal.SIGKILL)
    (face,) = robot.read(demo_frame()).faces
    assert (face.person_id, face.head_version) == ("anna", 3)
    people = People(robot)
    assert wait_for(lambda: listed(people), 20, "the process to be started again")["anna"].samples == 3
    level, text, _ = robot.wait_for_diagnostics(lambda report: "died" in report["people"][1], "the death")["people"]
    assert level == ord(DiagnosticStatus.WARN), text


def listed(people: People) -> dict[str, Any]:
    try:
        return people.list()
    except AssertionError:
        return {}


def a_second_node_says_why_and_reads_faces(parameters: dict[str, Any], folder: Path, ros_domain_id: int) -> None:
    remaps = {"image_raw": "/second/image_raw"}
    with perception(folder, ros_domain_id, parameters=parameters, namespace="second", remaps=remaps) as second:
        assert len(second.read(demo_frame(), "/second/image_raw").faces) == 1
        response = People(second, "/second").enroll("ben")
        assert not response.success
        assert parameters["people_folder"] in response.message
        report = second.wait_for_diagnostics(lambda report: report["people"][1] != "ok", "the lock")
        second.process.wait_for_output(f"People: {parameters['people_folder']} is used")
        assert report["people"][0] == ord(DiagnosticStatus.WARN)
        assert report["model"][0] == ord(DiagnosticStatus.OK)


def test_a_folder_that_cannot_be_used_stops_nothing(tmp_path: Path, ros_domain_id: int) -> None:
    (tmp_path / "file").write_text("not a folder")
    with perception(
        tmp_path, ros_domain_id, parameters={"people_folder": str(tmp_path / "file"), "identity": "off"}
    ) as robot:
        it_goes_on(robot, tmp_path)


def it_goes_on(robot: Driver, tmp_path: Path) -> None:
    """Without people while their folder cannot be used, and with them when it can be."""
    people = People(robot)
    response = people.enroll("anna")
    assert not response.success
    assert str(tmp_path / "file") in response.message
    assert len(robot.read(demo_frame()).faces) == 1
    level, text, _ = robot.diagnostics()["people"]
    assert (level, str(tmp_path / "file") in text) == (ord(DiagnosticStatus.WARN), True), text
    assert robot.change_state("deactivate")
    assert robot.change_state("cleanup")
    response = people.enroll("anna")
    assert "people_folder" in response.message
    assert robot.set_parameters(people_folder="~nobody-here/people").successful
    assert robot.change_state("configure")
    assert "~nobody-here/people" in people.enroll("anna").message
    assert robot.change_state("cleanup")
    assert robot.set_parameters(people_folder="").successful
    assert robot.change_state("configure")
    assert "Personalisation is off" in people.enroll("anna").message
    assert "people" not in robot.diagnostics()
    assert robot.change_state("cleanup")
    assert robot.set_parameters(people_folder=str(tmp_path / "people"), identity="rep155").successful
    assert robot.change_state("configure")
    assert people.enroll("anna").success
    if importlib.util.find_spec("hri_msgs") is None:
        level, text, values = robot.diagnostics()["people"]
        assert (level, values["recognition"]) == (ord(DiagnosticStatus.WARN), f"off: {text}")
        assert "hri_msgs" in text
        assert "apt install" in text
