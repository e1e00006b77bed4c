"""Makes the virtual environment that `make run` and `make test` work in; safe and quick to run again.

    python3 tools/setup.py robot ros          # what a robot needs
    python3 tools/setup.py robot ros dev      # and what the tests need

Only the standard library is used. Each step is skipped while what it depends on is unchanged, and done again when it
was interrupted: make the environment, install the extras of pyproject.toml (mien itself as an editable install), and
build mien_msgs with colcon straight into the environment. With ROS already sourced (`ROS_DISTRO` set) the environment
sees the system's packages and the ROS wheels are left out.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PROJECT = ROOT / "pyproject.toml"
MESSAGES = ROOT / "ros2_ws" / "src" / "mien_msgs"
ROS_DISTRO = os.environ.get("ROS_DISTRO", "")

# One file in the environment per finished step; each holds what the step was done with.
MADE, INSTALLED, BUILT = VENV / ".mien-made", VENV / ".mien-installed", VENV / ".mien-built"


def stop(problem: str, remedy: str) -> None:
    sys.exit(f"setup: {problem}. {remedy}.")


def run(what: str, command: list[str], env: dict[str, str] | None = None) -> None:
    """Run a command, showing how long it has taken and its last line; when it fails, show the end of its output."""
    started = time.monotonic()
    lines: list[str] = []
    if not sys.stdout.isatty():
        print(f"  {what} …", flush=True)
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            if sys.stdout.isatty():
                progress = f"  {what}: {time.monotonic() - started:.0f} s  {line.strip()}"
                print(f"\r\033[K{progress[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
    start_of_line = "\r\033[K" if sys.stdout.isatty() else ""
    print(f"{start_of_line}  {what}: {time.monotonic() - started:.0f} s", flush=True)
    if process.returncode != 0:
        print("".join(lines)[-6000:])
        stop(f"{what} failed with status {process.returncode}: {' '.join(command)}", "Mend that and run it again")


def check_machine(extras: list[str]) -> None:
    """Stop with a remedy where something is missing that pip cannot bring."""
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        version = platform.python_version()
        stop(f"Python 3.10 to 3.13 is needed, this is {version}", "Name another one: make PYTHON=python3.12")
    if importlib.util.find_spec("ensurepip") is None:
        stop("This Python cannot make virtual environments", "Debian, Ubuntu: apt install python3-venv")
    if "ros" not in extras:
        return
    if ROS_DISTRO and importlib.util.find_spec("rclpy") is None:
        stop(
            f"ROS {ROS_DISTRO} is sourced, but {sys.executable} cannot import its rclpy",
            "Use the Python that ROS was built for: make PYTHON=/usr/bin/python3",
        )
    if not ROS_DISTRO and (sys.platform, platform.machine()) != ("linux", "x86_64"):
        stop(
            f"There are no ROS 2 wheels for {sys.platform} on {platform.machine()}",
            "Install ROS 2 (Jetson: Humble or Jazzy from apt) and source it: . /opt/ros/$ROS_DISTRO/setup.sh",
        )
    compilers = ["c++", "g++", "clang++"]
    if "CXX" not in os.environ and not any(map(shutil.which, compilers)):
        stop("A C++ compiler is needed to build mien_msgs", "Debian, Ubuntu: apt install g++")
    if shutil.which("make") is None:
        stop("make is needed to build mien_msgs", "Debian, Ubuntu: apt install make")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        stop("Python's own headers are needed to build mien_msgs", "Debian, Ubuntu: apt install python3-dev")


def environment() -> dict[str, str]:
    """The environment for pip and colcon: the venv first and, without a sourced ROS, nothing left over from another."""
    env = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "VIRTUAL_ENV": str(VENV)}
    env["PATH"] = f"{VENV / 'bin'}{os.pathsep}{env['PATH']}"
    if not ROS_DISTRO:
        for name in ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE"):
            env.pop(name, None)
        env["AMENT_PREFIX_PATH"] = env["CMAKE_PREFIX_PATH"] = str(VENV)
    return env


def make_environment() -> None:
    """Make the venv anew unless a whole one stands there, made in this folder for this Python and this ROS."""
    value = f"{VENV} {sys.version_info[:2]} {ROS_DISTRO}"
    if MADE.is_file() and MADE.read_text() == value and PYTHON.exists():
        return
    shutil.rmtree(VENV, ignore_errors=True)
    options = ["--system-site-packages"] if ROS_DISTRO else []
    run("virtual environment", [sys.executable, "-m", "venv", *options, str(VENV)])
    MADE.write_text(value)


def install(extras: list[str]) -> None:
    if ROS_DISTRO:
        extras = ["ros-tools" if extra == "ros" else extra for extra in extras]
    checksum = hashlib.sha256(PROJECT.read_bytes()).hexdigest()
    done = INSTALLED.read_text().split() if INSTALLED.is_file() else []
    if done[:1] == [checksum] and set(extras) <= set(done[1:]):
        return
    INSTALLED.unlink(missing_ok=True)
    requirement = f".[{','.join(extras)}]"
    run(
        f"packages: {', '.join(extras)}",
        [str(PYTHON), "-m", "pip", "install", "--progress-bar", "off", "--editable", requirement],
        environment(),
    )
    INSTALLED.write_text(" ".join([checksum, *extras]))


def put_source_on_path() -> None:
    """Let `import mien` find the package also beside a folder of that name, such as this clone seen from its parent.

    The editable install's finder comes after the path, where such a folder passes for a package without code; a path
    entry with the real one wins.
    """
    for site_packages in VENV.glob("lib/python3*/site-packages"):
        (site_packages / "mien_source.pth").write_text(f"{ROOT / 'ros2_ws' / 'src' / 'mien'}\n")


def point_cmake_here() -> None:
    """The wheels' CMake targets name the include folders of the machine that built them: rewrite them to ours."""
    query = "import numpy, sysconfig; print(sysconfig.get_path('include')); print(numpy.get_include())"
    python_include, numpy_include = subprocess.check_output([PYTHON, "-c", query], text=True).split("\n")[:2]
    for file in (VENV / "share").glob("*/cmake/*.cmake"):
        text = file.read_text()
        mended = re.sub(
            r"/opt/python/cp\d+-cp\d+/lib/python[\d.]+/site-packages/numpy/[\w/]*include", numpy_include, text
        )
        mended = re.sub(r"/opt/python/cp\d+-cp\d+/include/python[\d.]+", python_include, mended)
        mended = re.sub(r"/opt/_internal/[\w./-]+/include/python[\d.]+", python_include, mended)
        if mended != text:
            file.write_text(mended)


