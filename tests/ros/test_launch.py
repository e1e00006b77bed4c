"""What the launch files, the parameters file and the DDS profile name exists in the nodes and works with them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from rcl_interfaces.srv import GetParameters

from tests.ros.harness import node_environment, wait_for
from tests.ros.launch_files import Node, read_launch_file

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "launch"
ROBOT, DEMO, PARAMETERS = LAUNCH / "robot.launch.py", LAUNCH / "demo.launch.py", LAUNCH / "parameters.yaml"
COUNT_IMAGES = """
import sys, threading, rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("counter")
wanted, stamps = int(sys.argv[1]), set()
def receive(message):
    stamps.add((message.header.stamp.sec, message.header.stamp.nanosec))
    print(len(stamps), flush=True)
node.create_subscription(Image, "image_raw", receive, qos_profile_sensor_data)
while len(stamps) < wanted:
    rclpy.spin_once(node)
print("complete")
"""


def console_scripts() -> dict[str, str]:
    """Executables of the package mien and their modules, from its setup.py."""
    tree = ast.parse((ROOT / "ros2_ws/src/mien/setup.py").read_text())
    call = next(node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "setup")
    entry_points = next(ast.literal_eval(word.value) for word in call.keywords if word.arg == "entry_points")
    scripts = (script.partition(" = ") for script in entry_points["console_scripts"])
    return {name: target.partition(":")[0] for name, _, target in scripts}


def table_of(executable: str) -> dict[str, Any]:
    module = importlib.import_module(console_scripts()[executable])
    return {parameter.name: parameter for parameter in module.PARAMETERS}


def command_line(node: Node, folder: Path) -> list[str]:
    """The command line that launch_ros makes of a node."""
    command = [sys.executable, "-m", console_scripts()[node.executable], "--ros-args", "-r", f"__node:={node.name}"]
    if node.namespace:
        command += ["-r", f"__ns:=/{node.namespace}"]
    for number, entry in enumerate(node.parameters):
        file = entry
        if isinstance(entry, dict):
            file = folder / f"{node.name}-{number}.yaml"
            file.write_text(json.dumps({"/**": {"ros__parameters": entry}}))
        command += ["--params-file", str(file)] if entry else []
    return command


@pytest.fixture
def launch(start_process, tmp_path) -> Any:
    """Start everything that a launch file starts; return the processes by name."""

    def start(file: Path, **arguments: str) -> dict[str, Any]:
        launched = read_launch_file(file, **arguments)
        environment = {**node_environment(), **launched.environment}
        return {
            node.name: start_process(node.name, command_line(node, tmp_path), environment) for node in launched.nodes
        }

    return start


@pytest.fixture
def video(tmp_path) -> Path:
    """Three seconds of noise, 640×480 at 20 Hz."""
    file = tmp_path / "noise.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 20, (640, 480))
    noise = np.random.default_rng(0)
    for _ in range(60):
        writer.write(noise.integers(0, 255, (480, 640, 3), np.uint8))
    writer.release()
    return file


@pytest.mark.parametrize("file", [ROBOT, DEMO], ids=lambda file: file.name)
def test_executables_and_parameters_exist(file) -> None:
    given = {"source": "0"} if file == DEMO else {"image": "/left,/right", "bundle": "models.zip"}
    nodes = read_launch_file(file, **given).nodes
    assert nodes
    for node in nodes:
        assert node.package == "mien"
        assert node.executable in console_scripts()
        for name, value in [item for entry in node.parameters if isinstance(entry, dict) for item in entry.items()]:
            table_of(node.executable)[name].convert(value)


def test_every_executable_is_launched() -> None:
    nodes = read_launch_file(ROBOT).nodes + read_launch_file(DEMO, source="0").nodes
    assert {node.executable for node in nodes} == set(console_scripts())


def test_the_parameters_file_has_every_parameter_at_its_default() -> None:
    values = yaml.safe_load(PARAMETERS.read_text())["/**/perception"]["ros__parameters"]
    table = table_of("perception")
    assert set(values) == set(table)
    for name, value in values.items():
        assert type(value) is (list if isinstance(table[name].default, tuple) else type(table[name].default)), name
        assert table[name].convert(value) == table[name].default, name


@pytest.mark.parametrize(
    ("distro", "variable"),
    [
        ("", "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("humble", "FASTRTPS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_the_environment_names_the_profile_when_wanted(monkeypatch, distro, variable) -> None:
    monkeypatch.setenv("ROS_DISTRO", distro)
    monkeypatch.delenv(variable, raising=False)
    with_profile = {variable: str(LAUNCH / "fastdds_large_images.xml")}
    assert read_launch_file(ROBOT).environment == with_profile
    assert read_launch_file(DEMO, source="0").environment == with_profile
    assert read_launch_file(ROBOT, large_images="false").environment == {}
    monkeypatch.setenv(variable, "own.xml")
    assert (
        read_launch_file(ROBOT).environment == read_launch_file(DEMO, source="0").environment == {variable: "own.xml"}
    )


def test_robot_launch_starts_the_node_as_asked(launch, ros_node, call, tmp_path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(PARAMETERS.read_text().replace("smoothing_time_constant_s: 0.3", "smoothing_time_constant_s: 0.7"))
    launch(ROBOT, image="/left/image_raw,/right/image_raw", namespace="head", parameters_file=str(own))
    request = GetParameters.Request(names=["image_topics", "smoothing_time_constant_s"])
    topics, smoothing = call(GetParameters, "/head/perception/get_parameters", request, 60).values
    assert topics.string_array_value == ["/left/image_raw", "/right/image_raw"]
    assert smoothing.double_value == 0.7
    for topic in topics.string_array_value:
        wait_for(lambda topic=topic: ros_node.count_subscribers(topic), 60, f"a subscription of {topic}")
    assert ros_node.count_publishers("/head/emotions") == 1


def test_demo_launch_reads_a_video_and_writes_it_down(launch, video, tmp_path) -> None:
    out_dir = tmp_path / "recording"
    processes = launch(DEMO, source=str(video), out_dir=str(out_dir))
    assert processes["camera"].wait(90) == 0
    assert processes["recorder"].stop() == 0
    lines = (out_dir / "emotions.jsonl").read_text().splitlines()
    assert lines
    assert json.loads(lines[0])["camera"] == "/image_raw"
    assert (out_dir / "report.html").is_file()


def test_the_profile_lets_best_effort_images_through(start_process, start_node, video) -> None:
    environment = {**node_environment(), **read_launch_file(ROBOT).environment}
    counter = start_process("counter", [sys.executable, "-c", COUNT_IMAGES, "60"], environment)
    camera = start_node(
        "camera",
        parameters={"source": str(video), "reliable": False, "wait_for_subscribers": 1},
        environment=environment,
    )
    assert camera.wait(60) == 0
    counter.wait_for_output("complete", 5)
    assert counter.wait(20) == 0


@pytest.mark.skipif(
    shutil.which("ros2") is None or importlib.util.find_spec("launch_ros") is None,
    reason="ROS's own launch is not installed; pip has none",
)
def test_ros_itself_starts_the_robot_launch(start_process, ros_node) -> None:
    command = ["ros2", "launch", str(ROBOT), "image:=/left/image_raw"]
    start_process("launch", command, node_environment())
    wait_for(lambda: ros_node.count_subscribers("/left/image_raw"), 60, "a subscription of /left/image_raw")
