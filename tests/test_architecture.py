"""Which part may import which, what importing the robot library loads, and what each extra is for."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="reads pyproject.toml; in Python from 3.11")

ROOT = Path(__file__).resolve().parents[1]
MIEN = ROOT / "ros2_ws/src/mien/mien"
OWNERS_ENTRIES = {"pyproject.toml", "README.md", "ros2_ws", "trainer", "export", "tests", "launch"}
OUR_ENTRIES = {"Makefile", "docs", "tools", ".ci", ".gitignore", "LICENSE"}
HOST_ONLY = {"torch", "torchvision", "torchmetrics", "lightning", "lightning_fabric", "trainer", "export"}
ROS = {"rclpy", "rclcpp_components", "launch", "launch_ros", "launch_testing", "ament_index_python", "cv_bridge"}
ROS_SUFFIXES = ("_msgs", "_srvs", "_interfaces")
NEVER_AT_IMPORT = {
    "torch",
    "tensorrt",
    "tensorrt_bindings",
    "tensorrt_rtx",
    "pycuda",
    "cuda",
    "rclpy",
    "onnx",
    "h5py",
    "trainer",
    "export",
}
MODULE_OF_EXTRA = {
    "robot": "onnxruntime",
    "ros": "rclpy",
    "ros-tools": "rosbags",
    "dev": "hypothesis",
    "data": "webdataset",
    "render": "moderngl",
    "ert": "dlib",
    "explain": "matplotlib",
    "trainer": "torch",
    "export": "onnxscript",
    "tensorrt": "tensorrt",
    "cuda": "cuda",
    "pycuda": "pycuda",
}
"""One module that each extra of pyproject.toml brings."""

with (ROOT / "pyproject.toml").open("rb") as _file:
    REQUIREMENTS = tomllib.load(_file)["project"]["optional-dependencies"]
EXTRAS = sorted(REQUIREMENTS)


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def constant(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def imports(path: Path, package: tuple[str, ...]) -> Iterator[str]:
    """Every module a file imports, anywhere in it and by whatever means; `package` is the one it belongs to."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in {"require", "import_module", "__import__"} and constant(node.args[0]):
                yield constant(node.args[0])


def offenders(folder: Path, forbidden: set[str], suffixes: tuple[str, ...] = ("\0",), skip: str = "\0") -> list[str]:
    """Imports below a folder of forbidden modules ("a" or "a.b"), or of top-level names with one of the suffixes."""
    found = []
    for path in sources(folder):
        below = path.relative_to(folder.parent)
        if skip in below.parts:
            continue
        for module in imports(path, below.parent.parts):
            names = module.split(".")
            prefixes = {".".join(names[: i + 1]) for i in range(len(names))}
            if prefixes & forbidden or names[0].endswith(suffixes):
                found.append(f"{below}: {module}")
    return found


