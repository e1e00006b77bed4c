"""`mien people` against a real node, and without one."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from action_msgs.msg import GoalStatus, GoalStatusArray
from rclpy.qos import qos_profile_action_status_default

from mien.commands.people import app
from mien.errors import MienError
from mien.nodes import people_client
from tests.ros.driver import Driver, perception
from tests.ros.harness import Collector, NodeProcess, node_environment, wait_for
from tests.ros.people import STEADY, TWO_FACES, People
from tests.ros.pictures import demo_frame


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory, ros_domain_id: int) -> Iterator[Driver]:
    """A node in a namespace, whose camera shows one face all the time."""
    folder = tmp_path_factory.mktemp("people_command")
    parameters = {
        "people_folder": str(folder / "people"),
        "identity": "off",
        "questions_per_hour": 3600.0,
        "track_timeout_s": 60.0,
        **STEADY,
    }
    remaps = {"image_raw": "/image_raw"}
    with perception(folder, ros_domain_id, parameters=parameters, namespace="head", remaps=remaps) as driver:
        driver.read(demo_frame())
        ended = threading.Event()

        def film() -> None:
            frame = 0
            while not ended.wait(0.1):
                driver.let_pass(1)
                driver.send(driver.message(driver_frame(frame)))
                frame += 1

        camera = threading.Thread(target=film)
        camera.start()
        yield driver
        ended.set()
        camera.join()


SHOWN = {"two": False}


def driver_frame(number: int) -> Any:
    return TWO_FACES if SHOWN["two"] else demo_frame(256 + number % 50 * 4)


@pytest.fixture
def mien_people(robot: Driver, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command with --json and return what it printed, one value per line or one in all."""

    def run(*arguments: str) -> Any:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            app([*arguments, "--namespace", "head", "--json"])
        assert not ended.value.code
        return json.loads(capsys.readouterr().out)

    return run


def test_a_person_is_taught_and_forgotten(mien_people: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert mien_people("list") == []
    team = mien_people("enroll", "Team", "--kind", "group", "--person", "team")
    assert team["person_id"] == "team"
    anna = mien_people("enroll", "Anna", "--consent", "Yes, learn", "--group", "team")["person_id"]
    for count in range(1, 3):
        told = mien_people("label", "surprise")
        assert (told["success"], told["samples"]) == (True, count)
    assert "not learned" in mien_people("label", "--person", anna, "--valence", "0.5", "--arousal", "-0.5")["message"]
    wrong = mien_people("label", "fear")["sample_id"]
    assert mien_people("label", "sadness", "--sample", wrong)["samples"] == 4
    assert mien_people("label", "--take-back", "--sample", wrong)["samples"] == 3
    (listed,) = [one for one in mien_people("list") if one["person_id"] == anna]
    assert (listed["display_name"], listed["samples"], listed["groups"]) == ("Anna", 3, ["team"])
    assert mien_people("rollback", anna, "1")["version"] == 1
    learned = mien_people("personalize", anna, "--learner", "ridge")
    assert (learned["success"], learned["samples"]) == (True, 3), learned["message"]
    assert Path(mien_people("export", anna)["path"]).is_file()
    with pytest.raises(SystemExit):
        app(["list", "--namespace", "head"])
    shown = capsys.readouterr().out.splitlines()
    assert shown[::2] == ["team group Team", f"{anna} person Anna"]
    assert all(word in shown[3] for word in ("moments 3", "groups team", "consent of 20")), shown
    assert mien_people("forget", anna)["samples_removed"] == 3
    assert mien_people("forget", "team")["success"]
    assert mien_people("list") == []


def test_stimulus_labels_whoever_watches(
    mien_people: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anna = mien_people("enroll", "--consent", "yes")["person_id"]
    film = tmp_path / "film.csv"
    film.write_text("time_s,expression\n0,fear\n0.1,boredom\n0.3,anger\n0.35,anger\n")
    app(
        ["stimulus", str(film), "--person", anna, "--every-s", "0.1", "--namespace", "head", "--json"],
        result_action="return_value",
    )
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["time_s"], bool(one["problem"])) for one in lines] == [(0, False), (0.1, True), (0.3, False)]
    assert "boredom" in lines[1]["problem"]
    assert mien_people("forget", anna)["samples_removed"] == 2
    with pytest.raises(MienError, match="No label could be stored"):
        app(["stimulus", str(film), "--person", anna, "--namespace", "head"], result_action="return_value")
    assert "not in view" in capsys.readouterr().out


