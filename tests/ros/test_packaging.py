"""The whole workspace, built by colcon as on a robot, in a throw-away install base; its own code runs from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from mien_msgs.msg import FaceAffectArray
from sensor_msgs.msg import Image

from tests.ros.harness import wait_for

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = ("PYTHONPATH", "LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
PRINT_WHERE = "\nimport sys\nprint('code runs from', __file__, file=sys.stderr)\n"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def environment() -> dict[str, str]:
    """What a shell has before a workspace is sourced."""
    if "ROS_DISTRO" in os.environ:
        return dict(os.environ)
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    tools = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    return {**env, "AMENT_PREFIX_PATH": sys.prefix, "CMAKE_PREFIX_PATH": sys.prefix, "PATH": tools}


@pytest.fixture(scope="module")
def install_base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The install base of a copy of the workspace, in which mien says on stderr from where it is imported."""
    workspace = tmp_path_factory.mktemp("workspace")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "ros2_ws" / "src", workspace / "ros2_ws" / "src", symlinks=True, ignore=unwanted)
    shutil.copytree(ROOT / "launch", workspace / "launch", ignore=unwanted)
    with (workspace / "ros2_ws" / "src" / "mien" / "mien" / "__init__.py").open("a") as file:
        file.write(PRINT_WHERE)
    build = subprocess.run(
        [
            *[sys.executable, "-m", "colcon", "build", "--merge-install"],
            *["--cmake-args", f"-DPython3_EXECUTABLE={sys.executable}", "-DBUILD_TESTING=OFF"],
        ],
        cwd=workspace / "ros2_ws",
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    yield workspace / "ros2_ws" / "install"
    shutil.rmtree(workspace)


def test_every_file_of_the_library_is_installed(install_base) -> None:
    source = ROOT / "ros2_ws" / "src" / "mien" / "mien"
    (installed,) = install_base.glob("lib/python*/site-packages/mien")
    for folder in (source, installed):
        assert (folder / "errors.py").is_file()
    wanted = {file.relative_to(source) for file in source.rglob("*") if file.is_file() and file.suffix != ".pyc"}
    assert wanted - {file.relative_to(installed) for file in installed.rglob("*")} == set()


def test_the_launch_files_find_what_they_need_beside_them(install_base) -> None:
    needed = {"robot.launch.py", "demo.launch.py", "parameters.yaml", "fastdds_large_images.xml"}
    assert needed <= {file.name for file in (install_base / "share" / "mien_bringup").iterdir()}
    for executable in ("camera", "perception", "recorder"):
        assert os.access(install_base / "lib" / "mien" / executable, os.X_OK)


def test_an_installed_node_runs_its_own_code_and_messages(install_base, start_process, ros_node, collect, tmp_path):
    for number in range(2):
        picture = np.full((48, 64, 3), 100 * number, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    images = collect("image_raw", Image)
    ros_node.create_publisher(FaceAffectArray, "emotions", 10)
    # Waiting for answers makes the camera use mien_msgs.
    parameters = ["-p", f"source:={tmp_path}", "-p", "pace:=consumers"]
    script = f". {install_base}/setup.sh && exec {install_base}/lib/mien/camera --ros-args {' '.join(parameters)}"
    camera = start_process("camera", ["bash", "-c", script], {**environment(), "PYTHONUNBUFFERED": "1"})
    assert (images.wait(1)[0].width, images.messages[0].height) == (64, 48)
    assert f"code runs from {install_base}/lib" in camera.output
    mapped = wait_for(Path(f"/proc/{camera.pid}/maps").read_text, 5, "the camera's memory map")
    (bindings,) = {line.split()[-1] for line in mapped.splitlines() if "mien_msgs_s__rosidl_typesupport_c" in line}
    assert bindings.startswith(str(install_base))
    assert camera.stop() == 0
