"""The whole chain: what a recipe teaches a network is what a robot publishes; a new head needs nothing but itself."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from export.bundle import export_bundle
from mien.bundle import Bundle
from mien.expression.head import softmax
from mien.expression.head_file import encode_head
from mien.faces.crop import crop_square, write_crop
from mien.faces.detectors import make_detector
from mien.runtime.backend import BackendOptions
from tests.ros.driver import perception
from tests.ros.pictures import demo_frame
from trainer.__main__ import app
from trainer.models.heads import make_head
from trainer.stages.checkpoint import open_network

# Training, export and a node: ten seconds, but torch's exporter alone takes minutes to be read where others work.
pytestmark = pytest.mark.timeout(600)

TOLERANCE = 1e-3
LABELS = ("neutral", "happiness", "anger")
SOURCE = {"real": "csv", "rendered": "wild", "split": {"kind": "holdout", "test": 0.25}}
RECIPE: dict[str, Any] = {
    "name": "chain",
    "title": "From everybody to a person",
    "architecture": "mobilenet_v1_48_w025",
    "sources": {"everybody": SOURCE, "person": SOURCE},
    "every": {"crop": {"kind": "box", "margin": 0.2}, "epochs": 3, "batch_size": 8},
    "stages": {
        "base": {"data": "everybody", "optimiser": {"learning_rate": 0.05}},
        "own": {"from": "base", "data": "person", "unfreeze": "output", "optimiser": {"learning_rate": 0.2}},
    },
    "sizes": {"smoke": {"real": {"seeds": 1}}},
}


def train(folder: Path) -> Path:
    """Run the recipe on 36 pictures of noise, each with a box; returns the folder of its checkpoints."""
    pictures = folder / "data" / "csv"
    pictures.mkdir(parents=True)
    rows = ["picture,expression,x,y,width,height"]
    for number in range(36):
        noise = np.random.default_rng(number).integers(0, 256, (60, 60, 3), np.uint8)
        cv2.imwrite(str(pictures / f"{number}.png"), noise)
        rows.append(f"{number}.png,{LABELS[number % 3]},10,10,40,40")
    (pictures / "faces.csv").write_text("\n".join(rows))
    (folder / "chain.yaml").write_text(yaml.safe_dump(RECIPE))
    words = ["run", folder / "chain.yaml", "--data", folder / "data", "--out", folder / "run"]
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SystemExit):
        patch.setenv("MIEN_CACHE", str(folder / "cache"))
        app([str(word) for word in words])
    return folder / "run" / "seed0"


def torch_probabilities(checkpoint: Path, bundle: Bundle, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the checkpoint's own network says of the largest face; only the detector is the bundle's."""
    network, card = open_network(checkpoint)
    detector = make_detector(bundle, "yunet", 0, 0.0, BackendOptions())
    height, width = image.shape[:2]
    square = crop_square(card.crop, detector.detect(image)[0].box, None, width, height)
    picture = np.empty((1, card.input.depth, card.input.height, card.input.width), np.float32)
    write_crop(image, square, card.input, picture[0])
    with torch.inference_mode():
        return softmax(network(torch.from_numpy(picture)).classes.numpy())[0]


def test_a_recipe_becomes_what_a_robot_says(tmp_path: Path, ros_domain_id: int) -> None:
    checkpoints = train(tmp_path)
    base, own = checkpoints / "base", checkpoints / "own"
    bundle = export_bundle([base], tmp_path / "bundle")
    image = demo_frame()
    by_base, by_own = (torch_probabilities(checkpoint, bundle, image) for checkpoint in (base, own))
    assert np.ptp(by_base) > 10 * TOLERANCE
    assert np.abs(by_base - by_own).max() > 10 * TOLERANCE
    head = tmp_path / "own.safetensors"  # as a bundle of that checkpoint would have it
    tensors = make_head([open_network(own)[0]])[1]
    head.write_bytes(encode_head(tensors, bundle.manifest.backbone.embedding_id, LABELS))

    parameters = {"bundle": str(bundle.path), "detection_interval_frames": 1, "smoothing_time_constant_s": 0.0}
    with perception(tmp_path / "node", ros_domain_id, parameters=parameters) as robot:
        (bundle.path / bundle.manifest.backbone.files["fp32"].path).unlink()  # loaded once, and never again
        answer = robot.read(image)
        assert tuple(answer.labels) == LABELS
        np.testing.assert_allclose(answer.faces[0].probabilities_raw, by_base, atol=TOLERANCE)
        assert robot.set_parameters(head=str(head)).successful
        (face,) = robot.read(image).faces
        np.testing.assert_allclose(face.probabilities_raw, by_own, atol=TOLERANCE)
        assert face.head_version == 1
