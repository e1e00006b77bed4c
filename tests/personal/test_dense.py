"""Forward as the robot's head predicts; gradients against finite differences and torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mien.errors import MienError
from mien.expression.combining import combine
from mien.expression.head import Head
from mien.personal.dense import Dense, Dropout
from mien.personal.learners.loss import loss_and_gradients, loss_of
from tests.personal.heads import EMBEDDING, HEADS, make_base, make_samples

kinds = pytest.mark.parametrize("kind", HEADS)


@kinds
def test_says_what_the_head_says(kind: str) -> None:
    base, samples = make_base(kind), make_samples(make_base(kind), 7)
    dense = Dense(base.spec)
    values = dense.forward(base.tensors, samples.embeddings).values
    prediction = Head(base.spec, base.tensors, len(base.labels), EMBEDDING).predict(samples.embeddings)
    for part in dense.parts:
        if part.output != "classes":
            np.testing.assert_allclose(values[part.last][:, 0], getattr(prediction, part.output), rtol=1e-5, atol=1e-6)
    logits = [values[part.last] for part in dense.parts if part.output == "classes"]
    if logits:
        odds = [np.exp(one) / np.exp(one).sum(axis=1, keepdims=True) for one in logits]
        outputs = base.spec.classes
        assert outputs is not None
        np.testing.assert_allclose(
            combine(outputs.rule, np.stack(odds)), prediction.probabilities, rtol=1e-4, atol=1e-6
        )


@kinds
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_gradients_are_those_of_finite_differences(kind: str, share: float) -> None:
    base, samples = make_base(kind, affect_range=(0.0, 2.0)), make_samples(make_base(kind), 9, gaps=0.2)
    dense = Dense(base.spec)
    tensors = {name: values.astype(np.float64) for name, values in base.tensors.items()}

    def loss() -> float:
        done = dense.forward(tensors, samples.embeddings, Dropout(share, np.random.default_rng(5)))
        return loss_and_gradients(base, dense, done, samples)[0]

    done = dense.forward(tensors, samples.embeddings, Dropout(share, np.random.default_rng(5)))
    found = dense.backward(tensors, done, loss_and_gradients(base, dense, done, samples)[1])
    assert found.keys() == tensors.keys()
    for name, values in tensors.items():
        for place in list(np.ndindex(values.shape))[::3]:
            before, step = values[place], 1e-5
            values[place] = before + step
            above = loss()
            values[place] = before - step
            below = loss()
            values[place] = before
            assert found[name][place] == pytest.approx((above - below) / (2 * step), rel=1e-3, abs=1e-6)


@kinds
def test_gradients_in_the_embeddings_are_those_of_finite_differences(kind: str) -> None:
    base, samples = make_base(kind, affect_range=(0.0, 2.0)), make_samples(make_base(kind), 4)
    dense, step = Dense(base.spec), 1e-5
    tensors = {name: values.astype(np.float64) for name, values in base.tensors.items()}
    embeddings: Any = samples.embeddings.astype(np.float64)
    last = dense.parts[-1].last

    def told(shifted: Any) -> Any:
        return dense.forward(tensors, shifted).values[last][:, 0]

    done = dense.forward(tensors, embeddings)
    wanted = [np.zeros_like(done.values[part.last]) for part in dense.parts]
    wanted[-1][:, 0] = 1
    found = dense.backward_to_embeddings(tensors, done, wanted, EMBEDDING)
    for place, shift in enumerate(step * np.eye(EMBEDDING)):
        change = (told(embeddings + shift) - told(embeddings - shift)) / (2 * step)
        np.testing.assert_allclose(found[:, place], change, rtol=1e-3, atol=1e-6)


@kinds
def test_gradients_are_torchs(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="the robot has none")
    base, samples = make_base(kind), make_samples(make_base(kind), 9)
    dense = Dense(base.spec)
    tensors = {name: torch.tensor(values, requires_grad=True) for name, values in base.tensors.items()}
    weights = torch.tensor(samples.weights) / float(samples.weights.sum())
    values: list[Any] = []
    for layer in dense.layers:
        inputs = (
            values[layer.source] if isinstance(layer.source, int) else torch.tensor(samples.embeddings[:, layer.source])
        )
        result = torch.nn.functional.linear(inputs, tensors[layer.weight], tensors[layer.bias])
        values.append({"linear": lambda x: x, "relu": torch.relu, "tanh": torch.tanh}[layer.activation](result))
    loss = torch.zeros(())
    for part in dense.parts:
        wanted = torch.tensor(getattr(samples, part.output))
        if part.output == "classes":
            each = torch.nn.functional.cross_entropy(values[part.last], wanted, reduction="none")
        else:
            each = torch.nn.functional.mse_loss(values[part.last][:, 0], wanted, reduction="none")
        loss = loss + (weights * each).sum()
    loss.backward()
    done = dense.forward(base.tensors, samples.embeddings)
    ours, gradients = loss_and_gradients(base, dense, done, samples)
    assert ours == pytest.approx(loss.item(), rel=1e-4)
    assert ours == pytest.approx(loss_of(base, base.tensors, samples))
    for name, gradient in dense.backward(base.tensors, done, gradients).items():
        np.testing.assert_allclose(gradient, tensors[name].grad, rtol=1e-3, atol=1e-5)


def test_dropout_mutes_the_embedding_only_below_outputs_of_one_layer_and_keeps_the_mean() -> None:
    base = make_base("parts")
    dense = Dense(base.spec)
    embeddings = np.ones((4000, EMBEDDING), np.float32)
    done = dense.forward(base.tensors, embeddings, Dropout(0.5, np.random.default_rng(0)))
    below = {layer.weight: inputs for layer, inputs in zip(dense.layers, done.inputs, strict=True)}
    np.testing.assert_array_equal(below["e1.weight"], 1)
    assert set(np.unique(below["m.weight"])) == {0, 2}
    np.testing.assert_allclose(below["m.weight"].mean(axis=0), 1, atol=0.1)
    hidden = dense.forward(base.tensors, embeddings).inputs[1][0]
    np.testing.assert_allclose(below["e2.weight"].mean(axis=0), hidden, rtol=0.1)


def test_what_two_outputs_stand_on_is_muted_for_both() -> None:
    base = make_base("shared layers")
    dense = Dense(base.spec)
    done = dense.forward(base.tensors, make_samples(base, 50).embeddings, Dropout(0.5, np.random.default_rng(0)))
    by_weight = {layer.weight: inputs for layer, inputs in zip(dense.layers, done.inputs, strict=True)}
    np.testing.assert_array_equal(by_weight["h2.weight"], by_weight["v.weight"])
    assert (by_weight["c.weight"] == 0).mean() > 0.4


def test_a_last_layer_that_is_shared_or_not_linear_is_nobodys_own() -> None:
    base = make_base("shared layers")
    own = Dense(base.spec)
    assert own.own_last_layer(own.parts[0], "ridge").weight == "c.weight"
    outputs = base.spec
    twice = Dense(type(outputs)(valence=outputs.valence, arousal=outputs.valence))
    with pytest.raises(MienError, match="shared"):
        twice.own_last_layer(twice.parts[0], "ridge")
