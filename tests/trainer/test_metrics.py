"""Figures of a classifier."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluate.metrics import accuracy, confusion_matrix, mean_over_people, recall

CLASSES = 4
answers = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=40)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    truth, predicted = np.array(pairs).T
    return truth, predicted


@given(answers)
def test_confusion_counts_every_answer_in_its_place(pairs: list[tuple[int, int]]) -> None:
    confusion = confusion_matrix(*columns(pairs), CLASSES)
    assert confusion.shape == (CLASSES, CLASSES)
    for true in range(CLASSES):
        for named in range(CLASSES):
            assert confusion[true, named] == pairs.count((true, named))


@given(answers)
def test_accuracy_and_recall_follow_from_the_answers(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = columns(pairs)
    confusion = confusion_matrix(truth, predicted, CLASSES)
    assert accuracy(confusion) == pytest.approx((truth == predicted).mean())
    for label, share in enumerate(recall(confusion)):
        own = truth == label
        assert np.isnan(share) if not own.any() else share == pytest.approx((predicted[own] == label).mean())


def test_no_answers_have_no_accuracy() -> None:
    assert np.isnan(accuracy(np.zeros((3, 3), np.int64)))


def test_people_count_alike_however_many_pictures_they_have() -> None:
    right = np.array([True] * 9 + [False])
    assert mean_over_people(right, ["a"] * 9 + ["b"]) == pytest.approx(0.5)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1), st.randoms())
def test_mean_over_people_does_not_depend_on_order_or_repetition(pairs: list[tuple[str, bool]], random: object) -> None:
    people, right = [who for who, _ in pairs], np.array([value for _, value in pairs])
    expected = mean_over_people(right, people)
    order = list(range(len(pairs)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert mean_over_people(right[order], [people[i] for i in order]) == pytest.approx(expected)
    assert mean_over_people(np.tile(right, 2), people * 2) == pytest.approx(expected)
