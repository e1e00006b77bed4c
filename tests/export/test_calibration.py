"""What int8 is calibrated on: pictures of the training part, of all classes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from export.calibration import calibration_pictures
from mien.errors import MienError
from tests.trainer.stages.test_run_on_pictures import LABELS, make_recipe, run
from trainer.stages.checkpoint import load_card
from trainer.stages.claim import read_claim
from trainer.stages.material import Material
from trainer.stages.run import RENDERED

EACH = 12
"""Pictures of a class."""
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint of a run on grey pictures, each of its own brightness."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    for place, label in enumerate(LABELS):
        for number in range(EACH):
            path = tmp_path / "data/folder" / label / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((50, 50, 3), 5 * (EACH * place + number), np.uint8))
    return run(tmp_path / "data", make_recipe(), "--only", "first") / "seed0/first"


def calibration(checkpoint: Path, *count: int) -> Any:
    return calibration_pictures([checkpoint], load_card(checkpoint).input, *count)


def brightness(checkpoint: Path, pictures: Any) -> list[int]:
    """The one grey value of each picture, as it was stored."""
    spec = load_card(checkpoint).input
    assert pictures.shape[1:] == (3, spec.height, spec.width)
    return sorted(round(float(picture.mean()) / spec.scale[0] + spec.mean[0]) for picture in pictures)


def test_only_pictures_of_the_training_part_are_taken(trained: Path) -> None:
    claim = read_claim(trained.parents[1])
    part = Material(claim.recipe, Path(str(claim.root)), claim.side, claim.without).part("first", 0, 0)
    train, test = ({int(examples.crops.pixels(examples.numbers[[i]]).mean()) for i in range(len(examples))}
                   for examples in (part.train, part.test))  # fmt: skip
    assert claim.data != RENDERED
    assert test
    found = brightness(trained, calibration(trained))
    assert found == sorted(train)
    assert not test & set(found)


def test_few_are_taken_evenly_from_the_classes(trained: Path) -> None:
    found = brightness(trained, calibration(trained, 6))
    classes = [value // (5 * EACH) for value in found]
    assert [classes.count(place) for place in range(len(LABELS))] == [2, 2, 2]


def test_the_same_pictures_count_once(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained.parent, trained.parents[1] / "seed1")  # other pictures, of another division
    spec = load_card(trained).input
    both = calibration_pictures([trained, trained, trained.parents[1] / "seed1/first"], spec)
    once = [calibration(place) for place in (trained, trained.parents[1] / "seed1/first")]
    np.testing.assert_array_equal(both, np.concatenate(once))
    assert not np.array_equal(*once)


def test_a_checkpoint_without_its_run_is_refused(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "elsewhere")
    with pytest.raises(MienError, match="lies in no run"):
        calibration(tmp_path / "elsewhere")


def test_pictures_of_one_class_are_refused(trained: Path, tmp_path: Path) -> None:
    for label in LABELS[1:]:
        shutil.rmtree(tmp_path / "data/folder" / label)
    with pytest.raises(MienError, match=f"of one class \\({LABELS[0]}\\)"):
        calibration(trained)


def test_data_that_are_gone_are_named(trained: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(MienError, match="folder"):
        calibration(trained)
