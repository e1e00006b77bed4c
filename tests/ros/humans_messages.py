"""The part of hri_msgs that REP-155 needs for faces, built for the tests where the real package is not installed."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from mien.models.cache import cache_folder

ROOT = Path(__file__).resolve().parents[2]
MESSAGES = {
    "IdsList": "std_msgs/Header header\nstring[] ids\n",
    "NormalizedRegionOfInterest2D": (
        "std_msgs/Header header\nfloat32 xmin\nfloat32 ymin\nfloat32 xmax\nfloat32 ymax\nfloat32 c\n"
    ),
    "NormalizedPointOfInterest2D": "float32 x\nfloat32 y\nfloat32 c\n",
    "FacialLandmarks": (
        "std_msgs/Header header\nNormalizedPointOfInterest2D[70] landmarks\nuint32 height\nuint32 width\n"
    ),
    "IdsMatch": (
        "int8 UNSET=0\nint8 PERSON=1\nint8 FACE=2\nint8 BODY=3\nint8 VOICE=4\n"
        "string id1\nint8 id1_type\nstring id2\nint8 id2_type\nfloat32 confidence\n"
    ),
    "Expression": ("std_msgs/Header header\nstring expression\nfloat32 valence\nfloat32 arousal\nfloat32 confidence\n"),
}
PACKAGE = """<?xml version="1.0"?>
<package format="3">
  <name>hri_msgs</name>
  <version>0.0.0</version>
  <description>Messages of REP-155 for tests</description>
  <maintainer email="nobody@example.com">nobody</maintainer>
  <license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>std_msgs</depend>
  <exec_depend>rosidl_default_runtime</exec_depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""
CMAKE = f"""cmake_minimum_required(VERSION 3.16)
project(hri_msgs)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(std_msgs REQUIRED)
rosidl_generate_interfaces(${{PROJECT_NAME}} {" ".join(f"msg/{name}.msg" for name in MESSAGES)} DEPENDENCIES std_msgs)
set(parts typesupport_c typesupport_cpp typesupport_fastrtps_c typesupport_fastrtps_cpp typesupport_introspection_cpp)
foreach(part ${{parts}})
  if(TARGET ${{PROJECT_NAME}}__rosidl_${{part}})
    set_target_properties(${{PROJECT_NAME}}__rosidl_${{part}} PROPERTIES UNITY_BUILD ON)
  endif()
endforeach()
ament_export_dependencies(rosidl_default_runtime)
ament_package()
"""


def hri_msgs_environment() -> dict[str, str]:
    """What a process needs in its environment, on top of this one's, to import hri_msgs; builds it the first time."""
    if importlib.util.find_spec("hri_msgs") is not None:
        return {}
    base = _installed()
    (packages,) = base.glob("lib/python*/site-packages")
    added = {"AMENT_PREFIX_PATH": str(base), "PYTHONPATH": str(packages), "LD_LIBRARY_PATH": f"{base}/lib"}
    before = {"AMENT_PREFIX_PATH": sys.prefix, **os.environ}
    return {name: os.pathsep.join(filter(None, [path, before.get(name)])) for name, path in added.items()}


def _installed() -> Path:
    """Where it is installed; the folder's name holds all that it was built from."""
    wheels = [line for line in (ROOT / "pyproject.toml").read_text().splitlines() if "ros-" in line]
    made_from = [*MESSAGES.items(), PACKAGE, CMAKE, wheels, sys.prefix, sys.version, os.environ.get("ROS_DISTRO")]
    digest = hashlib.sha256(repr(made_from).encode()).hexdigest()
    base = cache_folder() / "tests" / f"hri_msgs-{digest[:12]}"
    if not base.is_dir():
        base.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base.parent) as folder:
            _build(Path(folder))
            (Path(folder) / "install").rename(base)
    return base


def _build(folder: Path) -> None:
    source = folder / "src" / "hri_msgs"
    (source / "msg").mkdir(parents=True)
    (source / "package.xml").write_text(PACKAGE)
    (source / "CMakeLists.txt").write_text(CMAKE)
    for name, fields in MESSAGES.items():
        (source / "msg" / f"{name}.msg").write_text(fields)
    environment = dict(os.environ)
    if "ROS_DISTRO" not in environment:
        for name in ("PYTHONPATH", "LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE"):
            environment.pop(name, None)
        environment["AMENT_PREFIX_PATH"] = environment["CMAKE_PREFIX_PATH"] = sys.prefix
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [
            *[sys.executable, "-m", "colcon", "build", "--merge-install"],
            *["--cmake-args", f"-DPython3_EXECUTABLE={sys.executable}", "-DBUILD_TESTING=OFF"],
        ],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
