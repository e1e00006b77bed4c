"""Runs the robot library's tests that need no ROS under Python 3.10 and numpy 1, as on a Jetson with JetPack 6.

    python3 tools/python310.py [pytest arguments]

Does nothing, and says so, where there is no Python 3.10. Its environment, .venv-3.10, is kept until pyproject.toml
changes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setup import PROJECT, ROOT, run

VENV = ROOT / ".venv-3.10"
ELSEWHERE = ["tests/ros", "tests/nodes", "tests/trainer", "tests/export", "tests/tools/test_check_export.py"]


def find_python() -> Path | None:
    """A Python 3.10 that really runs; version managers leave launchers on the path that only print an error."""
    managed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which("python3.10"), *sorted(managed.glob("3.10.*/bin/python3.10"))]
    for candidate in filter(None, candidates):
        found = subprocess.run([candidate, "-c", "import ensurepip"], capture_output=True, check=False)
        if found.returncode == 0:
            return Path(candidate)
    return None


def make_environment(python: Path, env: dict[str, str]) -> None:
    value = f"{VENV} {hashlib.sha256(PROJECT.read_bytes()).hexdigest()}"
    made = VENV / ".mien-made"
    if made.is_file() and made.read_text() == value:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    run("virtual environment with Python 3.10", [str(python), "-m", "venv", str(VENV)], env)
    packages = ["--editable", ".[robot,ros-tools,data,render,dev]", "numpy<2"]
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--progress-bar", "off"]
    run("packages for Python 3.10", [*pip, *packages], env)
    made.write_text(value)


def main() -> int:
    python = find_python()
    if python is None:
        print("  no Python 3.10 here: its tests are skipped")
        return 0
    # Another Python's paths, such as those that the ROS wheels set, do not fit this one.
    foreign = ("PYTHONPATH", "LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
    env = {name: value for name, value in os.environ.items() if name not in foreign}
    env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    make_environment(python, env)
    print("The robot library without ROS under Python 3.10 and numpy 1:", flush=True)
    ignored = [f"--ignore={folder}" for folder in ELSEWHERE]
    command = [str(VENV / "bin" / "python"), "-m", "pytest", "-q", *ignored, *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
