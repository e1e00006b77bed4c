"""Real faces of a manifest as a bundle's backbone sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.faces import real_faces
from mien.bundle import open_bundle
from mien.errors import MienError
from tests.trainer.test_faces import ROW, offline_index, write

SIDE_PX = 40
GREY = 200


@pytest.fixture
def row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A row for the left half of a picture in a package on disk; that half is grey, the other black."""
    picture = np.zeros((SIDE_PX, 2 * SIDE_PX), np.uint8)
    picture[:, :SIDE_PX] = GREY
    offline_index(tmp_path, monkeypatch, {"half.pgm": f"P5 {2 * SIDE_PX} {SIDE_PX} 255 ".encode() + picture.tobytes()})
    box = {"x": "0", "y": "0", "w": str(SIDE_PX), "h": str(SIDE_PX)}
    return {**ROW, **box, "package": "pictures", "version": "1.0", "frame": "", "archive_path": "half.pgm"}


def test_faces_are_cut_as_the_robot_does_and_missing_ones_are_counted(
    row: dict[str, str], small_bundle: Path, tmp_path: Path
) -> None:
    other = {**row, "x": str(SIDE_PX), "label": "anger", "subject": "p06"}
    bundle = open_bundle(small_bundle)
    faces = real_faces(bundle, write(tmp_path, row, {**row, "version": "2.0"}, other))
    assert (faces.name, faces.labels, faces.people) == ("manifest.csv", ("happiness", "anger"), ("p05", "p06"))
    assert sum(faces.left_out.values()) == 1
    (why,) = faces.left_out
    assert why.startswith("pictures 2.0 (pip): ")
    spec = bundle.manifest.backbone.input
    expected = [(grey - spec.mean[0]) * spec.scale[0] for grey in (GREY, 0)]
    middles = faces.pictures[:, 0, spec.height // 2, spec.width // 2]
    assert middles.tolist() == pytest.approx(expected, abs=1e-5)


def test_a_manifest_of_which_no_face_can_be_had_is_refused(
    row: dict[str, str], small_bundle: Path, tmp_path: Path
) -> None:
    manifest = write(tmp_path, {**row, "archive_path": "missing.pgm"})
    with pytest.raises(MienError, match=r"manifest\.csv: not one of its faces can be had"):
        real_faces(open_bundle(small_bundle), manifest)