def test_watch_shows_questions_until_it_is_interrupted(
    mien_people: Callable[..., Any], start_process: Callable[..., NodeProcess]
) -> None:
    command = [sys.executable, "-m", "mien.cli", "people", "watch", "--namespace", "head", "--json"]
    process = start_process("watch", command, node_environment())
    process.expected_exit = 130
    anna = mien_people("enroll", "--consent", "yes")["person_id"]
    wait_for(lambda: "\n" in process.output, 60, "a question")
    assert process.stop() == 130
    request = json.loads(process.output.splitlines()[0])
    assert (request["person_id"], bool(request["sample_id"]), bool(request["reason"])) == (anna, True, True)
    assert mien_people("forget", anna)["success"]


def test_ctrl_c_cancels_learning(
    robot: Driver, mien_people: Callable[..., Any], start_process: Callable[..., NodeProcess]
) -> None:
    anna = mien_people("enroll", "--consent", "yes")["person_id"]
    for _ in range(10):
        robot.emotions.clear()
        robot.emotions.wait(2)  # the next moment
        assert People(robot, "/head").label("surprise", person=anna).success
    goals = Collector(
        robot.node, "/head/personalize/_action/status", GoalStatusArray, qos_profile_action_status_default
    )
    options = ["--learner", "sgd", "--steps", "1000000", "--namespace", "head", "--json"]
    command = [sys.executable, "-m", "mien.cli", "people", "personalize", anna, *options]
    process = start_process("personalize", command, node_environment())
    process.expected_exit = 1
    goals.wait_until(lambda seen: seen and GoalStatus.STATUS_EXECUTING in statuses(seen[-1]), 60, "the goal")
    assert process.stop() == 1
    assert "Cancelled" in json.loads(process.output)["message"]
    assert mien_people("forget", anna)["success"]


def statuses(message: GoalStatusArray) -> list[int]:
    return [one.status for one in message.status_list]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["enroll", "Anna"], ["consent"]),
        (["enroll", "--consent", "yes", "--face", "nobody1"], ["nobody1"]),
        (["label", "fear", "--person", "nobody"], ["nobody"]),
        (["label", "--valence", "0.5"], ["Give both"]),
        (["label", "--sample", "s1"], ["what to label with", "--take-back"]),
        (["label", "--take-back"], ["what to take back", "--sample"]),
        (["label", "fear", "--take-back", "--sample", "s1"], ["what to take back"]),
        (["label", "--take-back", "--sample", "s1"], ["s1", "not kept"]),
        (["forget", "nobody"], ["nobody"]),
        (["export", "../../etc"], ["../../etc"]),
        (["rollback", "nobody", "1"], ["nobody"]),
        (["rollback", "nobody", "-1"], ["-1"]),
        (["personalize", "nobody"], ["nobody"]),
    ],
)
def test_what_the_node_refuses_is_said(robot: Driver, arguments: list[str], words: list[str]) -> None:
    with pytest.raises(MienError) as caught:
        app([*arguments, "--namespace", "head"])
    assert all(word in str(caught.value) for word in words), caught.value


def test_of_several_faces_one_must_be_named(robot: Driver) -> None:
    SHOWN["two"] = True
    try:
        wait_for(lambda: len(robot.emotions.messages[-1].faces) == 2, 20, "two faces")
        with pytest.raises(MienError, match="--face"):
            app(["label", "fear", "--namespace", "head"])
    finally:
        SHOWN["two"] = False


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["label", "fear", "--person", "anna"],
        ["label", "fear"],
        ["enroll", "Anna", "--consent", "yes"],
        ["watch"],
        ["personalize", "anna"],
    ],
)
def test_without_a_node_one_is_told(ros_domain_id: int, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr(people_client, "FOUND_WITHIN_S", 0.3)
    with pytest.raises(MienError, match=r"No node offers the \w+ /elsewhere/\w+. Start the perception node"):
        app([*arguments, "--namespace", "elsewhere"])
