"""Renders and labels are those of `VERSION`: whoever changes them counts it up.

python -m tests.trainer.synthetic.test_version    # after counting up: writes golden.json anew
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from trainer.data.synthetic.dataset import VERSION
from trainer.data.synthetic.domains import find_domain
from trainer.data.synthetic.sample import make_sample
from trainer.data.synthetic.studio import Studio

GOLDEN = Path(__file__).with_name("golden.json")
SIDE = 96
GRID = 4
CHOSEN = (
    *(("wild", index) for index in (3, 4, 8, 25, 226)),
    *(("lab_a", 17), ("lab_b", 30), ("person", 9), ("person", 320), ("identity_a", 5), ("identity_b", 12)),
    *(("objects", 2), ("objects", 40)),
    *(("home", index) for index in (1, 3, 6)),
)
LEVELS = 4.0
"""Other drivers and libraries round differently, by far less than this."""


def current() -> dict[str, dict[str, object]]:
    """Labels, and mean colours of a coarse grid, 0 to 255."""
    found: dict[str, dict[str, object]] = {}
    for name, index in CHOSEN:
        image, label = make_sample(find_domain(name), 5, index, SIDE)
        coarse = cv2.resize(image, (GRID, GRID), interpolation=cv2.INTER_AREA)
        found[f"{name}:{index}"] = {
            "text": [label.split, label.person, label.label, label.prototype, label.sequence, label.occlusion],
            "numbers": [label.intensity, label.valence, label.arousal, label.yaw, label.pitch, label.age_years],
            "landmarks": [value for point in label.landmarks[::10] for value in point],
            "coarse": coarse.reshape(-1).tolist(),
        }
    return found


def test_pictures_and_labels_change_only_with_the_version(small_studio: Studio) -> None:
    golden = json.loads(GOLDEN.read_text())
    assert golden["version"] == VERSION, "VERSION was counted up: write golden.json anew"
    for key, found in current().items():
        expected = golden["samples"][key]
        remedy = f"{key} differs: count VERSION up and write golden.json anew"
        assert found["text"] == expected["text"], remedy
        assert found["numbers"] == pytest.approx(expected["numbers"], abs=0.02), remedy
        assert found["landmarks"] == pytest.approx(expected["landmarks"], abs=0.1), remedy
        np.testing.assert_allclose(found["coarse"], expected["coarse"], atol=LEVELS, err_msg=remedy)


if __name__ == "__main__":
    if GOLDEN.exists() and json.loads(GOLDEN.read_text())["version"] == VERSION:
        raise SystemExit(f"Count VERSION up first: {GOLDEN.name} is of version {VERSION} already")
    GOLDEN.write_text(json.dumps({"version": VERSION, "samples": current()}, indent=1) + "\n")