def messages_digest() -> str:
    """Checksum of the interfaces' files and of the ROS packages they are built with."""
    result = hashlib.sha256(" ".join(re.findall(r'"(ros-[^"]+)"', PROJECT.read_text())).encode())
    for file in sorted(file for file in MESSAGES.rglob("*") if file.is_file()):
        result.update(file.relative_to(MESSAGES).as_posix().encode() + file.read_bytes())
    return result.hexdigest()


def build_messages() -> None:
    value = messages_digest()
    if BUILT.is_file() and BUILT.read_text() == value:
        return
    build = VENV / "build-mien-msgs"
    BUILT.unlink(missing_ok=True)
    shutil.rmtree(build, ignore_errors=True)
    env = environment()
    if shutil.which("cmake", path=env["PATH"]) is None:
        run("cmake", [str(PYTHON), "-m", "pip", "install", "cmake<4"], env)
    if not ROS_DISTRO:
        point_cmake_here()
    run(
        "mien_msgs (interfaces)",
        [
            *[str(PYTHON), "-m", "colcon", "--log-base", str(build / "log"), "build", "--merge-install"],
            *["--install-base", str(VENV), "--build-base", str(build), "--base-paths", str(MESSAGES)],
            *["--packages-select", "mien_msgs", "--event-handlers", "console_direct+"],
            *["--cmake-args", f"-DPython3_EXECUTABLE={PYTHON}", "-DBUILD_TESTING=OFF"],
        ],
        env,
    )
    BUILT.write_text(value)


def main() -> None:
    extras = sys.argv[1:] or ["robot", "ros"]
    check_machine(extras)
    make_environment()
    install(extras)
    put_source_on_path()
    if "ros" in extras:
        build_messages()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nsetup: interrupted; run it again to go on")
