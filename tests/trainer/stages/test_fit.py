from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mien.errors import MienError
from tests.trainer.stages.small import LABELS, make_network, make_small_examples, make_stage, train
from trainer.data.batches import Batches
from trainer.evaluate.predictions import MOST_CLASSES
from trainer.models import Network, Outputs, build_network
from trainer.stages.answers import answer
from trainer.stages.fit import make_fabric, predict
from trainer.stages.state import digest

LEARNS = {"epochs": 6, "validation": 31, "optimiser": {"learning_rate": 0.01}}


def answers(network: Network, target: Any, count: int = 31, seed: int = 9) -> Any:
    examples = make_small_examples(network, target, count, seed)
    return predict(network, Batches(examples, 16, is_training=False), make_fabric())


def test_a_network_learns_and_tells_of_every_epoch(tmp_path: Path) -> None:
    network, epochs = train(tmp_path, **LEARNS)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4, 5, 6]
    assert epochs[-1].loss < epochs[0].loss / 2
    assert epochs[-1].training_score > 0.9
    assert all(epoch.pictures == 48 and epoch.seconds > 0 for epoch in epochs)
    curves = EventAccumulator(str(tmp_path / "tensorboard"))
    curves.Reload()
    for name in ("loss", "training_score", "validation_score", "learning_rate"):
        assert [point.step for point in curves.Scalars(name)] == [1, 2, 3, 4, 5, 6]
        assert curves.Scalars(name)[3].value == pytest.approx(getattr(epochs[3], name))
    # The validation score is that of the answers.
    found = answers(network, "expression")
    right = found.probabilities.argmax(axis=1) == found.classes
    assert epochs[-1].validation_score == pytest.approx(right.mean())


def test_a_training_whose_state_is_never_saved_gives_the_same_network(tmp_path: Path) -> None:
    network, _ = train(tmp_path / "saved")
    other, _ = train(tmp_path / "never", save_every_seconds=math.inf)
    assert digest(other) == digest(network)
    assert (tmp_path / "saved/training.safetensors").exists()
    assert not list((tmp_path / "never").glob("*training*"))


def test_answers_come_in_the_order_of_the_pictures(tmp_path: Path) -> None:
    network = make_network(make_stage(target="affect"))
    found = answers(network, "affect", 19)
    assert found.numbers.tolist() == list(range(19))
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-6)
    assert found.probabilities.dtype == found.valence.dtype == found.true_arousal.dtype == np.float32
    np.testing.assert_array_equal(found.true_valence, found.classes - 1)
    assert answers(make_network(make_stage(target="valence")), "valence").probabilities is None


def test_landmarks_are_learned_and_scored_by_their_error(tmp_path: Path) -> None:
    keys = {"target": "landmarks", "loss": "l1", "points": "eyes", "validation": 31, "unknown": 4}
    network, epochs = train(tmp_path, epochs=8, optimiser={"kind": "adam", "learning_rate": 0.01}, **keys)
    assert epochs[-1].pictures == 44  # of four nothing is known
    assert epochs[-1].training_score > epochs[0].training_score / 2
    examples = make_small_examples(network, "landmarks", 31, 9)
    told = answer(network, examples, make_fabric())
    assert told.landmark_predicted is not None
    assert told.landmark_predicted.shape == (31, 12, 2)
    assert epochs[-1].validation_score == pytest.approx(-told.landmark_errors["landmark_error"].mean(), rel=1e-4)


def test_of_many_classes_only_the_top_one_is_kept() -> None:
    people = Outputs(LABELS + tuple(f"n{number}" for number in range(MOST_CLASSES)))
    network = build_network("mini_xception", people, seed=1, image_side=32)
    found = answers(network, "expression", 19)
    assert found.probabilities is None
    assert found.top.dtype == np.int64
    assert found.top_confidence.dtype == np.float32
    network.eval()
    (batch,) = Batches(make_small_examples(network, "expression", 19, 9), 19, is_training=False).epoch(0)
    with torch.inference_mode():
        probabilities = network(batch.images).classes.softmax(dim=1)
    assert found.top.tolist() == probabilities.argmax(dim=1).tolist()
    np.testing.assert_allclose(found.top_confidence, probabilities.max(dim=1).values, rtol=1e-4)


