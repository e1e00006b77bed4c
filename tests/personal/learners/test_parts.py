"""Heads of five parts with three layers each, as paper 004's: every part learns a person, by itself."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors.numpy

from mien.expression.head import HeadSpec
from mien.personal.gate import score
from mien.personal.learners import LEARNERS, say_nothing
from mien.personal.messages import AddLabel, Labelled, Personalise
from mien.personal.samples import BaseHead, Tensors
from mien.personal.statistics import measure_statistics
from tests.personal.heads import FACE_PARTS, LABELS, World, output, part
from tests.personal.small_people import enrolment, open_people, says

SIZE = 12
"""Numbers of the embedding that a part sees."""


class Parts(World):
    """The small world, whose embedding is divided among five parts; two hidden layers hand its numbers on."""

    def __init__(self) -> None:
        super().__init__()
        parts, tensors = [], {}
        for place, name in enumerate(FACE_PARTS):
            own = slice(SIZE * place, SIZE * (place + 1))
            weight = self.base.tensors["c.weight"][:, own]
            means = self.means[:, own]
            bias = -0.5 * ((means**2).sum(axis=1) - (means**2).sum(axis=1).mean())
            identity = np.eye(2 * SIZE, dtype=np.float32)
            tensors |= layer(f"{name}1", np.vstack([identity[:SIZE, :SIZE], -identity[:SIZE, :SIZE]]))  # x and -x
            tensors |= layer(f"{name}2", identity)
            tensors |= layer(name, np.hstack([weight, -weight]), bias)
            layers = (f"{name}1", "relu"), (f"{name}2", "relu"), (name, "linear")
            parts.append(part(name, own.start, own.stop, *layers))
        spec = msgspec.convert({"classes": output("reliability_of_softmax", *parts)}, HeadSpec)
        bare = BaseHead(spec, tensors, LABELS, 60, None)
        faces = self.mixed(self.means, 2000)
        statistics = measure_statistics(bare, faces.embeddings, faces.classes)
        self.base = BaseHead(spec, {**tensors, **statistics}, LABELS, 60, None)


def layer(name: str, weight: np.ndarray, bias: np.ndarray | None = None) -> dict[str, np.ndarray]:
    bias = np.zeros(len(weight)) if bias is None else bias
    return {f"{name}.weight": np.asarray(weight, np.float32), f"{name}.bias": np.asarray(bias, np.float32)}


def alone(base: BaseHead, place: int) -> BaseHead:
    """The head of one part."""
    classes = base.spec.classes
    assert classes is not None
    only = msgspec.structs.replace(classes, combine="softmax", parts=classes.parts[place : place + 1])
    return BaseHead(HeadSpec(classes=only), base.tensors, LABELS, 60, None)


@pytest.mark.parametrize("name", LEARNERS)
def test_every_part_learns_a_person(name: str) -> None:
    world = Parts()
    gains, of_parts = [], []
    for _ in range(6):
        person = world.person(0.5, looks=0.7) if name == "recentre" else world.person(0.7)
        tested, samples = world.mixed(person, 300), world.mixed(person, 64)
        found: Tensors = LEARNERS[name].fit(world.base, samples, None, 0, say_nothing)
        assert not any(tensor.startswith("statistics") for tensor in found)
        gains.append(score(world.base, found, tested) - score(world.base, world.base.tensors, tested))
        each = [alone(world.base, place) for place, _ in enumerate(FACE_PARTS)]
        of_parts.append([score(one, found, tested) - score(one, one.tensors, tested) for one in each])
    assert np.mean(gains) > 0.005
    assert (np.mean(of_parts, axis=0) > 0.005).all()


def test_people_learn_with_such_a_head_and_can_go_back(tmp_path: Path) -> None:
    world = Parts()
    people = open_people(tmp_path / "people", world.base)
    people.enroll(enrolment("anna"))
    samples = world.mixed(world.person(1.0), 24)
    for seed, (embedding, shares) in enumerate(zip(samples.embeddings, samples.classes, strict=True)):
        told = AddLabel("anna", "", f"m{seed}", 4.0 * seed, embedding.tobytes(), says(LABELS[int(shares.argmax())]))
        (labelled,) = people.add_labels([told])
        assert isinstance(labelled, Labelled)
        assert labelled.samples == seed + 1
    newest = people.heads()[0]
    assert newest.version > 1
    tensors = safetensors.numpy.load(newest.data)
    assert {name.partition(".")[0] for name in tensors} == {
        name for part_name in FACE_PARTS for name in (f"{part_name}1", f"{part_name}2", part_name)
    }
    assert all((tensors[f"{name}.weight"] != world.base.tensors[f"{name}.weight"]).any() for name in FACE_PARTS)
    outcome = people.personalise(Personalise("anna", "prototypes", 0), lambda progress: None, lambda: False)
    assert np.isfinite(outcome.score_after)
    assert people.rollback("anna", newest.version) == newest
    assert people.rollback("anna", 0).version == 0
    assert people.heads() == ()
    people.close()
