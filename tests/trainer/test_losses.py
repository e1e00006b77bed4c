"""Losses against values by hand, an independent library, plain loops, finite differences and several processes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor
from torchmetrics.functional.regression import concordance_corrcoef

from tests.trainer.children import start
from tests.trainer.shared_loss import AFFECT_LOSSES, POINT_LOSSES, train, train_landmarks, train_share
from trainer.data.batches import Batch
from trainer.losses import (
    Criterion,
    absolute_error,
    concordance_loss,
    distillation_loss,
    laplace_loss,
    located_loss,
    squared_error,
)
from trainer.models import NetworkOutput, Outputs
from trainer.stages.recipe import CenterLoss, Distillation, Stage

CLASSES = Outputs(labels=("neutral", "happiness", "anger"))
BOTH = Outputs(labels=CLASSES.labels, affect=("valence", "arousal"))
NAN = math.nan
VALUES = arrays.arrays(np.float64, st.integers(2, 20), elements=st.floats(-1, 1, width=32))


def make_stage(**keys: Any) -> Stage:
    return Stage(data="wild", **keys)


def make_output(classes: Tensor | None = None, features: Tensor | None = None, **values: Tensor) -> NetworkOutput:
    features = torch.zeros(1, 2) if features is None else features
    return NetworkOutput(features, features, classes, values.get("valence"), values.get("arousal"))


def make_batch(classes: Sequence[int] | Tensor, valence: Sequence[float] = (), arousal: Sequence[float] = ()) -> Batch:
    whole = torch.as_tensor(classes, dtype=torch.int64)
    return Batch(
        torch.zeros(0), whole, torch.tensor([*valence]), torch.tensor([*arousal]), torch.zeros(0), torch.zeros(0)
    )


def random_tensor(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_cross_entropy_is_the_mean_over_the_pictures_with_a_label() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [0.0, math.log(2), 0.0], [9.0, -9.0, 4.0]])
    loss = Criterion(make_stage(), CLASSES, 2)(make_output(logits), make_batch([0, 1, -1]))
    assert loss.item() == pytest.approx((math.log(3) + math.log(2)) / 2)
    assert loss.item() == pytest.approx(torch.nn.CrossEntropyLoss(ignore_index=-1)(logits, torch.tensor([0, 1, -1])))


def test_class_weights_multiply_each_picture_and_are_not_divided_out() -> None:
    logits = random_tensor(4, 3)
    classes = torch.tensor([0, 0, 2, 1])
    weights = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
    loss = Criterion(make_stage(), CLASSES, 2, weights)(make_output(logits), make_batch(classes))
    each = [weights[c] * -torch.log_softmax(row, 0)[c] for row, c in zip(logits, classes, strict=True)]
    assert loss.item() == pytest.approx(sum(each).item() / 4)


def test_a_weight_of_two_is_as_if_the_picture_were_there_twice() -> None:
    logits, classes = random_tensor(3, 3), torch.tensor([0, 1, 2])
    weights = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    weighted = Criterion(make_stage(), CLASSES, 2, weights)(make_output(logits), make_batch(classes))
    order = [0, 1, 1, 2]
    repeated = Criterion(make_stage(), CLASSES, 2)(make_output(logits[order]), make_batch(classes[order]))
    assert weighted.item() * 3 == pytest.approx(repeated.item() * 4)


def test_classes_valence_and_arousal_have_equal_weights_and_their_own_gaps() -> None:
    logits = torch.zeros(3, 3)
    output = make_output(logits, valence=torch.tensor([0.5, 0.0, 1.0]), arousal=torch.tensor([1.0, 1.0, 1.0]))
    batch = make_batch([0, -1, -1], [0.0, NAN, 0.0], [NAN, NAN, 0.5])
    loss = Criterion(make_stage(target="affect", loss="mse"), BOTH, 2)(output, batch)
    assert loss.item() == pytest.approx(math.log(3) + (0.25 + 1) / 2 + 0.25)


@pytest.mark.parametrize("loss", ["mse", "ccc"])
def test_a_batch_without_any_label_says_nothing(loss: Any) -> None:
    values = torch.ones(2, requires_grad=True)
    logits = torch.ones(2, 3, requires_grad=True)
    criterion = Criterion(make_stage(target="affect", loss=loss, center=CenterLoss()), BOTH, 2)
    output = make_output(logits, torch.ones(2, 2), valence=values, arousal=values)
    batch = make_batch([-1, -1], [NAN, NAN], [NAN, NAN])
    criterion(output, batch).backward()
    criterion.update(output, batch)
    assert not values.grad.any()
    assert not logits.grad.any()
    assert not criterion.centers.any()


class Says(torch.nn.Module):
    """A teacher of the first and third class, whose logits are the pictures."""

    places = (2, 0)

    def forward(self, images: Tensor) -> Tensor:
        return images


def distilled(logits: Tensor, said: Tensor, classes: Sequence[int], **keys: Any) -> Tensor:
    criterion = Criterion(make_stage(distil=Distillation(**keys)), CLASSES, 2, teacher=Says())  # type: ignore[arg-type]
    loss: Tensor = criterion(make_output(logits), make_batch(classes)._replace(images=said))
    return loss


def test_a_teachers_answers_by_hand() -> None:
    """The student's 5 for a class that the teacher does not know says nothing; of no label only the teacher speaks."""
    logits = torch.tensor([[2 * math.log(3), 5.0, 0.0], [0.0, 5.0, 0.0]])
    said = torch.tensor([[0.0, 0.0], [2 * math.log(3), 0.0]])  # with T = 2: halves; three quarters of the third class
    first = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    second = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    loss = distilled(logits, said, [-1, -1], weight=3.0, temperature=2.0)
    assert loss.item() == pytest.approx(3 * 4 * (first + second) / 2, rel=1e-6)
    alone = Criterion(make_stage(), CLASSES, 2)(make_output(logits), make_batch([0, -1]))
    both = distilled(logits, said, [0, -1], weight=3.0, temperature=2.0)
    assert both.item() == pytest.approx((loss + alone).item(), rel=1e-6)
    assert torch.equal(distilled(logits, said, [0, -1], weight=0.0), alone)


