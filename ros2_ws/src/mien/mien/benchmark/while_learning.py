"""What the frames of a perception node notice while its people are learned, in processes as on a robot."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from mien.benchmark.over_dds import ros_environment, running, settings_of
from mien.benchmark.results import WhileLearning
from mien.errors import MienError

LABELS = 320
"""Of a person: paper 002's elbow."""


class LearningRequest(msgspec.Struct, frozen=True):
    """What the camera process shall do: teach so many labels, then so many pairs of rounds of so many frames."""

    labels: int = LABELS
    rounds: int = 6
    frames: int = 150


def measure_while_learning(bundle: Path, request: LearningRequest | None = None) -> WhileLearning:
    """Measure; takes about a minute and a half.

    Raises:
        MienError: ROS 2 is not installed, or one of the processes fails.
    """
    environment = ros_environment()
    arguments = ["--ros-args", "-r", f"__ns:=/mien_bench_{os.getpid()}"]
    with tempfile.TemporaryDirectory() as folder:
        parameters = {
            "bundle": str(bundle),
            "people_folder": str(Path(folder, "people")),
            "identity": "off",
            "questions_per_hour": 0.0,
            "rep155": False,
        }
        with (
            running("mien.nodes.perception", [*arguments, *settings_of(parameters)], environment) as node,
            running("mien.nodes.bench_learning", arguments, environment, request or LearningRequest()) as camera,
        ):
            answer = b"" if camera.stdout is None else camera.stdout.read()
            if node.poll() is not None or camera.wait() != 0:
                raise MienError("The measurement while learning failed", "See the messages above, or give --no-dds")
        return msgspec.json.decode(answer, type=WhileLearning)
