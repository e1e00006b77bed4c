"""A node whose networks TensorRT runs: ONNX Runtime serves until engines are built, and again when the GPU fails."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from mien.models.cache import CACHE_VARIABLE
from mien.models.default_bundle import default_bundle
from tests.ros.driver import Driver, perception
from tests.ros.pictures import demo_frame

ON_PATH = Path(__file__).resolve().parents[1] / "runtime/on_path"
OK, WARN = 0, 1


def probabilities(robot: Driver) -> np.ndarray:
    (face,) = robot.read(demo_frame()).faces
    return np.asarray(face.probabilities_raw)


def engines(folder: Path) -> dict[Path, int]:
    """The engines in the cache, and when they were written."""
    return {path: path.stat().st_mtime_ns for path in (folder / "cache/engines").glob("*.engine")}


def wait_for_model(robot: Driver, level: int, text: str) -> dict[str, str]:
    """Wait until /diagnostics says that of the model; return its values."""

    def said(report: Any) -> bool:
        return bool(report["model"][0] == level and text in report["model"][1])

    return dict(robot.wait_for_diagnostics(said, f"the model at level {level}, {text!r}", 100.0)["model"][2])


def test_engines_come_and_go_without_a_frame_lost(tmp_path: Path, ros_domain_id: int) -> None:
    os.mkfifo(tmp_path / "gate")
    environment = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ON_PATH), os.environ.get("PYTHONPATH", "")])),
        "MIEN_TEST_FOLDER": str(tmp_path),
        CACHE_VARIABLE: str(tmp_path / "cache"),
    }
    parameters = {
        "bundle": str(default_bundle()),
        "backend": "tensorrt",
        "precision": "fp32",  # as ONNX Runtime, whose answers are compared
        "detection_interval_frames": 1,
        "smoothing_time_constant_s": 0.0,
    }
    with perception(tmp_path / "node", ros_domain_id, parameters=parameters, environment=environment) as robot:
        values = wait_for_model(robot, WARN, "engine of the backbone has not been built yet")
        assert values["runtime"].startswith("onnxruntime")
        assert values["runtime.detector"] == "", "an engine for images that nobody has sent"
        expected = probabilities(robot)

        (tmp_path / "gate").write_bytes(b"")
        (tmp_path / "gate").unlink()
        values = wait_for_model(robot, OK, "ok")
        assert values["runtime"] == values["runtime.detector"] == "tensorrt 10.3.0 Fake Orin"
        np.testing.assert_allclose(probabilities(robot), expected, atol=1e-5)

        made = engines(tmp_path)
        assert {path.name.partition("-")[0] for path in made} == {"backbone", "detector", "landmarks"}
        head = shutil.copy(default_bundle() / "head.safetensors", tmp_path)
        assert robot.set_parameters(head=str(head)).successful
        values = wait_for_model(robot, OK, "ok")
        assert (values["head"], values["runtime"]) == (str(head), "tensorrt 10.3.0 Fake Orin")
        assert engines(tmp_path) == made, "another head touches an engine"

        for transition in ("deactivate", "cleanup", "configure", "activate"):
            assert robot.change_state(transition)
        np.testing.assert_allclose(probabilities(robot), expected, atol=1e-5)
        assert wait_for_model(robot, OK, "ok")["runtime"] == "tensorrt 10.3.0 Fake Orin"
        assert engines(tmp_path) == made, "a sound engine was built again"

        (tmp_path / "vanished").touch()
        np.testing.assert_allclose(probabilities(robot), expected, atol=1e-5)
        values = wait_for_model(robot, WARN, "backbone: CUDA failed in")
        assert values["runtime"].startswith("onnxruntime")
        robot.diagnostics()
        assert robot.process.output.count("CUDA failed in") == 1, "a reason stands in the log more than once"

        counts = robot.counts()
        assert counts["frames_in"] == counts["frames_processed"]
    assert "The backbone runs on tensorrt" in robot.process.output