@given(st.floats(-20, 20), st.floats(0.3, 8), st.integers(0, 9))
@settings(deadline=None)
def test_who_says_what_the_teacher_says_has_nothing_to_learn(shift: float, temperature: float, seed: int) -> None:
    said = random_tensor(5, 4, seed=seed)
    assert distillation_loss(said, said + shift, temperature).item() == pytest.approx(0, abs=1e-9)
    assert distillation_loss(said, random_tensor(5, 4, seed=seed + 1), temperature).item() > 0


def test_the_gradient_of_distillation_hardly_depends_on_a_high_temperature() -> None:
    """Hinton, Vinyals and Dean 2015, eq. 4: then it is that of squared differences of logits without their means."""
    said, logits = random_tensor(5, 4), random_tensor(5, 4, seed=1).requires_grad_()
    distillation_loss(said, logits, 1000.0).backward()
    differences = logits - logits.mean(1, keepdim=True) - said + said.mean(1, keepdim=True)
    torch.testing.assert_close(logits.grad, differences.detach() / 4 / 5, rtol=0.01, atol=1e-4)
    assert torch.autograd.gradcheck(lambda told: distillation_loss(said, told, 2.0), logits)


def test_squared_error_by_hand() -> None:
    assert squared_error(torch.tensor([1.0, 2.0, 7.0]), torch.tensor([0.0, 4.0, NAN])).item() == pytest.approx(2.5)


def test_absolute_and_laplace_error_by_hand() -> None:
    truth = torch.tensor([[0.0, 4.0], [NAN, 1.0]])
    values = torch.tensor([[1.0, 2.0], [7.0, 1.0]])
    assert absolute_error(values, truth).item() == pytest.approx((1 + 2 + 0) / 3)
    scales = torch.tensor([[2.0, 4.0], [9.0, 0.5]]).log()
    by_hand = (1 / 2 + math.log(2) + 2 / 4 + math.log(4) + 0 + math.log(0.5)) / 3
    assert laplace_loss(values, scales, truth).item() == pytest.approx(by_hand)


def test_landmarks_of_a_face_count_alike_however_sure_the_network_is_of_each() -> None:
    truth = torch.tensor([[0.0, 0.0, NAN], [0.0, 0.0, 0.0]])
    values = torch.tensor([[1.0, -2.0, 3.0], [0.1, 0.1, 0.1]], requires_grad=True)
    scales = torch.tensor([[1.0, 4.0, 1.0], [1.0, 0.5, 0.5]]).log().requires_grad_()
    located_loss(values, scales, truth).backward()
    assert values.grad is not None
    assert scales.grad is not None
    # The mean scale of the first face is 2, that of the second 2/3; five values are known.
    assert values.grad.flatten().tolist() == pytest.approx([0.05, -0.05, 0, 0.15, 0.15, 0.15])
    alone = scales.detach().clone().requires_grad_()
    laplace_loss(values.detach(), alone, truth).backward()
    assert alone.grad is not None
    assert torch.allclose(2 * scales.grad, alone.grad)


