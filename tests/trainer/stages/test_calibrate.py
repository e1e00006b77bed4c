"""Temperatures: the likeliest one is found, and becomes part of the last layer."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mien.errors import MienError
from tests.trainer.stages.small import make_network, make_small_examples, make_stage
from trainer.data.batches import Batches
from trainer.stages.calibrate import LARGEST, calibrate, likeliest_temperature
from trainer.stages.fit import make_fabric


def unlikelihood(logits: torch.Tensor, classes: torch.Tensor) -> float:
    return functional.cross_entropy(logits, classes).item()


@given(st.integers(0, 99), st.floats(0.2, 5))
@settings(deadline=None)
def test_no_other_temperature_is_likelier(seed: int, factor: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(60, 4, dtype=torch.float64, generator=generator)
    classes = torch.multinomial((logits / factor).softmax(1), 1, generator=generator)[:, 0]
    found = likeliest_temperature(logits, classes)
    assume(found != 1)  # no mistake
    least = unlikelihood(logits / found, classes)
    for other in (found * 1.01, found / 1.01):
        if 1 / LARGEST < other < LARGEST:
            assert unlikelihood(logits / other, classes) >= least
    assert 1 / LARGEST <= found <= LARGEST * (1 + 1e-9)


def test_a_temperature_by_hand() -> None:
    """Three of four are right: the gap of two logits is to be ln 3."""
    logits = torch.tensor([[6.0, 0.0]] * 4, dtype=torch.float64)
    found = likeliest_temperature(logits, torch.tensor([0, 0, 0, 1]))
    assert found == pytest.approx(6 / math.log(3))
    assert likeliest_temperature(logits, torch.tensor([0, 0, 0, 0])) == 1, "no mistake says nothing of it"
    with pytest.raises(MienError, match="No picture of the validation part has a class"):
        likeliest_temperature(logits[:0], torch.tensor([], dtype=torch.int64))


def test_it_becomes_part_of_the_last_layer_and_changes_no_answer() -> None:
    network = make_network(make_stage())
    with torch.no_grad():
        network.parts["output"]["classes"].weight.mul_(40)
    examples = make_small_examples(network, "expression", 31, unknown=3)
    batches = Batches(examples, 16, is_training=False)
    (whole,) = Batches(examples, 31, is_training=False).epoch(0)
    known = whole.classes >= 0
    with torch.no_grad():
        before = network.eval()(whole.images).classes[known]
        temperature = calibrate(network, batches, make_fabric())
        after = network.eval()(whole.images).classes[known]
    assert temperature > 1.5
    torch.testing.assert_close(after * temperature, before, rtol=1e-4, atol=1e-4)
    assert torch.equal(after.argmax(1), before.argmax(1))
    assert unlikelihood(after, whole.classes[known]) < unlikelihood(before, whole.classes[known])
