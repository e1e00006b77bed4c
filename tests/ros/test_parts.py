"""Five networks, one for each part of the face, in a real node: what each says, and what a person's label changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ros.driver import perception
from tests.ros.people import STEADY, TWO_FACES, People, left_to_right
from tests.ros.pictures import demo_frame

# Ten seconds, but torch's exporter alone takes minutes to be read where others work.
pytestmark = pytest.mark.timeout(600)

PARTS = ("eyebrows", "eyes", "nose", "mouth", "jaw")
SIDE_PX = 48


def checkpoints(folder: Path) -> list[Path]:
    """Five small networks that have learned nothing; their cards say which part each located."""
    from tests.export.checkpoints import LABELS, save_network, settled_network
    from tests.export.test_parts import learned
    from trainer.models import Outputs
    from trainer.stages.checkpoint import load_card

    places = []
    for seed, part in enumerate(PARTS):
        network = settled_network("parts_subnet_48", Outputs(LABELS), seed, SIDE_PX)
        steps = load_card(save_network(folder / "any", network)).lineage
        places.append(save_network(folder / part, network, lineage=(learned(part), *steps)))
    return places


def raw(face: Any) -> np.ndarray:
    return np.array(face.probabilities_raw)


def test_each_part_speaks_and_a_label_changes_that_persons_answers(tmp_path: Path, ros_domain_id: int) -> None:
    pytest.importorskip("torch")
    from export.bundle import export_bundle
    from tests.ros.test_chain import torch_probabilities

    places = checkpoints(tmp_path)
    bundle = export_bundle(places, tmp_path / "bundle")
    each = np.stack([torch_probabilities(place, bundle, demo_frame()) for place in places])
    parameters = {"bundle": str(bundle.path), "people_folder": str(tmp_path / "people"), "identity": "off", **STEADY}
    with perception(tmp_path / "node", ros_domain_id, parameters=parameters) as robot:
        people = People(robot)
        (face,) = robot.read(demo_frame()).faces
        assert tuple(face.part_names) == PARTS
        np.testing.assert_allclose(face.part_confidences, each.max(axis=1), atol=1e-3)
        np.testing.assert_allclose(raw(face), each.mean(axis=0), atol=1e-3)

        before = left_to_right(robot, TWO_FACES)
        assert people.enroll("anna", before[0].face_id).success
        left_to_right(robot, TWO_FACES)
        wanted = int(raw(before[0]).argmin())
        label = robot.emotions.messages[-1].labels[wanted]
        for version in (1, 2):
            response = people.label(label, person="anna")
            assert (response.success, response.samples) == (True, version), response.message
            anna, other = left_to_right(robot, TWO_FACES)
        assert (anna.person_id, anna.head_version, anna.head_is_personal) == ("anna", 2, True)
        assert raw(anna)[wanted] > raw(before[0])[wanted] + 0.1
        assert tuple(anna.part_names) == PARTS
        assert (np.abs(np.subtract(anna.part_confidences, before[0].part_confidences)) > 1e-3).all()
        assert (other.person_id, other.head_version) == ("", 0)
        np.testing.assert_allclose(raw(other), raw(before[1]), atol=1e-4)
        np.testing.assert_allclose(other.part_confidences, before[1].part_confidences, atol=1e-4)
