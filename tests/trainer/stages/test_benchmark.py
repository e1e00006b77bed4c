"""The measurement of training speed; the speeds themselves are those of the machine."""

from __future__ import annotations

import math

import msgspec
import pytest
import torch

from trainer.stages.benchmark import measure_speed
from trainer.stages.recipe_file import load_recipe

SMALL = "mobilenet_v1_48_w025"


def test_speeds_are_measured_and_said_with_what_they_depend_on() -> None:
    speed = measure_speed(SMALL, rounds=1, batches=2)
    assert (speed.architecture, speed.rounds, speed.threads) == (SMALL, 1, torch.get_num_threads())
    measured = {name: value for name, value in msgspec.structs.asdict(speed).items() if isinstance(value, float)}
    assert set(measured) == {"fit", "fit_augmented", "bare", "loading", "loading_augmented", "share_of_bare"}
    assert all(math.isfinite(value) and value > 0 for value in measured.values())
    assert speed.share_of_bare == pytest.approx(speed.fit / speed.bare)
    assert speed.augmentation in {stage.augmentation for stage in load_recipe("real_time").stages.values()}
