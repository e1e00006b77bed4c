"""The bundle contract: what is accepted, what is refused, and what the refusal says."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.numpy

from mien.bundle import LandmarksSpec, encode_manifest, open_bundle
from mien.errors import MienError
from mien.expression.head import HeadSpec
from mien.expression.head_file import encode_head, names_embedding


def test_a_valid_bundle_opens_verifies_and_predicts(small_bundle: Path) -> None:
    bundle = open_bundle(small_bundle)
    bundle.verify()
    prediction = bundle.load_head().predict(np.array([[0, 9, 0, 0]], np.float32))
    assert bundle.manifest.labels[prediction.probabilities[0].argmax()] == "happiness"


def test_a_zip_serves_like_a_folder(small_bundle: Path, tmp_path: Path) -> None:
    archive = tmp_path / "bundle.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in small_bundle.iterdir():
            file.write(path, path.name)
    zipped = open_bundle(archive)
    zipped.verify()
    assert zipped.sha256 == open_bundle(small_bundle).sha256


def test_the_manifest_survives_being_written_and_read(small_bundle: Path) -> None:
    before = open_bundle(small_bundle)
    (small_bundle / "manifest.json").write_bytes(encode_manifest(before.manifest))
    assert open_bundle(small_bundle).manifest == before.manifest


def test_only_what_older_robots_cannot_read_gets_the_new_version(small_bundle: Path) -> None:
    manifest = open_bundle(small_bundle).manifest
    points = LandmarksSpec(manifest.detector.file, manifest.backbone.input, manifest.backbone.crop, "points")
    written = json.loads(encode_manifest(msgspec.structs.replace(manifest, landmarks=points)))
    assert (written["version"], "confidence_output" in written["landmarks"]) == (1, False)
    outputs = manifest.head.spec.classes
    weighted = HeadSpec(msgspec.structs.replace(outputs, combine="reliability_of_softmax"))
    sure = msgspec.structs.replace(points, confidence_output="sure")
    clear = msgspec.structs.replace(manifest.backbone.input, contrast="clahe")
    for change in (
        {"head": msgspec.structs.replace(manifest.head, spec=weighted)},
        {"landmarks": sure},
        {"backbone": msgspec.structs.replace(manifest.backbone, input=clear)},
    ):
        assert json.loads(encode_manifest(msgspec.structs.replace(manifest, **change)))["version"] == 2


def test_contrast_belongs_to_the_embedding_and_none_leaves_it_as_it_was(small_bundle: Path) -> None:
    backbone = open_bundle(small_bundle).manifest.backbone
    told = json.loads(msgspec.json.encode(backbone.input))
    assert "contrast" not in told
    enhanced = msgspec.structs.replace(backbone.input, contrast="clahe")
    assert msgspec.structs.replace(backbone, input=enhanced).embedding_id != backbone.embedding_id


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 3}, ["manifest.json", "version 3", "Update mien"]),
        ({"format": "other"}, ["manifest.json", "not the manifest"]),
        ({"labels": ["anger", "happiness", "boredom"]}, ["boredom"]),
        ({"labels": ["anger", "anger", "neutral"]}, ["labels"]),
        ({"labels": []}, ["labels"]),
        ({"head.spec.classes": None}, ["labels", "no output for classes"]),
        ({"head.spec.classes": None, "labels": [], "valence_arousal": None}, ["without classes", "valence_arousal"]),
        ({"head.spec.classes": None, "labels": [], "valence_arousal.coordinates": {}}, ["without classes", "source"]),
        ({"backbone.input.mean": [0.0, 0.0]}, ["backbone.input", "grey"]),
        ({"backbone.input.contrast": "gamma"}, ["backbone.input.contrast", "gamma"]),
        (
            {
                "backbone.input": {"width": 8, "height": 8, "channels": "rgb", "mean": [0.0] * 3, "scale": [1.0] * 3}
                | {"contrast": "clahe"}
            },
            ["backbone.input", "clahe needs grey"],
        ),
        ({"backbone.crop.kind": "inner"}, ["inner", "landmarks"]),
        ({"backbone.crop.kind": "oval"}, ["backbone.crop.kind"]),
        ({"backbone.files": {}}, ["backbone.files"]),
        ({"detector.width": -1}, ["detector.width"]),
        ({"head.file.sha256": "zz"}, ["head.file.sha256"]),
        ({"surprise": 1}, ["surprise"]),
        ({"valence_arousal.coordinates": {"anger": [0, 0]}}, ["coordinates"]),
        ({"valence_arousal.source": "head"}, ["valence", "head"]),
        ({"valence_arousal.coordinates.anger": [-5.0, 0.0]}, ["coordinates"]),
    ],
)
def test_a_wrong_manifest_is_refused_by_name(make_bundle: Any, change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(MienError) as caught:
        open_bundle(make_bundle(change))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("path", ["../outside", "/outside", "a/../../outside", "..\\outside", "C:outside", "a\0b"])
def test_a_path_that_leaves_the_bundle_is_refused(make_bundle: Any, tmp_path: Path, path: str) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    bundle = open_bundle(make_bundle({"detector.file.path": path}))
    with pytest.raises(MienError, match="leaves the bundle"):
        bundle.verify()


def test_a_link_out_of_the_bundle_is_refused(small_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes((small_bundle / "detector.onnx").read_bytes())
    (small_bundle / "detector.onnx").unlink()
    (small_bundle / "detector.onnx").symlink_to(tmp_path / "outside")
    with pytest.raises(MienError, match="link out of the bundle"):
        open_bundle(small_bundle).verify()


@pytest.mark.parametrize("path", ["x" * 300, "circle"])
def test_a_path_that_cannot_be_read_is_named(make_bundle: Any, path: str) -> None:
    folder = make_bundle({"detector.file.path": path})
    (folder / "circle").symlink_to("circle")
    with pytest.raises(MienError, match=path[:20]):
        open_bundle(folder).verify()


def test_a_changed_file_is_refused(small_bundle: Path) -> None:
    file = small_bundle / "backbone.fp32.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(MienError, match=r"backbone\.fp32\.onnx: wrong checksum"):
        open_bundle(small_bundle).verify()


def test_a_missing_file_is_named(small_bundle: Path) -> None:
    (small_bundle / "head.safetensors").unlink()
    with pytest.raises(MienError, match=r"head\.safetensors is missing"):
        open_bundle(small_bundle).verify()


def test_labels_and_head_must_agree(make_bundle: Any) -> None:
    labels = ["anger", "happiness"]
    change = {"labels": labels, "valence_arousal": None}
    with pytest.raises(MienError, match="3 outputs, but 2 are needed"):
        open_bundle(make_bundle(change)).verify()


def test_a_head_that_is_not_finite_is_refused(make_bundle: Any) -> None:
    folder = make_bundle()
    tensors = {"classes.0.weight": np.full((3, 4), np.nan, np.float32), "classes.0.bias": np.zeros(3, np.float32)}
    data = safetensors.numpy.save(tensors)
    (folder / "head.safetensors").write_bytes(data)
    folder = make_bundle({"head.file.sha256": hashlib.sha256(data).hexdigest()}, name="bundle")
    (folder / "head.safetensors").write_bytes(data)
    with pytest.raises(MienError, match="not finite"):
        open_bundle(folder).verify()


def test_a_head_that_is_no_safetensors_file_is_refused(make_bundle: Any) -> None:
    data = b"\x80\x04pickled?"
    folder = make_bundle({"head.file.sha256": hashlib.sha256(data).hexdigest()})
    (folder / "head.safetensors").write_bytes(data)
    with pytest.raises(MienError, match="not a safetensors file"):
        open_bundle(folder).verify()


def test_a_head_belongs_to_its_backbone(make_bundle: Any, tmp_path: Path) -> None:
    bundle = open_bundle(make_bundle({}))
    tensors = safetensors.numpy.load(bundle.read(bundle.manifest.head.file))
    head = tmp_path / "own.safetensors"
    head.write_bytes(encode_head(tensors, bundle.manifest.backbone.embedding_id, bundle.manifest.labels))
    assert names_embedding(head)
    assert not names_embedding(bundle.path / bundle.manifest.head.file.path)
    assert not names_embedding(tmp_path / "nothing")
    open_bundle(make_bundle({"name": "another"})).load_head(head)
    for field, value in (("files.fp32.sha256", "0" * 64), ("crop.margin", 0.5), ("input.scale", [2])):
        other = open_bundle(make_bundle({f"backbone.{field}": value}))
        with pytest.raises(MienError, match=r"own\.safetensors was made for another backbone, input or crop"):
            other.load_head(head)
    other = open_bundle(make_bundle({"labels": ["neutral", "happiness", "anger"]}))
    with pytest.raises(MienError, match="tells anger, happiness, neutral, not neutral, happiness, anger"):
        other.load_head(head)


@pytest.mark.parametrize("dtype", ["I64", "U8", "BF16"])
def test_a_head_of_other_numbers_is_refused(make_bundle: Any, dtype: str) -> None:
    size = {"I64": 8, "U8": 1, "BF16": 2}[dtype]
    header = json.dumps(
        {
            "classes.0.weight": {"dtype": dtype, "shape": [3, 4], "data_offsets": [0, 12 * size]},
            "classes.0.bias": {"dtype": dtype, "shape": [3], "data_offsets": [12 * size, 15 * size]},
        }
    ).encode()
    data = len(header).to_bytes(8, "little") + header + bytes(15 * size)
    folder = make_bundle({"head.file.sha256": hashlib.sha256(data).hexdigest()})
    (folder / "head.safetensors").write_bytes(data)
    with pytest.raises(MienError, match=r"head\.safetensors"):
        open_bundle(folder).verify()


def test_a_damaged_zip_is_refused(small_bundle: Path, tmp_path: Path) -> None:
    archive = tmp_path / "bundle.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in small_bundle.iterdir():
            file.write(path, path.name)
    data = bytearray(archive.read_bytes())
    for i in range(60, 400, 7):
        data[i] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(MienError, match=r"bundle\.zip"):
        open_bundle(archive).verify()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"[" * 100_000, b"\xff\xfe", b'{"format": "mien-bundle"}'])
def test_a_manifest_that_is_none_is_refused(small_bundle: Path, data: bytes) -> None:
    (small_bundle / "manifest.json").write_bytes(data)
    with pytest.raises(MienError, match=r"manifest\.json"):
        open_bundle(small_bundle)


def test_a_manifest_in_another_encoding_is_refused(small_bundle: Path) -> None:
    manifest = small_bundle / "manifest.json"
    manifest.write_bytes(manifest.read_text().replace("for tests", "for René").encode("latin-1"))
    with pytest.raises(MienError, match=r"manifest\.json is not JSON .*Export"):
        open_bundle(small_bundle)


def test_neither_folder_nor_zip(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="no such bundle"):
        open_bundle(tmp_path / "absent")
    (tmp_path / "text.zip").write_text("text")
    with pytest.raises(MienError, match="neither a folder nor"):
        open_bundle(tmp_path / "text.zip")