def test_valence_is_scored_by_its_error(tmp_path: Path) -> None:
    network, epochs = train(tmp_path, target="valence", loss="mse", validation=31, optimiser={"learning_rate": 0.001})
    found = answers(network, "valence")
    error = np.sqrt(np.mean((found.valence - found.true_valence) ** 2))
    assert epochs[-1].validation_score == pytest.approx(-error, rel=1e-5)


@pytest.mark.parametrize("augmentation", ["none", "flip"])
def test_the_same_seed_gives_the_same_weights(tmp_path: Path, augmentation: str) -> None:
    options: dict[str, Any] = {"dropout": 0.5, "augmentation": augmentation}
    first, second, other = (
        digest(train(tmp_path / str(number), seed=seed, **options)[0]) for number, seed in enumerate((3, 3, 4))
    )
    assert first == second != other


def test_the_seed_alone_decides_dropout(tmp_path: Path) -> None:
    # One batch of all pictures: order changes nothing but rounding, so what differs is dropout.
    options: dict[str, Any] = {"count": 12, "epochs": 1, "unfreeze": "output"}
    moved = []
    for dropout in (0.0, 0.5):
        weights = [
            train(tmp_path / f"{dropout}{seed}", seed=seed, dropout=dropout, **options)[0].parts["output"].state_dict()
            for seed in (3, 4)
        ]
        moved.append(max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]))
    assert moved[0] < 1e-6 < 1e-4 < moved[1]


def test_only_what_is_unfrozen_moves(tmp_path: Path) -> None:
    stage = make_stage(unfreeze="output")
    before = make_network(stage).state_dict()
    after = train(tmp_path, unfreeze="output", optimiser={"weight_decay": 0.1})[0].state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if name.startswith("parts.output")}


def test_early_stopping_keeps_the_best_weights(tmp_path: Path) -> None:
    network, epochs = train(tmp_path / "early", epochs=30, stop_after=2, validation=31)
    scores = [epoch.validation_score or 0 for epoch in epochs]
    best = scores.index(max(scores))
    assert len(epochs) == best + 3
    shorter, _ = train(tmp_path / "shorter", epochs=best + 1)
    longer, _ = train(tmp_path / "longer", epochs=best + 3)
    assert digest(network) == digest(shorter) != digest(longer)


def test_one_batch_is_enough(tmp_path: Path) -> None:
    _, epochs = train(tmp_path, count=4, batch_size=4, epochs=1)
    assert [epoch.pictures for epoch in epochs] == [4]


def test_bf16_trains(tmp_path: Path) -> None:
    network, epochs = train(tmp_path, precision="bf16", **LEARNS)
    assert epochs[-1].training_score > 0.9
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_16_bits_need_a_gpu() -> None:
    with pytest.raises(MienError, match=r"Precision 16 needs a GPU.*bf16"):
        make_fabric("16")


@pytest.mark.parametrize("change", [{"stop_after": 2}, {"schedule": {"kind": "plateau"}}, {"calibrate": True}])
def test_a_validation_part_is_asked_for(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(MienError, match=r"needs a validation part.*validation share"):
        train(tmp_path / "stage", **change)


def test_a_training_that_diverges_ends_and_leaves_the_last_good_state(tmp_path: Path) -> None:
    folder = tmp_path / "coarse"
    with pytest.raises(MienError, match=r"coarse: .*epoch 1 at step \d, learning rate 1e\+30.*learning_rate of the st"):
        train(folder, optimiser={"learning_rate": 1e30}, save_every_seconds=0)
    for path in folder.glob("*.safetensors"):
        assert b"nan" not in path.read_bytes()[:20_000]
    network = make_network(make_stage())
    torch.nn.init.constant_(network.parts["output"]["classes"].bias, float("nan"))
    with pytest.raises(MienError, match="epoch 1 at step 1, "):
        train(tmp_path / "fine", network=network)
    assert not list((tmp_path / "fine").glob("*.safetensors"))
