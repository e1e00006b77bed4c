"""Dense heads: every combine rule against its formula, and heads that do not fit."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mien.errors import MienError
from mien.expression.combining import combine
from mien.expression.head import Head, HeadSpec, softmax

FINITE = st.floats(-1e4, 1e4, width=32)


def spec(rule: str, parts: list[tuple[int, int, list[str]]], **outputs: Any) -> HeadSpec:
    """A spec whose layers' activations are given; tensors are named <part>.<layer>.weight and .bias."""

    def part(name: str, start: int, stop: int, activations: list[str]) -> dict[str, Any]:
        layers = [
            {"weight": f"{name}.{i}.weight", "bias": f"{name}.{i}.bias", "activation": activation}
            for i, activation in enumerate(activations)
        ]
        return {"name": name, "start": start, "stop": stop, "layers": layers}

    classes = {"combine": rule, "parts": [part(f"p{i}", *one) for i, one in enumerate(parts)]}
    return msgspec.convert({"classes": classes, **outputs}, HeadSpec)


@given(arrays(np.float32, (3, 5), elements=FINITE))
def test_softmax_is_a_distribution_whatever_the_logits(logits: np.ndarray) -> None:
    probabilities = softmax(logits)
    assert np.all(probabilities >= 0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    rows = np.arange(3)
    np.testing.assert_array_equal(probabilities[rows, logits.argmax(axis=1)], probabilities.max(axis=1))


def test_layers_and_activations_follow_their_formula() -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "p0.0.weight": rng.normal(size=(6, 4)).astype(np.float32),
        "p0.0.bias": rng.normal(size=6).astype(np.float32),
        "p0.1.weight": rng.normal(size=(3, 6)).astype(np.float32),
        "p0.1.bias": rng.normal(size=3).astype(np.float32),
    }
    embeddings = rng.normal(size=(5, 10)).astype(np.float32)
    head = Head(spec("softmax", [(2, 6, ["relu", "linear"])]), tensors, 3, 10)
    hidden = np.maximum(embeddings[:, 2:6] @ tensors["p0.0.weight"].T + tensors["p0.0.bias"], 0)
    logits = hidden @ tensors["p0.1.weight"].T + tensors["p0.1.bias"]
    prediction = head.predict(embeddings)
    np.testing.assert_allclose(prediction.probabilities, softmax(logits), rtol=1e-4, atol=1e-6)
    assert prediction.valence is None
    assert prediction.part_confidences.shape == (5, 0)


def test_parts_are_averaged_and_keep_their_own_confidence() -> None:
    tensors = {}
    for i in range(5):
        tensors[f"p{i}.0.weight"] = np.eye(3, 2, dtype=np.float32) * (i + 1)
        tensors[f"p{i}.0.bias"] = np.zeros(3, np.float32)
    head = Head(spec("mean_of_softmax", [(2 * i, 2 * i + 2, ["linear"]) for i in range(5)]), tensors, 3, 10)
    embeddings = np.ones((2, 10), np.float32)
    each = [softmax(np.array([[i + 1, i + 1, 0]], np.float32)) for i in range(5)]
    prediction = head.predict(embeddings)
    np.testing.assert_allclose(prediction.probabilities[0], np.mean(each, axis=0)[0], rtol=1e-5)
    np.testing.assert_allclose(prediction.part_confidences[1], [one.max() for one in each], rtol=1e-5)
    assert head.part_names == ("p0", "p1", "p2", "p3", "p4")


def test_parts_that_others_bear_out_count_more_where_they_are_weighted_by_their_reliability() -> None:
    tensors = {}
    borne_out, alone = [[2, 0], [0, 2], [0, 0]], [[0, 0], [0, 0], [5, 5]]
    for name, rows in (("p0", borne_out), ("p1", borne_out), ("p2", alone)):
        tensors |= {f"{name}.0.weight": np.array(rows, np.float32), f"{name}.0.bias": np.zeros(3, np.float32)}
    parts = [(0, 2, ["linear"])] * 3
    embeddings = np.array([[1, 0], [0, 1], [1, 0.9]], np.float32)
    mean, weighted = (
        Head(spec(rule, parts), tensors, 3, 2).predict(embeddings)
        for rule in ("mean_of_softmax", "reliability_of_softmax")
    )
    np.testing.assert_array_equal(weighted.part_confidences, mean.part_confidences)
    np.testing.assert_allclose(weighted.probabilities.sum(axis=1), 1, rtol=1e-5)
    each = np.stack([softmax(embeddings @ tensors[f"{name}.0.weight"].T) for name in ("p0", "p1", "p2")])
    np.testing.assert_allclose(weighted.probabilities, combine("reliability", each), rtol=1e-5)
    assert weighted.probabilities[0, 0] > mean.probabilities[0, 0] + 0.05
    assert weighted.probabilities[1, 1] > mean.probabilities[1, 1] + 0.05


def test_valence_and_arousal_are_outputs_of_their_own() -> None:
    linear = {
        "combine": "linear",
        "parts": [
            {
                "name": "twin",
                "start": 0,
                "stop": 2,
                "layers": [{"weight": "va.weight", "bias": "va.bias", "activation": "tanh"}],
            }
        ],
    }
    tensors = {
        "p0.0.weight": np.zeros((3, 2), np.float32),
        "p0.0.bias": np.zeros(3, np.float32),
        "va.weight": np.array([[1, 1]], np.float32),
        "va.bias": np.array([0.5], np.float32),
    }
    head = Head(spec("softmax", [(0, 2, ["linear"])], valence=linear, arousal=linear), tensors, 3, 2)
    valence = head.predict(np.array([[0.1, 0.2]], np.float32)).valence
    assert valence is not None
    np.testing.assert_allclose(valence, np.tanh([0.8]), rtol=1e-6)


