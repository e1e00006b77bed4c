"""`mien-train explain` from a picture to a picture, and what it refuses."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mien.bundle import CropSpec, open_bundle
from mien.errors import MienError
from mien.models.default_bundle import default_bundle
from mien.models.fetch import fetch
from mien.pipeline import Frame, Pipeline, PipelineSettings
from tests.export.checkpoints import LABELS, save_network, settled_network
from trainer.__main__ import app
from trainer.data.enhanced import enhance_picture
from trainer.data.pictures import PictureFile
from trainer.data.sample import Sample
from trainer.explain.explain import explain_picture
from trainer.models import Outputs


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A woman who smiles, and her face again, smaller, beside her."""
    video = cv2.VideoCapture(str(fetch("demo_video")))
    frame = video.read()[1]
    file = tmp_path_factory.mktemp("faces") / "faces.png"
    cv2.imwrite(
        str(file), np.hstack([frame, np.pad(cv2.resize(frame, None, fx=0.5, fy=0.5), ((0, 180), (0, 0), (0, 0)))])
    )
    return file


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Checkpoints of two networks that have learned nothing."""
    folder = tmp_path_factory.mktemp("networks")
    return [
        save_network(folder / str(seed), settled_network("mini_xception", Outputs(LABELS), seed, 48)) for seed in (0, 1)
    ]


def test_explains_what_the_robot_answers_about_the_largest_face(picture: Path, tmp_path: Path) -> None:
    found = explain_picture(picture, out=tmp_path / "why.png")
    pipeline = Pipeline(open_bundle(default_bundle()), PipelineSettings(), lambda: "face")
    (faces,) = pipeline.process([Frame(cv2.imread(str(picture)), "", 0.0)])
    pipeline.close()
    largest = max(faces, key=lambda face: face.box.width)
    assert found.faces == len(faces) == 2
    assert list(found.probabilities.values()) == pytest.approx(largest.probabilities_raw.tolist(), abs=1e-6)
    assert found.explained == found.expression == largest.expression
    x, y, side, _ = found.square
    assert (x + side / 2, y + side / 2) == pytest.approx(largest.box.center, abs=2)
    (part,) = found.parts
    assert part.hottest is not None
    assert x < part.hottest[0] < x + side
    assert y < part.hottest[1] < y + side
    drawn = cv2.imread(str(tmp_path / "why.png"))
    assert drawn.shape[1] == 1540
    assert drawn.std() > 20


def test_shows_every_network_and_the_class_that_is_asked_for(
    picture: Path, networks: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explain", str(picture), "--checkpoint", *map(str, networks), "--class", "anger"]
    with contextlib.suppress(SystemExit):
        app([*words, "--out", str(tmp_path / "a.png"), "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["explained"], list(found["probabilities"])) == ("anger", list(LABELS))
    assert [part["name"] for part in found["parts"]] == list(map(str, networks))
    mean = np.mean([explain_picture(picture, [one], out=tmp_path / "b.png").confidence for one in networks])
    assert found["confidence"] <= mean + 1e-6
    assert cv2.imread(str(tmp_path / "a.png")).shape[0] > cv2.imread(str(tmp_path / "b.png")).shape[0]


def test_says_what_was_found(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        app(["explain", str(picture), "--out", str(tmp_path / "why.png")])
    said = capsys.readouterr().out
    assert "the largest of its 2 faces" in said
    assert str(tmp_path / "why.png") in said


def test_refuses_pictures_that_show_no_face(tmp_path: Path) -> None:
    missing, damaged, empty = (tmp_path / name for name in ("missing.png", "damaged.png", "empty.png"))
    damaged.write_bytes(b"\x89PNG\r\n\x1a\n and no more than this")
    cv2.imwrite(str(empty), np.full((200, 300, 3), 120, np.uint8))
    for file, problem in (
        (missing, "is no file"),
        (tmp_path, "is no file"),
        (damaged, "cannot be read"),
        (empty, "shows no face"),
    ):
        with pytest.raises(MienError, match=problem) as raised:
            explain_picture(file, out=tmp_path / "why.png")
        assert str(file) in str(raised.value)
    assert not (tmp_path / "why.png").exists()


def test_refuses_what_cannot_be_explained(picture: Path, networks: list[Path], tmp_path: Path) -> None:
    def saved(name: str, outputs: Outputs, **keys: Any) -> Path:
        return save_network(tmp_path / name, settled_network("mini_xception", outputs, 0, 48), **keys)

    people = saved("people", Outputs(("anna", "bert", "carl")))
    affect = saved("affect", Outputs(affect=("valence",)))
    points = saved("points", Outputs(points="mouth"))
    other = saved("other", Outputs(LABELS), crop=CropSpec("box", 0.5))
    for checkpoints, problem in (
        ([people], "tells 3 classes that are no expressions, such as 'anna'"),
        ([affect], "tells valence, and no expressions"),
        ([points], r"locates landmarks \(mouth\) and tells no expressions"),
        ([networks[0], other], "look at faces differently: their crop"),
        ([tmp_path], "holds no checkpoint"),
    ):
        with pytest.raises(MienError, match=problem):
            explain_picture(picture, checkpoints, out=tmp_path / "why.png")
    with pytest.raises(MienError, match="class 'joy'"):
        explain_picture(picture, class_name="joy", out=tmp_path / "why.png")
    with pytest.raises(MienError, match="Give --checkpoint or --bundle"):
        explain_picture(picture, networks, default_bundle(), out=tmp_path / "why.png")
    assert not (tmp_path / "why.png").exists()


def test_refuses_places_that_cannot_take_the_picture(picture: Path, tmp_path: Path) -> None:
    before = picture.read_bytes()
    for out, problem in ((tmp_path / "why.jpg", "no .png file"), (picture, "is the picture that is to be explained")):
        with pytest.raises(MienError, match=problem):
            explain_picture(picture, out=out)
    assert picture.read_bytes() == before


def test_a_picture_is_enhanced_where_the_network_learned_from_such(picture: Path, tmp_path: Path) -> None:
    network = settled_network("mini_xception", Outputs(LABELS), 0, 48)
    plain = save_network(tmp_path / "plain", network)
    other = save_network(tmp_path / "other", network, contrast="picture")
    image = np.asarray(cv2.imread(str(picture)), np.uint8)[:, 220:640]  # the larger face
    picture, out = tmp_path / "face.png", tmp_path / "why.png"
    cv2.imwrite(str(picture), image)
    cv2.imwrite(str(tmp_path / "enhanced.png"), enhance_picture(Sample(PictureFile(picture), "all"), image)[1])
    expected = explain_picture(tmp_path / "enhanced.png", [plain], out=out)
    found = explain_picture(picture, [other], out=out)
    assert found.probabilities == expected.probabilities
    stretched = np.array(expected.square) * np.tile([image.shape[1] / 300, image.shape[0] / 300], 2)
    assert found.square == pytest.approx(stretched)
    assert found.parts[0].hottest != expected.parts[0].hottest
    with pytest.raises(MienError, match="look at faces differently: their contrast"):
        explain_picture(picture, [plain, other], out=out)
