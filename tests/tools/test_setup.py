"""The set-up says what a machine lacks, and does each step exactly when it is needed."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def setup(tmp_path, monkeypatch) -> ModuleType:
    """tools/setup.py for an empty folder on a PC without ROS; commands are recorded in `setup.commands`, not run."""
    spec = importlib.util.spec_from_file_location("tools_setup", ROOT / "tools" / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    move(module, tmp_path / "venv", monkeypatch)
    monkeypatch.setattr(module, "PROJECT", tmp_path / "pyproject.toml")
    monkeypatch.setattr(module, "ROS_DISTRO", "")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    module.PROJECT.write_text("first")
    module.commands = []

    def run(what: str, command: list[str], env: dict[str, str] | None = None) -> None:
        module.commands.append(what)
        module.PYTHON.parent.mkdir(parents=True, exist_ok=True)
        module.PYTHON.touch()

    monkeypatch.setattr(module, "run", run)
    return module


def move(module: ModuleType, venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MADE", "INSTALLED", "BUILT"):
        monkeypatch.setattr(module, name, venv / getattr(module, name).name)
    monkeypatch.setattr(module, "VENV", venv)
    monkeypatch.setattr(module, "PYTHON", venv / "bin" / "python")


def hide_module(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    """Let every module seem to be there but one."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == hidden else name)


def test_a_complete_machine_is_accepted(setup) -> None:
    setup.check_machine(["robot", "ros", "dev"])


def test_missing_venv_is_named(setup, monkeypatch) -> None:
    hide_module(monkeypatch, "ensurepip")
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        setup.check_machine(["robot"])


@pytest.mark.parametrize(("tool", "remedy"), [("make", "install make"), ("g++ c++ clang++", "install g\\+\\+")])
def test_missing_tools_are_named(setup, monkeypatch, tool, remedy) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None if name in tool.split() else f"bin/{name}")
    setup.check_machine(["robot"])
    with pytest.raises(SystemExit, match=remedy):
        setup.check_machine(["robot", "ros"])


def test_missing_headers_are_named(setup, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(SystemExit, match="apt install python3-dev"):
        setup.check_machine(["ros"])


def test_a_jetson_without_ros_is_told_to_source_it(setup, monkeypatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(SystemExit, match=r"(?s)no ROS 2 wheels.*source it: \. /opt/ros"):
        setup.check_machine(["robot", "ros"])
    setup.check_machine(["robot"])
    hide_module(monkeypatch, "nothing")
    monkeypatch.setattr(setup, "ROS_DISTRO", "humble")
    setup.check_machine(["robot", "ros"])


def test_a_python_that_cannot_import_the_sourced_ros_is_refused(setup, monkeypatch) -> None:
    monkeypatch.setattr(setup, "ROS_DISTRO", "jazzy")
    hide_module(monkeypatch, "rclpy")
    with pytest.raises(SystemExit, match="make PYTHON="):
        setup.check_machine(["ros"])


def test_the_environment_is_made_again_only_when_it_was_moved_broken_or_for_another_ros(
    setup, monkeypatch, tmp_path
) -> None:
    setup.make_environment()
    setup.make_environment()
    assert len(setup.commands) == 1
    setup.PYTHON.unlink()
    setup.make_environment()
    assert len(setup.commands) == 2
    monkeypatch.setattr(setup, "ROS_DISTRO", "jazzy")
    setup.make_environment()
    assert len(setup.commands) == 3
    setup.VENV.rename(tmp_path / "moved")
    move(setup, tmp_path / "moved", monkeypatch)
    setup.make_environment()
    assert len(setup.commands) == 4


def test_an_interrupted_environment_is_made_again(setup, monkeypatch) -> None:
    interrupt_run(setup, monkeypatch, setup.make_environment)
    setup.make_environment()
    assert setup.commands == ["virtual environment"]


def test_packages_are_installed_when_something_is_new(setup, monkeypatch) -> None:
    setup.make_environment()
    setup.install(["robot", "ros", "dev"])
    setup.install(["robot", "ros"])
    assert setup.commands[1:] == ["packages: robot, ros, dev"]
    setup.PROJECT.write_text("second")
    interrupt_run(setup, monkeypatch, lambda: setup.install(["robot", "ros"]))
    # Back to what was installed once; but since then an installation was cut short.
    setup.PROJECT.write_text("first")
    setup.install(["robot", "ros"])
    assert setup.commands[2:] == ["packages: robot, ros"]
    monkeypatch.setattr(setup, "ROS_DISTRO", "humble")
    setup.install(["robot", "ros"])
    assert setup.commands[3:] == ["packages: robot, ros-tools"]


def interrupt_run(setup: ModuleType, monkeypatch: pytest.MonkeyPatch, step) -> None:
    def interrupted(*arguments) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(setup, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            step()


def test_messages_are_built_when_they_or_their_ros_packages_changed(setup, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(setup, "MESSAGES", tmp_path / "msgs")
    monkeypatch.setattr(setup, "point_cmake_here", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda name, path: name)
    (tmp_path / "msgs").mkdir()
    setup.make_environment()
    for file, text in [("msgs/A.msg", "int32 a"), ("msgs/A.msg", "int32 b"), ("pyproject.toml", '"ros-x==1"')]:
        (tmp_path / file).write_text(text)
        setup.commands.clear()
        setup.build_messages()
        setup.build_messages()
        assert setup.commands == ["mien_msgs (interfaces)"]