def one_layer(name: str, start: int, stop: int) -> dict[str, Any]:
    layer = {"weight": f"{name}.weight", "bias": f"{name}.bias"}
    return {"combine": "linear", "parts": [{"name": name, "start": start, "stop": stop, "layers": [layer]}]}


def test_twins_without_classes_stand_on_their_slices() -> None:
    twins = msgspec.convert({"valence": one_layer("v", 0, 3), "arousal": one_layer("a", 3, 5)}, HeadSpec)
    tensors = {"v.weight": np.ones((1, 3)), "v.bias": np.ones(1), "a.weight": np.full((1, 2), 0.5), "a.bias": [-1.0]}
    head = Head(twins, {name: np.asarray(value, np.float32) for name, value in tensors.items()}, 0, 5)
    prediction = head.predict(np.arange(10, dtype=np.float32).reshape(2, 5))
    assert prediction.probabilities.shape == prediction.part_confidences.shape == (2, 0)
    assert prediction.valence is not None
    assert prediction.arousal is not None
    assert (prediction.valence.tolist(), prediction.arousal.tolist()) == ([4.0, 19.0], [2.5, 7.5])
    assert head.part_names == ()


def test_outputs_share_hidden_layers_and_differ_where_their_own_begin() -> None:
    rng = np.random.default_rng(1)
    sizes = {"h0": (8, 6), "h1": (5, 8), "classes": (3, 5), "valence": (1, 5), "arousal": (1, 8)}
    tensors = {f"{name}.weight": rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    tensors |= {f"{name}.bias": rng.normal(size=size[0]).astype(np.float32) for name, size in sizes.items()}

    def output(rule: str, *names: str) -> dict[str, Any]:
        layers = [
            {"weight": f"{name}.weight", "bias": f"{name}.bias", "activation": "relu" if name[0] == "h" else "linear"}
            for name in names
        ]
        return {"combine": rule, "parts": [{"name": "face", "start": 0, "stop": 6, "layers": layers}]}

    outputs = {
        "classes": output("softmax", "h0", "h1", "classes"),
        "valence": output("linear", "h0", "h1", "valence"),
        "arousal": output("linear", "h0", "arousal"),
    }
    embeddings = rng.normal(size=(4, 6)).astype(np.float32)
    prediction = Head(msgspec.convert(outputs, HeadSpec), tensors, 3, 6).predict(embeddings)

    def dense(values: np.ndarray, name: str) -> np.ndarray:
        return values @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    first = np.maximum(dense(embeddings, "h0"), 0)
    second = np.maximum(dense(first, "h1"), 0)
    np.testing.assert_allclose(prediction.probabilities, softmax(dense(second, "classes")), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(prediction.valence, dense(second, "valence")[:, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(prediction.arousal, dense(first, "arousal")[:, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("outputs", "classes", "word"),
    [
        ({}, 0, "no outputs"),
        ({}, 3, "no output for classes, the bundle has 3 labels"),
        ({"valence": one_layer("v", 0, 3)}, 2, "no output for classes, the bundle has 2 labels"),
        ({"classes": one_layer("v", 0, 3) | {"combine": "softmax"}}, 0, "the bundle has 0 labels"),
        ({"valence": one_layer("v", 0, 3) | {"combine": "softmax"}}, 0, "must be linear"),
    ],
)
def test_a_head_whose_outputs_contradict_the_labels_is_refused(outputs: Any, classes: int, word: str) -> None:
    tensors = {"v.weight": np.ones((1, 3), np.float32), "v.bias": np.ones(1, np.float32)}
    with pytest.raises(MienError, match=word):
        Head(msgspec.convert(outputs, HeadSpec), tensors, classes, 3)


@pytest.mark.parametrize(
    ("rule", "parts", "word"),
    [
        ("softmax", [(0, 2, ["linear"]), (2, 4, ["linear"])], "cannot take 2 parts"),
        ("linear", [(0, 2, ["linear"])], "gives no probabilities"),
        ("softmax", [(0, 9, ["linear"])], "does not fit an embedding of 4"),
        ("softmax", [(3, 3, ["linear"])], "does not fit"),
        ("softmax", [(0, 2, [])], "no layers"),
        ("softmax", [(0, 3, ["linear"])], "do not take 3 inputs"),
        ("softmax", [(0, 2, ["linear", "linear"])], "p0.1.weight is not in the head file"),
    ],
)
def test_a_head_that_does_not_fit_says_where(rule: str, parts: list[Any], word: str) -> None:
    tensors = {"p0.0.weight": np.zeros((3, 2), np.float32), "p0.0.bias": np.zeros(3, np.float32)}
    tensors |= {"p1.0.weight": np.zeros((3, 2), np.float32), "p1.0.bias": np.zeros(3, np.float32)}
    with pytest.raises(MienError) as caught:
        Head(spec(rule, parts), tensors, 3, 4)
    assert word in str(caught.value)
