"""Parity of a bundle's files: the same network passes, another one does not."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from export.bundle import export_bundle
from export.faces import Faces
from export.parity import INT8_AGREEMENT
from export.verify import verify
from mien.bundle import open_bundle
from mien.errors import MienError
from tests.conftest import LABELS, SIZE_PX, small_backbone, write_bundle
from tests.export.checkpoints import noise, save_network, settled_network
from tests.export.test_commands import mien_export
from trainer.models import Outputs

FACES = 40


@pytest.fixture(autouse=True)
def faces(monkeypatch: pytest.MonkeyPatch) -> Faces:
    """Pictures of noise take the place of rendered faces; every second one is called by a label of the model."""
    pictures = np.random.default_rng(0).random((FACES, 1, SIZE_PX, SIZE_PX), np.float32)
    made = Faces("noise", pictures, (LABELS[0], "contempt") * (FACES // 2), ("a", "b") * (FACES // 2), {"no face": 3})
    monkeypatch.setattr("export.verify.rendered_faces", lambda *_: made)
    return made


def turned(degrees: float) -> bytes:
    """The small backbone with the first two numbers of its embedding turned by an angle."""
    model = onnx.load_model_from_string(small_backbone())
    matrix = np.eye(4, dtype=np.float32)
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    matrix[:2, :2] = [[cosine, -sine], [sine, cosine]]
    model.graph.node[-1].output[0] = "flat"
    model.graph.node.append(helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]))
    model.graph.initializer.append(numpy_helper.from_array(matrix, "matrix"))
    return bytes(model.SerializeToString())


def write(folder: Path, detector: bytes = b"", **files: bytes) -> Path:
    """The small bundle whose backbone has these files by precision; its detector is an ONNX file, too."""

    def add(name: str, data: bytes) -> dict[str, str]:
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
        return {"path": name, "sha256": hashlib.sha256(data).hexdigest(), "source": "test", "licence": "Apache-2.0"}

    backbones = {precision: add(f"backbone.{precision}.onnx", data) for precision, data in files.items()}
    return write_bundle(
        folder, {"backbone.files": backbones, "detector.file": add("finder.onnx", detector or small_backbone())}
    )


def test_the_same_network_in_all_precisions_passes(tmp_path: Path) -> None:
    path = write(tmp_path / "bundle", fp32=small_backbone(), fp16=small_backbone(), int8=turned(0.05))
    report = verify(open_bundle(path))
    assert report.problems == ()
    assert report.left_out == {"noise: no face": 3}
    fp16, int8 = report.parities
    assert (fp16.precision, fp16.beside, fp16.faces, fp16.people) == ("fp16", "fp32", FACES, 2)
    assert (fp16.embedding_difference, fp16.lowest_cosine, fp16.agreement) == (0, pytest.approx(1), 1)
    assert 0 < (int8.embedding_difference or 0) < 0.01
    assert 0 < (int8.valence_difference or 0) < 0.01


def test_goals_that_are_missed_are_said(tmp_path: Path, faces: Faces) -> None:
    path = write(tmp_path / "bundle", fp32=small_backbone(), fp16=turned(2), int8=turned(40))
    report = verify(open_bundle(path))
    fp16, int8 = report.parities
    assert 0.999 < fp16.cosine < 0.9999
    assert int8.agreement is not None
    assert int8.agreement < INT8_AGREEMENT
    assert [problem.partition(":")[0] for problem in report.problems] == [
        "fp16 beside fp32 on noise",
        *["int8 beside fp32 on noise"] * 2,
    ]
    # Labels that the model does not know do not count.
    means = faces.pictures[::2, 0].reshape(-1, 2, 4, 2, 4).mean(axis=(2, 4)).reshape(-1, 4)[:, :3]
    truth = float((means.argmax(axis=1) == 0).mean())
    assert int8.accuracy is not None
    assert int8.accuracy_difference == pytest.approx(int8.accuracy - truth)


def test_the_command_fails_where_a_goal_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write(tmp_path / "good", fp32=small_backbone(), fp16=small_backbone())
    assert not mien_export(monkeypatch, "verify", good)
    said = capsys.readouterr().out
    assert "fp16 beside fp32" in said
    assert said.endswith("all goals are met\n")
    bad = write(tmp_path / "bad", fp32=small_backbone(), fp16=turned(2))
    assert mien_export(monkeypatch, "verify", bad, "--json") == 1
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert "the mean cosine is 0.99" in told["problems"][0]


def test_that_nothing_was_compared_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not mien_export(monkeypatch, "verify", write(tmp_path / "bundle", fp32=small_backbone()))
    said = capsys.readouterr().out
    assert "nothing was compared" in said
    assert "all goals" not in said


def test_what_tensorrt_refuses_is_a_problem(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(small_backbone())
    model.opset_import[0].version = 21
    report = verify(open_bundle(write(tmp_path / "bundle", model.SerializeToString(), fp32=small_backbone())))
    (problem,) = report.problems
    assert problem.startswith("finder.onnx: it needs opset 21")


def test_damaged_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "bundle", fp32=small_backbone(), fp16=small_backbone())
    (path / "backbone.fp16.onnx").write_bytes(b"something else")
    with pytest.raises(MienError, match="wrong checksum"):
        verify(open_bundle(path))
    with pytest.raises(MienError, match="no backbone in fp32"):
        verify(open_bundle(write(tmp_path / "half", fp16=small_backbone())))


@pytest.mark.timeout(600)  # torch's exporter takes minutes to be read where others work
def test_the_fp32_file_is_compared_with_its_checkpoints(
    graph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.bundle.export_graph", lambda *_: graph)  # of the same weights, to save time
    outputs = Outputs(("neutral", "happiness", "anger"))
    one, two = (settled_network("mini_xception", outputs, seed) for seed in (0, 1))
    places = [save_network(tmp_path / "one", one), save_network(tmp_path / "two", two)]
    bundle = export_bundle(places, tmp_path / "bundle")
    seen = Faces("noise", noise(one, 20).numpy(), ("anger",) * 20, ("a",) * 20, {})
    monkeypatch.setattr("export.verify.rendered_faces", lambda *_: seen)
    report = verify(bundle, checkpoints=places)
    (parity,) = report.parities
    assert (parity.precision, parity.beside, report.problems) == ("fp32", "torch", ())
    assert parity.probability_difference is not None
    assert parity.probability_difference < 1e-4
    assert parity.agreement == 1
    assert parity.part_confidence_difference is not None
    assert parity.part_confidence_difference < 1e-4
    with torch.no_grad():
        for values in next(reversed(two.parts.values())).parameters():
            values += torch.linspace(0, 0.1, values.numel()).reshape(values.shape)
    changed = verify(bundle, checkpoints=[places[0], save_network(tmp_path / "changed", two)])
    assert [re.sub(r"[\d.]+,", "…,", problem) for problem in changed.problems] == [
        "fp32 beside torch on noise: probabilities differ by …, more than 0.0001",
        "fp32 beside torch on noise: the parts' confidences differ by …, more than 0.0001",
    ]
    exchanged = verify(bundle, checkpoints=places[::-1])
    assert exchanged.problems[0].startswith("fp32 beside torch on noise: embeddings up to")
    with pytest.raises(
        MienError, match=r"1152 numbers, 3 classes and 0 parts, those of .* 2304 numbers, 3 classes and 2 parts"
    ):
        verify(bundle, checkpoints=places[:1])
