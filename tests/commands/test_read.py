"""`mien read` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from shutil import copyfile, copytree

import cv2
import numpy as np
import pytest

from mien.bundle import CANONICAL_LABELS
from mien.models.default_bundle import default_bundle
from mien.models.fetch import fetch
from mien.sources import open_source


def mien(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mien.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pictures of a face, one of none and a broken one, and beside it a second of video."""
    folder = tmp_path_factory.mktemp("material")
    pictures = folder / "pictures"
    pictures.mkdir()
    frames = [frame.image for frame, _ in zip(open_source(fetch("demo_video")), range(25), strict=False)]
    cv2.imwrite(str(pictures / "2.png"), frames[0])
    cv2.imwrite(str(pictures / "10.jpg"), frames[24])
    cv2.imwrite(str(pictures / "11.png"), np.zeros((100, 100, 3), np.uint8))
    (pictures / "12.jpg").write_bytes(b"no picture")
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(folder / "video.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return folder


def test_json_has_one_line_per_picture_with_the_promised_fields(material: Path) -> None:
    done = mien("read", material / "pictures", "--json")
    assert done.returncode == 1  # one of the pictures is broken
    assert "12.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(line["source"]).name for line in lines] == ["2.png", "10.jpg", "11.png"]
    assert [len(line["faces"]) for line in lines] == [1, 1, 0]
    face = lines[0]["faces"][0]
    expected = ["id", "box", "landmarks", "probabilities", "expression", "confidence", "valence", "arousal"]
    assert list(face) == expected
    x, y, width, height = face["box"]
    assert 0 <= x < x + width <= 640
    assert 0 <= y < y + height <= 360
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert face["probabilities"][face["expression"]] == face["confidence"]
    assert set(face["probabilities"]) == set(CANONICAL_LABELS)
    assert lines[0]["faces"][0]["id"] != lines[1]["faces"][0]["id"]


def test_a_bundle_without_classes_is_read(material: Path, affect_bundle: Path, tmp_path: Path) -> None:
    picture = material / "pictures" / "2.png"
    done = mien("read", picture, "--json", "--bundle", affect_bundle)
    assert done.returncode == 0, done.stderr
    (face,) = json.loads(done.stdout)["faces"]
    assert (face["probabilities"], face["expression"], face["confidence"]) == ({}, "", None)
    tables = mien("read", picture, material / "video.avi", "--bundle", affect_bundle, "--save", tmp_path)
    assert tables.returncode == 0, tables.stderr
    assert f"{face['valence']:+.2f}" in tables.stdout
    assert "–" in tables.stdout
    assert "%" not in tables.stdout
    assert len(list(tmp_path.iterdir())) == 26


def test_parts_have_their_own_confidences(material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default bundle, whose one part stands there twice."""
    monkeypatch.setenv("COLUMNS", "160")
    bundle = Path(copytree(default_bundle(), tmp_path / "parts"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    classes = manifest["head"]["spec"]["classes"]
    parts = [classes["parts"][0] | {"name": name} for name in ("eyes", "mouth")]
    manifest["head"]["spec"]["classes"] = {"combine": "mean_of_softmax", "parts": parts}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    done = mien("read", material / "pictures" / "2.png", "--json", "--bundle", bundle)
    assert done.returncode == 0, done.stderr
    (face,) = json.loads(done.stdout)["faces"]
    assert face["parts"] == pytest.approx(dict.fromkeys(("eyes", "mouth"), face["confidence"]), abs=2e-4)
    table = mien("read", material / "pictures" / "2.png", "--bundle", bundle).stdout
    assert table.index("arousal") < table.index("eyes") < table.index("mouth")


def test_a_video_keeps_its_face_and_numbers_its_frames(material: Path) -> None:
    done = mien("read", material / "video.avi", "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["frame"] for line in lines] == list(range(25))
    assert {face["id"] for line in lines for face in line["faces"]} == {"f1"}


def test_tables_and_annotated_pictures(material: Path, tmp_path: Path) -> None:
    done = mien("read", material / "pictures" / "2.png", material / "video.avi", "--save", tmp_path / "seen")
    assert done.returncode == 0, done.stderr
    assert "expression" in done.stdout
    assert "25 frames" in " ".join(done.stdout.split())  # a long path breaks the title's line
    saved = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert saved == sorted(["2.jpg", *(f"video-{i:06d}.jpg" for i in range(25))])
    before, after = cv2.imread(str(material / "pictures" / "2.png")), cv2.imread(str(tmp_path / "seen" / "2.jpg"))
    assert before.shape == after.shape
    assert np.abs(before.astype(int) - after).mean() > 1  # something is drawn


def test_a_narrow_table_shows_the_whole_names_of_pictures(
    material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"a_long_name_of_a_picture_{number}.png" for number in (1, 2)]
    for name in names:
        copyfile(material / "pictures" / "2.png", tmp_path / name)
    done = mien("read", tmp_path)
    assert done.returncode == 0, done.stderr
    first_column = "".join(line.split("│")[1].strip() for line in done.stdout.splitlines() if line.startswith("│"))
    assert first_column == "".join(names)
    assert str(tmp_path) in "".join(done.stdout.split())


def test_what_is_read_is_never_replaced(material: Path) -> None:
    before = {path.name: path.read_bytes() for path in (material / "pictures").iterdir()}
    for source in ("pictures", "pictures/10.jpg"):
        done = mien("read", material / source, "--save", material / "pictures")
        assert done.returncode == 1
        assert "Choose another --save" in done.stderr
    assert {path.name: path.read_bytes() for path in (material / "pictures").iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.mp4"], ["absent.mp4", "does not exist"]),
        (["README.md"], ["README.md"]),
        ([".", "--bundle", "absent"], ["absent", "no such bundle"]),
        ([".", "--detector", "eagle"], ["eagle", "yunet"]),
    ],
)
def test_wrong_input_is_named_without_a_traceback(
    arguments: list[str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text("no video")
    done = mien("read", *arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