@given(arrays.arrays(np.float64, 20, elements=st.floats(0.01, 1)), st.floats(0.3, 3))
@settings(deadline=None)
def test_the_most_likely_scale_is_the_mean_of_the_errors(errors: np.ndarray[Any, Any], other: float) -> None:
    truth, values = torch.zeros(20, dtype=torch.float64), torch.from_numpy(errors)
    best, worse = (
        laplace_loss(values, torch.full_like(values, math.log(factor * errors.mean())), truth) for factor in (1, other)
    )
    assert best.item() <= worse.item() + 1e-12


@pytest.mark.parametrize("has_scales", [False, True])
def test_only_the_known_points_of_the_stages_part_are_learned(has_scales: bool) -> None:
    stage = make_stage(target="landmarks", points="nose", loss="laplace" if has_scales else "l1")
    criterion = Criterion(stage, Outputs(points="nose", scales=has_scales), 2)
    truth = torch.full((2, 68, 2), 9.0)
    truth[:, 27:36] = 0.5
    truth[0, 30] = NAN
    landmarks = torch.full((2, 9, 2), 0.75)
    landmarks[0, 3] = 100  # the tip, which is not known there
    landmarks, scales = landmarks.flatten(1).requires_grad_(), torch.full((2, 9), math.log(2)) if has_scales else None
    batch = make_batch([-1, -1])._replace(landmarks=truth)
    loss = criterion(make_output()._replace(landmarks=landmarks, scales=scales), batch)
    assert loss.item() == pytest.approx(0.25 / 2 + math.log(2) if has_scales else 0.25)
    loss.backward()
    assert landmarks.grad is not None
    assert landmarks.grad.reshape(2, 9, 2).any(dim=2).sum() == 17


def test_concordance_by_hand() -> None:
    # Variances and covariance 2/3, means one apart: 1 - 2 (2/3) / (2/3 + 2/3 + 1).
    loss = concordance_loss(torch.tensor([2.0, 3.0, 4.0, 9.0]), torch.tensor([1.0, 2.0, 3.0, NAN]))
    assert loss.item() == pytest.approx(3 / 7)


@given(VALUES, st.integers(0, 1000))
@settings(deadline=None)
def test_concordance_as_an_independent_library_has_it(truth: np.ndarray[Any, Any], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=len(truth))
    truth[0], truth[-1] = -0.5, 0.7  # the library gives NaN where nothing varies
    # It divides the moments by n - 1, which makes no difference when each pair is there ten thousand times.
    many = [torch.from_numpy(part).repeat(10_000) for part in (values, truth)]
    ours = concordance_loss(torch.from_numpy(values), torch.from_numpy(truth))
    assert ours.item() == pytest.approx(1 - concordance_corrcoef(*many).item(), abs=1e-4)


@given(VALUES, st.floats(-3, 3), st.floats(-1, 1))
@settings(deadline=None)
def test_concordance_is_best_for_equal_values_and_never_leaves_its_range(
    values: np.ndarray[Any, Any], factor: float, shift: float
) -> None:
    truth = torch.from_numpy(values)
    loss = concordance_loss(factor * truth + shift, truth).item()
    assert -1e-9 <= loss <= 2 + 1e-9
    if values.std() > 1e-3:
        assert concordance_loss(truth, truth).item() == pytest.approx(0, abs=1e-9)
        assert concordance_loss(-truth + 2 * truth.mean(), truth).item() == pytest.approx(2, abs=1e-9)


def test_concordance_of_what_does_not_vary_is_finite() -> None:
    values = torch.full((4,), 0.3, requires_grad=True)
    loss = concordance_loss(values, torch.full((4,), 0.3))
    loss.backward()
    assert loss.item() == 1
    assert values.grad is not None
    assert values.grad.isfinite().all()


