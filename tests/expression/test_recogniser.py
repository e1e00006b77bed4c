"""The recogniser on small networks: what it computes, and networks that do not fit their manifest."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mien.bundle import open_bundle
from mien.errors import MienError
from mien.expression.recogniser import FaceInImage, HeadInUse, Recogniser, Recognition
from mien.faces.detector import Box
from mien.runtime.backend import BackendOptions
from tests.conftest import write_bundle


def network(batch: Any = "n", inputs: int = 1, kind: int = TensorProto.FLOAT, scale: float = 1.0) -> onnx.ModelProto:
    """(batch, 1, 8, 8) → embedding (batch, 4): the quadrants' means times a scale."""
    names = ["image", "second"][:inputs]
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["pixels"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Mul", ["flat", "scale"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "quadrants",
        [helper.make_tensor_value_info(name, kind, [batch, 1, 8, 8]) for name in names],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, 4])],
        [numpy_helper.from_array(np.array([scale], np.float32), "scale")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture
def recogniser_of(make_bundle: Any) -> Any:
    """Make the small bundle's recogniser with another backbone: `recogniser_of(model)`."""

    def make(model: onnx.ModelProto) -> Recogniser:
        data = model.SerializeToString()
        folder: Path = make_bundle({"backbone.files.fp32.sha256": hashlib.sha256(data).hexdigest()})
        (folder / "backbone.fp32.onnx").write_bytes(data)
        return Recogniser(open_bundle(folder), BackendOptions())

    return make


def test_faces_of_several_images_share_a_batch(recogniser_of: Any) -> None:
    bright_left = np.zeros((80, 80), np.uint8)
    bright_left[:40, :40] = 255  # the first quadrant, which the head calls anger
    bright_right = bright_left[:, ::-1].copy()  # the second: happiness
    recogniser = recogniser_of(network(scale=8.0))
    box = Box(0, 0, 80, 80)
    batch = recogniser.prepare([FaceInImage(bright_left, box), FaceInImage(bright_right, box)])
    recognition = recogniser.classify(batch)
    assert recognition.probabilities.argmax(axis=1).tolist() == [0, 1]
    assert recognition.valence[0] < 0 < recognition.valence[1]
    assert recognition.embeddings.shape == (2, 4)


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (network(batch=1), "batches of 1"),
        (network(inputs=2), "second"),
        (network(kind=TensorProto.FLOAT16), "float16"),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused(recogniser_of: Any, model: onnx.ModelProto, word: str) -> None:
    with pytest.raises(MienError, match=word):
        recogniser_of(model)


def test_numbers_that_are_not_finite_are_never_published(recogniser_of: Any) -> None:
    recogniser = recogniser_of(network(scale=float("inf")))
    with pytest.raises(MienError, match="not finite"):
        recogniser.classify(recogniser.prepare([FaceInImage(np.zeros((9, 9), np.uint8), Box(0, 0, 9, 9))]))


def test_weights_outside_the_checked_file_are_refused(
    recogniser_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network()
    monkeypatch.chdir(tmp_path)
    onnx.save(model, "model.onnx", save_as_external_data=True, location="secret.bin", size_threshold=0)
    stored = onnx.load("model.onnx", load_external_data=False)
    assert (tmp_path / "secret.bin").exists()
    with pytest.raises(MienError, match="no checksum covers"):
        recogniser_of(stored)


def head_file(path: Path, scale: float = 1.0, **changes: Any) -> Path:
    """A head for the small bundle that calls the first quadrant happiness and the second anger."""
    weight = np.eye(3, 4, dtype=np.float32)[[1, 0, 2]] * np.float32(scale)
    tensors = {"classes.0.weight": weight, "classes.0.bias": np.zeros(3, np.float32)} | changes
    path.write_bytes(safetensors.numpy.save(tensors))
    return path


@pytest.fixture
def bright_corner() -> FaceInImage:
    """A face that is bright in the first quadrant."""
    image = np.zeros((80, 80), np.uint8)
    image[:40, :40] = 255
    return FaceInImage(image, Box(0, 0, 80, 80))


def test_a_head_is_exchanged_while_the_backbone_stays(
    small_bundle: Path, tmp_path: Path, bright_corner: FaceInImage
) -> None:
    recogniser = Recogniser(open_bundle(small_bundle), BackendOptions())
    batch = recogniser.prepare([bright_corner])
    own = recogniser.classify(batch)
    (small_bundle / "backbone.fp32.onnx").unlink()  # nobody reads it again
    recogniser.exchange_head(head_file(tmp_path / "first"))
    first = recogniser.classify(batch)
    np.testing.assert_allclose(first.probabilities, own.probabilities[:, [1, 0, 2]], rtol=1e-6)
    recogniser.exchange_head(head_file(tmp_path / "second", scale=5.0))
    second = recogniser.classify(batch)
    assert second.probabilities[0, 1] > first.probabilities[0, 1] > 0.5
    recogniser.exchange_head(None)
    again = recogniser.classify(batch)
    np.testing.assert_array_equal(again.probabilities, own.probabilities)
    np.testing.assert_array_equal(second.embeddings, own.embeddings)
    assert [one.heads[0].version for one in (own, first, second, again)] == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.unlink(), ["no such file"]),
        (lambda path: (path.unlink(), path.mkdir()), ["no such file"]),
        (lambda path: path.write_bytes(b"no head"), ["safetensors"]),
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), ["safetensors"]),
        (lambda path: os.truncate(path, 1 << 31), ["larger than"]),
        (lambda path: path.write_bytes(safetensors.numpy.save({"other": np.zeros(1)})), ["classes.0.weight is not in"]),
        (lambda path: head_file(path, **{"classes.0.weight": np.zeros((4, 4), "f4")}), ["classes.0.bias", "4 inputs"]),
        (lambda path: head_file(path, **{"classes.0.weight": np.zeros((3, 5), "f4")}), ["(3, 5)", "4 inputs"]),
        (lambda path: head_file(path, scale=float("nan")), ["classes.0.weight", "not finite"]),
        (lambda path: head_file(path, **{"classes.0.bias": np.zeros(3, np.int8)}), ["int8"]),
    ],
)
def test_a_bad_head_is_refused_and_the_present_one_goes_on(
    small_bundle: Path, tmp_path: Path, bright_corner: FaceInImage, change: Any, words: list[str]
) -> None:
    recogniser = Recogniser(open_bundle(small_bundle), BackendOptions())
    batch = recogniser.prepare([bright_corner])
    recogniser.exchange_head(head_file(tmp_path / "good"))
    before = recogniser.classify(batch)
    bad = head_file(tmp_path / "bad")
    change(bad)
    with pytest.raises(MienError) as caught:
        recogniser.exchange_head(bad)
    assert all(word in str(caught.value) for word in (str(bad), *words)), caught.value
    after = recogniser.classify(batch)
    assert after.heads[0].version == before.heads[0].version == 1
    np.testing.assert_array_equal(after.probabilities, before.probabilities)


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_a_head_whose_numbers_overflow_is_never_published(
    recogniser_of: Any, tmp_path: Path, bright_corner: FaceInImage
) -> None:
    recogniser = recogniser_of(network(scale=8.0))
    recogniser.exchange_head(head_file(tmp_path / "huge", scale=3e38))
    with pytest.raises(MienError, match="head gives numbers that are not finite"):
        recogniser.classify(recogniser.prepare([bright_corner]))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recogniser, tuple[HeadInUse, ...]]:
    """A recogniser, and nobody, somebody without a head, and three with heads of their own or their group's."""
    folder = tmp_path_factory.mktemp("people")
    bundle = open_bundle(write_bundle(folder / "bundle"))
    heads = [bundle.load_head(head_file(folder / str(scale), scale)) for scale in (2.0, -3.0)]
    return Recogniser(bundle, BackendOptions()), (
        HeadInUse(),
        HeadInUse(person_id="p1"),
        HeadInUse(heads[0], 4, "p2", is_personal=True),
        HeadInUse(heads[1], 7, "p3", is_personal=True),
        HeadInUse(heads[1], 7, "p4"),
    )