def python(code: str, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, outside the repository's root."""
    command = [sys.executable, "-c", code, *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)


# ---- who may import whom


def test_nothing_on_the_robot_imports_the_host_side() -> None:
    assert offenders(MIEN, HOST_ONLY) == []


def test_only_nodes_import_ros_or_are_imported_by_nobody() -> None:
    found = offenders(MIEN, {*ROS, "mien.nodes"}, ROS_SUFFIXES, skip="nodes")
    # One command is a client of a node; it imports that when it is called.
    client = "mien/commands/people.py: mien.nodes.people_client"
    assert set(found) == {client, f"{client}.RobotPeople"}


def test_the_host_side_imports_in_one_direction_and_no_ros() -> None:
    assert offenders(ROOT / "trainer", {*ROS, "export", "mien.nodes"}, ROS_SUFFIXES) == []
    assert offenders(ROOT / "export", {*ROS, "mien.nodes"}, ROS_SUFFIXES) == []


def test_the_rules_see_every_kind_of_import(tmp_path: Path) -> None:
    folder = tmp_path / "mien"
    (folder / "faces").mkdir(parents=True)
    (folder / "nodes").mkdir()
    (folder / "a.py").write_text("def f():\n    import torch.nn as nn\n")
    (folder / "b.py").write_text("from trainer.data import x\nimport numpy")
    (folder / "c.py").write_text("y = require('torch', 'trainer')\nz = importlib.import_module('export.main')")
    (folder / "faces/d.py").write_text("from ..nodes import perception\nfrom mien import nodes\n")
    (folder / "faces/e.py").write_text("from sensor_msgs.msg import Image\nfrom torchlike import export")
    (folder / "nodes/f.py").write_text("import rclpy\n")
    assert offenders(folder, HOST_ONLY) == [
        "mien/a.py: torch.nn",
        "mien/b.py: trainer.data",
        "mien/b.py: trainer.data.x",
        "mien/c.py: torch",
        "mien/c.py: export.main",
    ]
    assert [line.split(":")[0] for line in offenders(folder, {*ROS, "mien.nodes"}, ROS_SUFFIXES, skip="nodes")] == [
        *["mien/faces/d.py"] * 3,
        *["mien/faces/e.py"] * 2,
    ]


def test_importing_the_library_loads_nothing_heavy(tmp_path: Path) -> None:
    modules = [
        ".".join(path.relative_to(MIEN.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in sources(MIEN)
        if "nodes" not in path.relative_to(MIEN).parts and path.name != "__main__.py"
    ]
    assert {"mien", "mien.errors", "mien.expression.satisfaction"} <= set(modules)
    code = (
        "import importlib, json, sys\n"
        "forbidden, loaded = set(sys.argv[1].split()), {}\n"
        "for name in sys.argv[2:]:\n"
        "    importlib.import_module(name)\n"
        "    for heavy in forbidden & set(sys.modules):\n"
        "        loaded.setdefault(heavy, name)\n"
        "print(json.dumps(loaded))\n"
    )
    done = python(code, " ".join(NEVER_AT_IMPORT), *modules, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}, "loaded heavy module: by importing"


# ---- the repository's root


def test_the_root_holds_only_what_the_design_allows() -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    assert {line.partition("/")[0] for line in listed.stdout.splitlines()} <= OWNERS_ENTRIES | OUR_ENTRIES
    assert {name for name in OWNERS_ENTRIES if not (ROOT / name).exists()} == set()


# ---- extras

BLOCK = """
import sys
blocked = sys.argv[1]
class Blind:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        is_blocked = f"{name}.".startswith(f"{blocked}.")
        return None if is_blocked else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = map(Blind, sys.meta_path)
"""

REQUIRE = """
import json, sys
from mien.errors import MienError, require
try:
    print(json.dumps({"name": require(*sys.argv[1:3]).__name__}))
except MienError as error:
    print(json.dumps({"error": str(error)}))
"""


def required() -> list[tuple[Path, str, str]]:
    """(file, module, extra) of each call of `require` in the code."""
    found = []
    for path in [*sources(MIEN), *sources(ROOT / "trainer"), *sources(ROOT / "export")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "require":
                arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
                if len(arguments) == 2:  # others of that name are methods
                    found.append((path, *(constant(argument) for argument in arguments)))
    return found


def test_every_extra_has_a_module_here() -> None:
    assert set(EXTRAS) <= set(MODULE_OF_EXTRA)


@pytest.mark.parametrize("extra", EXTRAS)
def test_without_its_package_an_extra_is_named(extra: str, tmp_path: Path) -> None:
    done = python(BLOCK + REQUIRE, MODULE_OF_EXTRA[extra], extra, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    error = json.loads(done.stdout)["error"]
    assert f"mien[{extra}]" in error
    assert MODULE_OF_EXTRA[extra] in error


@pytest.mark.parametrize("extra", EXTRAS)
def test_with_its_package_an_extra_is_imported(extra: str, tmp_path: Path) -> None:
    module = MODULE_OF_EXTRA[extra]
    if importlib.util.find_spec(module) is None:  # not on this machine: a stand-in takes its place
        (tmp_path / f"{module}.py").touch()
    done = python(REQUIRE, module, extra, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"name": module}


def test_extras_that_the_code_asks_for_exist() -> None:
    wrong = [f"{path.name}: {module!r} {extra!r}" for path, module, extra in required() if extra not in EXTRAS]
    assert wrong == []


def test_the_extra_that_an_error_names_brings_the_module() -> None:
    distributions = importlib.metadata.packages_distributions()
    wrong = []
    for path, module, extra in required():
        installed = {name.lower().replace("_", "-") for name in distributions.get(module.partition(".")[0], [])}
        named = {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in REQUIREMENTS.get(extra, [])}
        if installed and not installed & named:
            wrong.append(f"{path.name}: {module} comes from {sorted(installed)}, which {extra} does not name")
    assert wrong == []


@pytest.mark.parametrize(
    ("path", "module"),
    [pytest.param(path, module, id=f"{path.stem}-{module}") for path, module, _ in required()],
)
def test_modules_import_without_what_they_require(path: Path, module: str, tmp_path: Path) -> None:
    """What is asked for through `require` is needed only when it is used."""
    package_root = MIEN.parent if MIEN in path.parents else ROOT
    name = ".".join(path.relative_to(package_root).with_suffix("").parts).removesuffix(".__init__")
    if name.startswith("mien.nodes.") and importlib.util.find_spec("rclpy") is None:
        pytest.skip("needs rclpy")
    done = python(BLOCK + "import importlib; importlib.import_module(sys.argv[2])", module, name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