@pytest.mark.parametrize(("squared", "distance"), [(True, 25.0), (False, 5.0)])
def test_center_loss_by_hand(squared: bool, distance: float) -> None:
    criterion = Criterion(make_stage(center=CenterLoss(0.1, 0.5, squared)), CLASSES, 2)
    output = make_output(torch.zeros(2, 3), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    batch = make_batch([1, 2])
    assert criterion(output, batch).item() == pytest.approx(math.log(3) + 0.1 / 2 * distance / 2)
    criterion.update(output, batch)
    # Half of the difference, of which the 1 in the denominator takes half again.
    assert criterion.centers.tolist() == [[0, 0], [0.75, 1.0], [0, 0]]


@pytest.mark.parametrize("squared", [True, False])
def test_center_loss_as_plain_loops_have_it_after_several_updates(squared: bool) -> None:
    """Paper 003, eq. 1 to 3, with Wen and others' eq. 4; classes are absent, repeated and unknown."""
    weight, rate, centers = 0.3, 0.7, np.zeros((3, 4))
    criterion = Criterion(make_stage(center=CenterLoss(weight, rate, squared)), CLASSES, 4).double()
    for step, labels in enumerate([[0, 0, 1], [2, -1, 2], [1, 0, 1], [0, 0, 0], [1, 2, 0]]):
        logits, features = random_tensor(3, 3, seed=step), random_tensor(3, 4, seed=100 + step)
        output, batch = make_output(logits, features), make_batch(labels)
        known = [number for number, label in enumerate(labels) if label >= 0]
        total = 0.0
        for number in known:
            difference = features[number].numpy() - centers[labels[number]]
            square = float(sum(x * x for x in difference))
            total -= float(torch.log_softmax(logits[number], 0)[labels[number]])
            total += weight / 2 * (square if squared else math.sqrt(square))
        assert criterion(output, batch).item() == pytest.approx(total / len(known))
        criterion.update(output, batch)
        for label in range(3):
            members = [features[number].numpy() for number in known if labels[number] == label]
            delta = sum((centers[label] - x for x in members), np.zeros(4)) / (1 + len(members))
            centers[label] = centers[label] - rate * delta
        np.testing.assert_allclose(criterion.centers.numpy(), centers)


def test_centers_end_near_the_mean_of_their_class_and_are_part_of_the_state() -> None:
    stage = make_stage(center=CenterLoss(rate=0.5))
    criterion = Criterion(stage, CLASSES, 2)
    output, batch = make_output(features=torch.tensor([[1.0, 5.0], [3.0, 1.0]])), make_batch([0, 0])
    for _ in range(60):
        criterion.update(output, batch)
    assert criterion.centers[0].tolist() == pytest.approx([2.0, 3.0])
    again = Criterion(stage, CLASSES, 2)
    again.load_state_dict(criterion.state_dict())
    assert torch.equal(again.centers, criterion.centers)


def test_without_center_loss_nothing_moves() -> None:
    criterion = Criterion(make_stage(), CLASSES, 2)
    criterion.update(make_output(features=torch.ones(1, 2)), make_batch([0]))
    assert criterion.centers.numel() == 0


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("loss", ["mse", "ccc"])
def test_gradients_are_those_of_finite_differences(loss: Any, squared: bool) -> None:
    weights = torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64)
    stage = make_stage(target="affect", loss=loss, center=CenterLoss(0.3, 0.5, squared))
    criterion = Criterion(stage, BOTH, 2, weights).double()
    criterion.centers += random_tensor(3, 2, seed=5)
    batch = make_batch([0, 1, 2, -1, 1], [0.1, NAN, 0.4, -0.5, 0.9], [0.3, 0.2, NAN, -1.0, 0.0])

    def total(logits: Tensor, features: Tensor, valence: Tensor, arousal: Tensor) -> Tensor:
        return criterion(make_output(logits, features, valence=valence, arousal=arousal), batch)

    shapes = [(5, 3), (5, 2), (5,), (5,)]
    inputs = [random_tensor(*shape, seed=seed).requires_grad_() for seed, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(total, inputs)


def test_half_precision_is_summed_in_single() -> None:
    logits = torch.full((4, 3), 200.0, dtype=torch.float16)
    output = make_output(logits, torch.full((4, 2), 200.0, dtype=torch.float16), valence=logits[:, 0])
    criterion = Criterion(make_stage(target="affect", loss="mse", center=CenterLoss(1.0)), BOTH, 2)
    loss = criterion(output, make_batch([0, 1, 2, 0], [0.0] * 4))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log(3) + 40_000 + 40_000)  # beyond float16's 65,504 in all


def test_two_processes_with_unequal_labels_are_as_one(tmp_path: Path) -> None:
    """One has more classes, the other more arousal; losses, weights and centers of three steps."""
    children = [start(train_share, tmp_path, rank, said=tmp_path / f"{rank}.txt") for rank in (0, 1)]
    for rank, child in enumerate(children):
        child.join(90)
        assert child.exitcode == 0, (tmp_path / f"{rank}.txt").read_text()
    alone = [*(train(loss, 0, 1) for loss in AFFECT_LOSSES), *(train_landmarks(loss, 0, 1) for loss in POINT_LOSSES)]
    assert [len(told) for told in alone] == [3 + 25 + 15] * 2 + [1 + 5 * 27] * 2
    for rank in (0, 1):
        for shared, whole in zip(json.loads((tmp_path / f"{rank}.json").read_text()), alone, strict=True):
            np.testing.assert_allclose(shared, whole, rtol=1e-9, atol=1e-12)
