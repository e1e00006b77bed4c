"""Figures of a classifier, and of valence and arousal: by hand, by definition, and beside torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torchmetrics.functional import classification, concordance_corrcoef, mean_squared_error

from trainer.evaluate import metrics

CLASSES = 4
answers = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=40)
affects = st.lists(st.tuples(*[st.floats(-1, 1, width=16)] * 2), min_size=1, max_size=40)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    truth, predicted = np.array(pairs).T
    return truth, predicted


def sides(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [truth for truth, _ in pairs], [predicted for _, predicted in pairs]


def ccc(truth: list[float], predicted: list[float]) -> float:
    return float(metrics.ccc(metrics.affect_terms(np.array(truth), np.array(predicted)).sum(axis=0)))


def rmse(truth: list[float], predicted: list[float]) -> float:
    return float(metrics.rmse(metrics.affect_terms(np.array(truth), np.array(predicted)).sum(axis=0)))


def calibration_error(truth: np.ndarray, probabilities: np.ndarray) -> float:
    gaps = metrics.calibration_gaps(probabilities.argmax(axis=1) == truth, probabilities.max(axis=1))
    return float(metrics.calibration_error(gaps.sum(axis=0), len(truth)))


@settings(max_examples=50, deadline=None)
@given(answers)
def test_confusion_counts_every_answer_in_its_place(pairs: list[tuple[int, int]]) -> None:
    confusion = metrics.confusion_matrix(*columns(pairs), CLASSES)
    assert confusion.shape == (CLASSES, CLASSES)
    for true in range(CLASSES):
        for named in range(CLASSES):
            assert confusion[true, named] == pairs.count((true, named))


@settings(max_examples=50, deadline=None)
@given(answers)
def test_counts_are_the_sums_of_the_confusion(pairs: list[tuple[int, int]]) -> None:
    confusion = metrics.confusion_matrix(*columns(pairs), CLASSES)
    counts = metrics.count(*columns(pairs), CLASSES)
    np.testing.assert_array_equal(counts, [np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)])


def test_figures_of_classes_by_hand() -> None:
    # Class 0: 2 of 3 found, named 3 times; class 1: 1 of 2 found, named twice; 2 occurs, never named; 3 does not occur.
    counts = metrics.count(np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 3]), CLASSES)
    nan = float("nan")
    np.testing.assert_allclose(metrics.precision(counts), [2 / 3, 1 / 2, 0, nan])
    np.testing.assert_allclose(metrics.recall(counts), [2 / 3, 1 / 2, 0, nan])
    np.testing.assert_allclose(metrics.f1(counts), [2 / 3, 1 / 2, 0, nan])
    assert metrics.macro(metrics.f1(counts)) == pytest.approx(7 / 18)
    assert metrics.accuracy(counts) == pytest.approx(1 / 2)


@settings(max_examples=50, deadline=None)
@given(answers)
def test_figures_of_classes_are_those_of_another_library(pairs: list[tuple[int, int]]) -> None:
    # It leaves out only classes that neither occur nor are named; so let each class occur.
    truth, predicted = columns([*pairs, *[(number, 0) for number in range(CLASSES)]])
    counts = metrics.count(truth, predicted, CLASSES)
    both = torch.tensor(predicted), torch.tensor(truth), CLASSES
    assert metrics.accuracy(counts) == pytest.approx(float(classification.multiclass_accuracy(*both, "micro")))
    for ours, theirs in (
        (metrics.precision, classification.multiclass_precision),
        (metrics.recall, classification.multiclass_recall),
        (metrics.f1, classification.multiclass_f1_score),
    ):
        np.testing.assert_allclose(ours(counts), theirs(*both, average="none"), atol=1e-6)
        assert metrics.macro(ours(counts)) == pytest.approx(float(theirs(*both, average="macro")), abs=1e-6)


def test_no_answers_have_no_figures() -> None:
    nothing = metrics.count(np.zeros(0, np.int64), np.zeros(0, np.int64), 3)
    assert np.isnan(metrics.accuracy(nothing))
    assert np.isnan(metrics.macro(metrics.f1(nothing)))
    assert np.isnan(rmse([], []))
    assert np.isnan(ccc([], []))


def test_people_count_alike_however_many_pictures_they_have() -> None:
    right = np.array([True] * 9 + [False])
    assert metrics.mean_over_people(right, ["a"] * 9 + ["b"]) == pytest.approx(0.5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1), st.randoms())
def test_mean_over_people_does_not_depend_on_order_or_repetition(pairs: list[tuple[str, bool]], random: object) -> None:
    people, right = [who for who, _ in pairs], np.array([value for _, value in pairs])
    expected = metrics.mean_over_people(right, people)
    order = list(range(len(pairs)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert metrics.mean_over_people(right[order], [people[i] for i in order]) == pytest.approx(expected)
    assert metrics.mean_over_people(np.tile(right, 2), people * 2) == pytest.approx(expected)


def test_calibration_error_by_hand() -> None:
    # Confidence 0.9 twice, once right: bin gap |0.5 − 0.9|; 0.6 once, right: |1 − 0.6|. Weighted: (2 · 0.4 + 0.4) / 3.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    assert calibration_error(np.array([0, 1, 1]), probabilities) == pytest.approx(0.4)
    # The last bin is closed above: |1 + 0 − 0.95 − 1| / 2.
    assert calibration_error(np.array([0, 1]), np.array([[0.95, 0.05], [1.0, 0.0]])) == pytest.approx(0.475)
    assert calibration_error(np.array([0]), np.array([[1.0, 0.0]])) == 0
    assert calibration_error(np.array([1]), np.array([[1.0, 0.0]])) == 1


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 200))
def test_calibration_error_is_that_of_another_library(seed: int, pictures: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(CLASSES, 0.5), pictures)
    truth = random.integers(CLASSES, size=pictures)
    theirs = classification.multiclass_calibration_error(
        torch.tensor(probabilities), torch.tensor(truth), CLASSES, n_bins=metrics.BINS, norm="l1"
    )
    assert calibration_error(truth, probabilities) == pytest.approx(float(theirs), abs=1e-6)


def test_affect_by_hand() -> None:
    # Means 0 and 0.5; variances 2/3 and 1/6; covariance 1/3.
    truth, predicted = [-1.0, 0.0, 1.0], [0.0, 0.5, 1.0]
    assert ccc(truth, predicted) == pytest.approx((2 / 3) / (2 / 3 + 1 / 6 + 1 / 4))
    assert rmse(truth, predicted) == pytest.approx(np.sqrt((1 + 0.25 + 0) / 3))


@settings(max_examples=50, deadline=None)
@given(affects)
def test_rmse_is_that_of_another_library(pairs: list[tuple[float, float]]) -> None:
    truth, predicted = sides(pairs)
    theirs = mean_squared_error(torch.tensor(predicted), torch.tensor(truth), squared=False)
    assert rmse(truth, predicted) == pytest.approx(float(theirs), abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(affects)
def test_ccc_is_that_of_another_library(pairs: list[tuple[float, float]]) -> None:
    truth, predicted = sides(pairs)
    assume(min(np.std(truth), np.std(predicted)) > 1e-2)
    theirs = concordance_corrcoef(*(torch.tensor(side, dtype=torch.float64) for side in (predicted, truth)))
    # Its variances and covariance divide by n − 1, Lin's and ours by n: 1 / ccc = 1 / correlation part + gap part.
    covariance = np.cov(truth, predicted)[0, 1]
    gap = (np.mean(truth) - np.mean(predicted)) ** 2
    expected = 1 / (1 / float(theirs) + gap / (2 * covariance) / (len(pairs) - 1)) if abs(covariance) > 1e-6 else 0
    assert ccc(truth, predicted) == pytest.approx(expected, abs=1e-4)


@settings(max_examples=50, deadline=None)
@given(affects)
def test_ccc_is_bounded_symmetric_and_one_for_the_truth(pairs: list[tuple[float, float]]) -> None:
    truth, predicted = sides(pairs)
    assert -1 <= ccc(truth, predicted) <= 1 + 1e-12
    assert ccc(truth, predicted) == pytest.approx(ccc(predicted, truth), abs=1e-9)
    assume(np.std(truth) > 1e-4)
    assert ccc(truth, truth) == 1
    assert ccc(truth, [-value for value in truth]) < 1


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        ([0.1, 0.7, -0.3], [0.3] * 3),
        ([0.3] * 3, [0.1, 0.7, -0.3]),
        ([0.1] * 3, [0.1] * 3),
        ([0.4], [0.4]),
        ([0.4], [1]),
    ],
)
def test_a_constant_has_no_concordance(truth: list[float], predicted: list[float]) -> None:
    assert ccc(truth, predicted) == 0


@settings(max_examples=50, deadline=None)
@given(answers, answers)
def test_many_tests_are_measured_at_once(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    single = [metrics.count(*columns(pairs), CLASSES) for pairs in (first, second)]
    both = metrics.Counts(*(np.stack(parts) for parts in zip(*single, strict=True)))
    for figure in (metrics.accuracy, metrics.precision, metrics.recall, metrics.f1):
        np.testing.assert_array_equal(figure(both), [figure(counts) for counts in single])


def test_landmark_errors_by_hand() -> None:
    truth = np.array([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [np.nan, np.nan]], [[0.0, 0.0], [1.0, 1.0]]])
    predicted = np.array([[[0.3, 0.4], [1.0, 0.1]], [[0.0, 0.2], [9.0, 9.0]], [[1.0, 1.0], [1.0, 1.0]]])
    visible = np.array([[False, True], [True, True], [True, True]])
    found = metrics.landmark_errors(truth, predicted, visible, np.array([0.5, 0.4, np.nan]))
    assert set(found) == {"landmark_error", "visible_landmark_error"}
    np.testing.assert_allclose(found["landmark_error"], [(0.5 + 0.1) / 2 / 0.5, 0.2 / 0.4, np.nan])
    np.testing.assert_allclose(found["visible_landmark_error"], [0.1 / 0.5, 0.2 / 0.4, np.nan])


def test_landmark_errors_do_not_change_with_scale_and_place_and_are_told_by_part() -> None:
    random = np.random.default_rng(0)
    truth, seen = random.normal(size=(4, 68, 2)), np.ones((4, 68), np.bool_)
    predicted = truth.copy()
    predicted[:, 48:68] += (0.3, 0.4)  # the mouth alone is off
    eyes = metrics.interocular_distance(truth)
    np.testing.assert_allclose(eyes, np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1), rtol=1e-6)
    errors = metrics.landmark_errors(truth, predicted, seen, eyes)
    np.testing.assert_allclose(errors["mouth_landmark_error"], 0.5 / eyes, rtol=1e-6)
    np.testing.assert_allclose(errors["landmark_error"], 0.5 / eyes * 20 / 68, rtol=1e-6)
    for part in ("jaw", "eyebrows", "nose", "eyes"):
        assert not errors[f"{part}_landmark_error"].any()
    moved = metrics.landmark_errors(3 * truth + 7, 3 * predicted + 7, seen, 3 * eyes)
    np.testing.assert_allclose(moved["landmark_error"], errors["landmark_error"], rtol=1e-6)
