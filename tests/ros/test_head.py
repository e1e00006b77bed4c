"""Another head for a running node: swapped between two frames, or refused while the present one goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from diagnostic_msgs.msg import DiagnosticStatus

from mien.bundle import open_bundle
from mien.expression.head_file import encode_head
from mien.models.default_bundle import default_bundle
from tests.ros.driver import Driver, perception
from tests.ros.pictures import demo_frame, face_picture, paste

TWO_FACES = paste((640, 360), [face_picture(20, 240), face_picture(300, 240)], [(40, 60), (360, 60)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a copy of the default bundle and, in rolled.safetensors, a head that gives each class the next one's."""
    folder = tmp_path_factory.mktemp("head")
    shutil.copytree(default_bundle(), folder / "bundle")
    tensors = safetensors.numpy.load((folder / "bundle" / "head.safetensors").read_bytes())
    rolled = {name: np.roll(tensor, 1, axis=0) for name, tensor in tensors.items()}
    (folder / "rolled.safetensors").write_bytes(safetensors.numpy.save(rolled))
    (folder / "short.safetensors").write_bytes(safetensors.numpy.save({**tensors, "classes.bias": np.zeros(3, "f4")}))
    manifest = open_bundle(folder / "bundle").manifest
    (folder / "strange.safetensors").write_bytes(encode_head(tensors, "0" * 64, manifest.labels))
    (folder / "known.safetensors").write_bytes(encode_head(tensors, manifest.backbone.embedding_id, manifest.labels))
    (folder / "damaged.safetensors").write_bytes(b"no head")
    return folder


@pytest.fixture(scope="module")
def robot(folder: Path, ros_domain_id: int) -> Iterator[Driver]:
    """A node whose answers to one image are always the same; its bundle's backbone is gone once it has been loaded."""
    parameters = {
        "bundle": str(folder / "bundle"),
        "detection_interval_frames": 1,
        "smoothing_time_constant_s": 0.0,
    }
    with perception(folder, ros_domain_id, parameters=parameters) as driver:
        (folder / "bundle" / "backbone.fp32.onnx").unlink()
        yield driver


def read(robot: Driver) -> tuple[int, np.ndarray]:
    """Which head answered, and the probabilities that it gave."""
    (face,) = robot.read(demo_frame()).faces
    return face.head_version, np.array(face.probabilities_raw)


def test_a_head_is_exchanged_between_two_frames(robot: Driver, folder: Path) -> None:
    assert robot.set_parameters(head="").successful
    answers = [read(robot) for _ in range(3)]
    before = robot.counts()
    with ThreadPoolExecutor(1) as pool:
        change = pool.submit(robot.set_parameters, head=str(folder / "rolled.safetensors"))
        while not change.done() or answers[-1][0] == 0:
            answers.append(read(robot))
    assert change.result().successful, change.result().reason
    versions = [version for version, _ in answers]
    assert versions == sorted(versions)
    assert versions[0] == 0 < versions[-1]
    own = answers[0][1]
    for version, probabilities in answers:
        np.testing.assert_allclose(probabilities, np.roll(own, version > 0), atol=1e-4)
    assert robot.counts().get("frames_dropped") == before["frames_dropped"]
    assert robot.diagnostics()["model"][2]["head"] == str(folder / "rolled.safetensors")
    assert robot.set_parameters(head="").successful
    version, probabilities = read(robot)
    assert version == 0
    np.testing.assert_allclose(probabilities, own, atol=1e-4)


def test_a_head_that_does_not_say_what_it_was_made_for_is_taken_with_a_warning(robot: Driver, folder: Path) -> None:
    assert robot.set_parameters(head=str(folder / "known.safetensors")).successful
    assert "known.safetensors does not say" not in robot.process.output
    assert robot.set_parameters(head=str(folder / "rolled.safetensors")).successful
    robot.process.wait_for_output("rolled.safetensors does not say for which backbone it was made")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("missing.safetensors", ["no such file"]),
        ("damaged.safetensors", ["safetensors"]),
        ("short.safetensors", ["classes.bias", "(3,)"]),
        ("strange.safetensors", ["another backbone, input or crop (000000000000…"]),
    ],
)
def test_a_bad_head_is_refused_with_the_reason_and_nothing_changes(
    robot: Driver, folder: Path, file: str, words: list[str]
) -> None:
    assert robot.set_parameters(head=str(folder / "rolled.safetensors")).successful
    version, probabilities = read(robot)
    result = robot.set_parameters(maximum_faces=1, head=str(folder / file))
    assert not result.successful
    assert all(word in result.reason for word in (str(folder / file), *words)), result.reason
    assert len(robot.read(TWO_FACES).faces) == 2, "maximum_faces came with the bad head"
    while len(robot.read(demo_frame()).faces) > 1:
        pass  # who was in view before is followed once more
    after = read(robot)
    assert after[0] == version
    np.testing.assert_allclose(after[1], probabilities, atol=1e-4)
    level, text, values = robot.diagnostics()["model"]
    assert (level, text, values["head"]) == (0, "ok", str(folder / "rolled.safetensors"))


def test_a_node_that_is_given_a_bad_head_says_so_and_starts_with_another(
    folder: Path, tmp_path: Path, ros_domain_id: int
) -> None:
    parameters: dict[str, Any] = {"head": str(folder / "missing.safetensors")}
    with perception(
        tmp_path, ros_domain_id, parameters=parameters, namespace="late", wait_for_state="unconfigured"
    ) as robot:
        report = robot.wait_for_diagnostics(
            lambda report: report["model"][0] == ord(DiagnosticStatus.ERROR), "the bad head"
        )
        assert "missing.safetensors: no such file" in report["model"][1]
        assert robot.set_parameters(head=str(folder / "rolled.safetensors")).successful
        assert robot.change_state("configure")
        assert robot.change_state("activate")
        (face,) = robot.read(demo_frame(), "/late/image_raw").faces
        assert face.head_version == 1
