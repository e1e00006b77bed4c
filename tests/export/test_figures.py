"""The figures that a bundle takes from its checkpoint, and what is said of how they came about."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.figures import measured
from mien.bundle import CropSpec
from tests.export.checkpoints import LABELS, save_answers, save_landmark_answers, save_network
from trainer.models import Outputs, build_network
from trainer.stages.job_result import JobTest


@pytest.mark.parametrize(
    ("kind", "landmarks", "is_noted"),
    [("inner", "data", True), ("outer", "data", True), ("inner", "model", False), ("box", "data", False)],
)
def test_landmarks_that_no_robot_knows_are_noted(tmp_path: Path, kind: str, landmarks: str, is_noted: bool) -> None:
    network = build_network("mini_xception", Outputs(LABELS), seed=0)
    save_network(tmp_path, network, crop=CropSpec(kind), landmarks=landmarks)
    save_answers(tmp_path)
    notes = [figure.note for figure in measured(tmp_path)]
    assert notes
    assert [note.startswith("cut by the data's own landmarks") for note in notes] == [is_noted] * len(notes)


def test_tests_on_parts_of_the_same_pictures_are_told_apart(tmp_path: Path) -> None:
    save_network(tmp_path, build_network("mini_xception", Outputs(LABELS), seed=0))
    alike = JobTest("renders faces, seed 1", "all for the test", {})
    other = JobTest("renders faces, seed 0", "all for the test", {})
    save_landmark_answers(tmp_path, 0.1, {"whole": other, "frontal": alike, "turned": alike})
    data = dict.fromkeys(figure.data for figure in measured(tmp_path))
    assert list(data) == ["renders faces, seed 0", "renders faces, seed 1 (frontal)", "renders faces, seed 1 (turned)"]
