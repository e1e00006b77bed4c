"""The figures that a bundle takes from its checkpoint, and what is said of how they came about."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.figures import measured
from mien.bundle import CropSpec
from tests.export.checkpoints import LABELS, save_answers, save_network
from trainer.models import Outputs, build_network


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
