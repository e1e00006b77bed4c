"""Makes the virtual environment that `make run` and `make test` work in; safe and quick to run again.

    python3 tools/setup.py robot ros          # what a robot needs
    python3 tools/setup.py robot ros dev      # and what the tests need

Only the standard library is used. Three steps, each skipped while what it depends on is unchanged: install the
extras of pyproject.toml (mien itself as an editable install), point the CMake files of the ROS wheels at this
interpreter, and build mien_msgs with colcon straight into the environment. With ROS already sourced
(`ROS_DISTRO` set) the environment sees the system's packages and the ROS wheels are left out.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
MESSAGES = ROOT / "ros2_ws" / "src" / "mien_msgs"
SYSTEM_ROS = "ROS_DISTRO" in os.environ


def run(what: str, command: list[str], **options: object) -> None:
    """Run a command, showing what it is for and how long it took; on failure show its output and stop."""
    print(f"  {what} …", flush=True)
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        print(done.stdout[-6000:])
        sys.exit(f"setup: {what} failed with status {done.returncode}: {' '.join(command)}")
    print(f"  {what}: {time.monotonic() - started:.0f} s", flush=True)


def digest(*paths: Path) -> str:
    """Checksum of files and of all files below folders, with their names and the interpreter's version."""
    result = hashlib.sha256(f"{sys.version_info[:2]} {os.environ.get('ROS_DISTRO', '')}".encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                result.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return result.hexdigest()


def is_fresh(stamp: str, value: str) -> bool:
    file = VENV / stamp
    return file.is_file() and file.read_text() == value


def environment() -> dict[str, str]:
    """The environment for colcon: the venv first, nothing left over from another Python or workspace."""
    env = dict(os.environ)
    for name in ("PYTHONPATH", "LD_LIBRARY_PATH"):
        if not SYSTEM_ROS:
            env.pop(name, None)
    if not SYSTEM_ROS:
        env["AMENT_PREFIX_PATH"] = env["CMAKE_PREFIX_PATH"] = str(VENV)
    env["PATH"] = f"{VENV / 'bin'}{os.pathsep}{env['PATH']}"
    env["VIRTUAL_ENV"] = str(VENV)
    return env


def make_venv() -> None:
    if PYTHON.exists() and subprocess.run([PYTHON, "-c", "pass"], check=False).returncode == 0:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    options = ["--system-site-packages"] if SYSTEM_ROS else []
    run("virtual environment", [sys.executable, "-m", "venv", *options, str(VENV)])


def install(extras: list[str]) -> None:
    if SYSTEM_ROS and "ros" in extras:
        extras = [extra for extra in extras if extra != "ros"] + ["ros-tools"]
    value = digest(ROOT / "pyproject.toml") + " " + ",".join(sorted(extras))
    installed = VENV / ".mien-extras"
    if installed.is_file():
        checksum, _, names = installed.read_text().partition(" ")
        if checksum == value.partition(" ")[0] and set(extras) <= set(names.split(",")):
            return
    run(
        f"packages: {', '.join(extras)}",
        [str(PYTHON), "-m", "pip", "install", "--quiet", "--editable", f".[{','.join(extras)}]"],
    )
    if shutil.which("cmake", path=environment()["PATH"]) is None:
        run("cmake", [str(PYTHON), "-m", "pip", "install", "--quiet", "cmake<4"])
    installed.write_text(value)


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


def build_messages() -> None:
    value = digest(MESSAGES)
    if is_fresh(".mien-messages", value):
        return
    if shutil.which("c++") is None and shutil.which("g++") is None:
        sys.exit("setup: a C++ compiler is needed to build mien_msgs; install one (Debian, Ubuntu: apt install g++)")
    if not SYSTEM_ROS:
        point_cmake_here()
    build = VENV / "build-mien-msgs"
    run(
        "mien_msgs (interfaces)",
        [
            *([str(PYTHON), "-m", "colcon"] if SYSTEM_ROS else [str(VENV / "bin" / "colcon")]),
            *["--log-base", str(build / "log"), "build", "--merge-install", "--install-base", str(VENV)],
            *["--build-base", str(build), "--base-paths", str(MESSAGES), "--packages-select", "mien_msgs"],
            *["--cmake-args", f"-DPython3_EXECUTABLE={PYTHON}", "-DBUILD_TESTING=OFF"],
        ],
        env={**environment(), "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 2)},
    )
    (VENV / ".mien-messages").write_text(value)


def main() -> None:
    extras = sys.argv[1:] or ["robot", "ros"]
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        sys.exit(
            f"setup: Python 3.10 to 3.13 is needed, this is {sys.version.split()[0]}; call make with PYTHON=python3.12"
        )
    make_venv()
    install(extras)
    if "ros" in extras:
        build_messages()


if __name__ == "__main__":
    main()