def said(recognition: Recognition, row: int) -> tuple[Any, ...]:
    """What it says of one face."""
    one = recognition.heads[row]
    numbers = [*recognition.probabilities[row], recognition.valence[row], recognition.arousal[row]]
    return [float(number) for number in numbers], one.version, one.person_id, one.is_personal


@given(choice=st.lists(st.integers(0, 4), min_size=1, max_size=9), seed=st.integers(0, 99))
def test_every_face_is_read_by_its_own_head(
    people: tuple[Recogniser, tuple[HeadInUse, ...]], choice: list[int], seed: int
) -> None:
    recogniser, heads = people
    batch = np.random.default_rng(seed).random((len(choice), 1, 8, 8), np.float32)
    together = recogniser.classify(batch, [heads[number] for number in choice])
    for row, number in enumerate(choice):
        numbers, *rest = said(together, row)
        alone, *expected = said(recogniser.classify(batch[row : row + 1], [heads[number]]), 0)
        np.testing.assert_allclose(numbers, alone, atol=1e-5)
        assert rest == expected == [heads[number].version, heads[number].person_id, heads[number].is_personal]
        assert together.heads[row].head is (heads[number].head or recogniser.head)


def test_who_has_no_head_follows_the_base_head(people: Any, tmp_path: Path, bright_corner: FaceInImage) -> None:
    recogniser, (_, somebody, personal, *_) = people
    batch = recogniser.prepare([bright_corner] * 2)
    before = recogniser.classify(batch, [somebody, personal])
    recogniser.exchange_head(head_file(tmp_path / "other", scale=9.0))
    after = recogniser.classify(batch, [somebody, personal])
    recogniser.exchange_head(None)
    assert [one.version for one in before.heads] == [0, 4]
    assert [one.version for one in after.heads] == [1, 4]
    assert np.abs(after.probabilities - before.probabilities).max(axis=1)[0] > 0.1
    np.testing.assert_array_equal(after.probabilities[1], before.probabilities[1])


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_where_a_personal_head_fails_the_base_head_answers(
    recogniser_of: Any, tmp_path: Path, bright_corner: FaceInImage
) -> None:
    recogniser = recogniser_of(network(scale=8.0))
    failing = open_bundle(tmp_path / "bundle").load_head(head_file(tmp_path / "huge", scale=3e38))
    good = open_bundle(tmp_path / "bundle").load_head(head_file(tmp_path / "good", scale=2.0))
    heads = [HeadInUse(good, 3, "p1", True), HeadInUse(failing, 5, "p2", True), HeadInUse(failing, 5, "p3")]
    batch = recogniser.prepare([bright_corner] * 3)
    told, base = recogniser.classify(batch, heads), recogniser.classify(batch)
    assert [(one.version, one.person_id, one.is_personal) for one in told.heads] == [
        (3, "p1", True),
        (0, "p2", False),
        (0, "p3", False),
    ]
    np.testing.assert_allclose(told.probabilities[1:], base.probabilities[1:], atol=1e-6)
    assert np.isfinite(told.probabilities).all()


def test_valence_and_arousal_of_a_head_without_classes_come_in_their_range(affect_bundle: Path) -> None:
    recogniser = Recogniser(open_bundle(affect_bundle), BackendOptions())
    faces = [FaceInImage(np.full((64, 64), grey, np.uint8), Box(0, 0, 64, 64)) for grey in (20, 200)]
    recognition = recogniser.classify(recogniser.prepare(faces))
    assert recognition.probabilities.shape == (2, 0)
    told = recogniser.head.predict(recognition.embeddings)
    np.testing.assert_array_equal(recognition.valence, told.valence)
    np.testing.assert_array_equal(recognition.arousal, told.arousal)
    assert np.abs(recognition.valence).max() > 0
