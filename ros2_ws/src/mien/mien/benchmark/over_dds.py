"""Camera and perception node in separate processes, as on a robot: starts both and collects the times."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

import mien
from mien.benchmark.machine import memory_of
from mien.benchmark.results import Case, Memory, OverDds
from mien.errors import MienError
from mien.runtime.backend import BackendOptions

_PROFILE = "fastdds_large_images.xml"
_PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")  # the latter up to Jazzy
_STOP_TIMEOUT_S = 15.0


class Request(msgspec.Struct, frozen=True):
    """What the camera process shall do: publish so many frames of each case on `image_raw` of its namespace.

    The bundle (a path) and the backend are those of the node, for the same frames in-process.
    """

    cases: list[Case]
    frames: int
    bundle: str
    backend: BackendOptions


def large_image_profile() -> Path | None:
    """The Fast DDS profile for large images of mien_bringup, installed or in the repository; None without it."""
    prefixes = [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    folders = [prefix / "share" / "mien_bringup" for prefix in prefixes]
    folders.append(Path(mien.__file__).resolve().parents[4] / "launch")
    return next((folder / _PROFILE for folder in folders if (folder / _PROFILE).is_file()), None)


def measure_over_dds(
    cases: list[Case], frames: int, bundle: Path, backend: BackendOptions, progress: Callable[[], None]
) -> tuple[list[OverDds], Memory]:
    """Time every case; returns the results and the node's memory after them.

    Args:
        cases: what to look at; a node is started for each of their detection intervals.
        frames: per case.
        bundle: the models.
        backend: what runs them in the node.
        progress: called after each case.

    Raises:
        MienError: ROS 2 is not installed, or one of the processes fails.
    """
    environment, namespace = ros_environment(), f"/mien_bench_{os.getpid()}"
    results: list[OverDds] = []
    for interval in sorted({case.detection_interval_frames for case in cases}):
        of_interval = [case for case in cases if case.detection_interval_frames == interval]
        request = Request(of_interval, frames, str(bundle), backend)
        parameters = {
            "detection_interval_frames": interval,
            "bundle": str(bundle),
            "backend": backend.name,
            "threads": backend.threads,
            "precision": backend.precision or "",
            "rep155": False,
        }
        settings = settings_of(parameters)
        arguments = ["--ros-args", "-r", f"__ns:={namespace}"]
        with (
            running("mien.nodes.perception", [*arguments, *settings], environment) as node,
            running("mien.nodes.bench_camera", arguments, environment, request) as camera,
        ):
            for line in camera.stdout or ():
                results.append(msgspec.json.decode(line, type=OverDds))
                progress()
            if node.poll() is not None or camera.wait() != 0:
                raise MienError("The measurement over DDS failed", "See the messages above, or give --no-dds")
            memory = memory_of(node.pid)
    return results, memory


def ros_environment() -> dict[str, str]:
    """The environment of nodes that send each other images.

    Raises:
        MienError: ROS 2 is not installed.
    """
    for module in ("rclpy", "mien_msgs"):
        if importlib.util.find_spec(module) is None:
            raise MienError(f"The Python module {module} is missing", "Source ROS 2, or leave DDS out with --no-dds")
    profile = large_image_profile()
    return {**os.environ, **{name: str(profile) for name in _PROFILE_VARIABLES if profile is not None}}


def settings_of(parameters: Mapping[str, object]) -> list[str]:
    """A node's parameters as arguments, after --ros-args."""
    return [part for name, value in parameters.items() for part in ("-p", f"{name}:={json.dumps(value)}")]


@contextmanager
def running(
    module: str, arguments: list[str], environment: dict[str, str], request: msgspec.Struct | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs a module, is given a request on its input, and is ended as by Ctrl+C.

    What it prints is shown when the block raises a MienError. With a request, its output is a pipe.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as log:
        given.write(b"" if request is None else msgspec.json.encode(request))
        given.seek(0)
        with subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=environment,
            stdin=given,
            stdout=log if request is None else subprocess.PIPE,
            stderr=log,
        ) as process:
            try:
                yield process
            except MienError:
                _show(module, log)
                raise
            finally:
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _show(module: str, log: IO[bytes]) -> None:
    log.seek(0)
    print(f"--- {module} ---\n{log.read().decode(errors='replace')[-2000:]}", file=sys.stderr)
