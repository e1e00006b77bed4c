"""Gradient descent against torch's, and its progress, resuming and cancelling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mien.personal.learners import say_nothing
from mien.personal.learners.loss import loss_of
from mien.personal.learners.sgd import Sgd
from mien.personal.samples import Cancelled
from tests.personal.heads import HEADS, make_base, make_samples


def test_steps_are_torchs_with_nesterov_momentum() -> None:
    torch = pytest.importorskip("torch", reason="the robot has none")
    base = make_base("twins")
    samples = replace(make_samples(base, 12), weights=np.ones(12, np.float32))
    found = Sgd(epochs=20, learning_rate=0.05, batch_size=12).fit(base, samples, None, 0, say_nothing)
    names = {"v": "valence", "a": "arousal"}
    for letter, output in names.items():
        kinds = [torch.nn.ReLU(), torch.nn.ReLU() if letter == "v" else torch.nn.Tanh(), torch.nn.Identity()]
        layers = [torch.nn.Linear(*base.tensors[f"{letter}{one}.weight"].shape[::-1]) for one in (1, 2, 3)]
        for number, layer in enumerate(layers, 1):
            layer.load_state_dict(
                {one: torch.tensor(base.tensors[f"{letter}{number}.{one}"]) for one in ("weight", "bias")}
            )
        network = torch.nn.Sequential(*[one for pair in zip(layers, kinds, strict=True) for one in pair])
        optimiser = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9, nesterov=True)
        inputs = torch.tensor(samples.embeddings[:, :5] if letter == "v" else samples.embeddings[:, 5:])
        for _ in range(20):
            optimiser.zero_grad()
            torch.nn.functional.mse_loss(network(inputs)[:, 0], torch.tensor(getattr(samples, output))).backward()
            optimiser.step()
        for number, layer in enumerate(layers, 1):
            weight = layer.weight.detach().numpy()
            np.testing.assert_allclose(found[f"{letter}{number}.weight"], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_lowers_the_loss_of_every_kind_of_head(kind: str, dropout: float) -> None:
    base, samples = make_base(kind), make_samples(make_base(kind), 40, gaps=0.2)
    found = Sgd(learning_rate=0.02, dropout=dropout).fit(base, samples, None, 0, say_nothing)
    assert loss_of(base, found, samples) < 0.9 * loss_of(base, base.tensors, samples)


def test_goes_on_from_the_last_version() -> None:
    base, samples = make_base("shared layers"), make_samples(make_base("shared layers"), 40)
    sgd = Sgd(learning_rate=0.02)
    first = sgd.fit(base, samples, None, 30, say_nothing)
    second = sgd.fit(base, samples, first, 30, say_nothing)
    assert loss_of(base, second, samples) < loss_of(base, first, samples) < loss_of(base, base.tensors, samples)
    again = sgd.fit(base, samples, first, 30, say_nothing)
    assert all((second[name] == again[name]).all() for name in again)


def test_tells_every_step_and_stops_when_it_is_told_to() -> None:
    base, samples = make_base("parts"), make_samples(make_base("parts"), 40)
    told: list[tuple[int, int]] = []
    Sgd(epochs=2).fit(base, samples, None, 0, lambda step, steps, loss: told.append((step, steps)))
    assert told == [(step, 6) for step in range(1, 7)]

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        Sgd().fit(base, samples, None, 0, stop)


def test_can_leave_the_layers_below_alone() -> None:
    base, samples = make_base("shared layers"), make_samples(make_base("shared layers"), 40)
    found = Sgd(last_layer_only=True).fit(base, samples, None, 0, say_nothing)
    moved = {name for name, values in found.items() if (values != base.tensors[name]).any()}
    assert moved == {f"{layer}.{one}" for layer in "cva" for one in ("weight", "bias")}


def test_without_samples_it_is_the_start() -> None:
    base = make_base("parts")
    found = Sgd().fit(base, make_samples(base, 0), None, 5, say_nothing)
    assert all((found[name] == base.tensors[name]).all() for name in found)
