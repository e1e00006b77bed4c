"""Training, validation and test parts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import MienError
from trainer.data.pictures import PictureFile
from trainer.data.sample import Sample, SampleList
from trainer.data.splits import Parts, divide, in_words
from trainer.stages.recipe import Split

SEEDS = st.integers(0, 2**32)


def dataset(*rows: tuple[str | None, str | None], splits: str = "") -> SampleList:
    """Samples of a person and an expression each; splits are t(rain), v(alidation), s (test) or a(ll)."""
    names = {"t": "train", "v": "validation", "s": "test", "a": "all"}
    split_of = [names[letter] for letter in splits] or ["all"] * len(rows)
    return SampleList(
        "mine",
        [
            Sample(PictureFile(Path(f"{number}.png")), split, person, expression)
            for number, ((person, expression), split) in enumerate(zip(rows, split_of, strict=True))
        ],
    )


def samples(most: int = 60) -> st.SearchStrategy[SampleList]:
    """Ten people, each with at least two pictures."""
    row = st.tuples(st.sampled_from("abcdefghij"), st.sampled_from(["neutral", "happiness", "fear"]))
    always = [(person, expression) for person in "abcdefghij" for expression in ("neutral", "fear")]
    return st.lists(row, max_size=most).map(lambda rows: dataset(*always, *rows))


def people_of(data: SampleList, numbers: np.ndarray) -> set[str | None]:
    return {data[int(number)].person for number in numbers}


def expressions_of(data: SampleList, numbers: np.ndarray) -> Counter[str | None]:
    return Counter(data[int(number)].expression for number in numbers)


def check_whole(data: SampleList, parts: Parts) -> None:
    """Every picture is in one part, and each part is in ascending order."""
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(data)))
    assert all(np.all(np.diff(numbers) > 0) for numbers in parts)


HOLDOUTS = st.builds(
    Split, st.just("holdout"), test=st.floats(0.1, 0.5), validation=st.floats(0.2, 0.5), by_person=st.booleans()
)
FOLDS = st.builds(
    Split, st.just("folds"), validation=st.floats(0.2, 0.5), by_person=st.booleans(), folds=st.integers(2, 10)
)


@settings(max_examples=50, deadline=None)
@given(samples(), st.one_of(HOLDOUTS, FOLDS), SEEDS)
def test_parts_are_disjoint_whole_and_the_same_for_a_seed(data: SampleList, split: Split, seed: int) -> None:
    divided = divide(data, split, seed)
    for parts in divided:
        check_whole(data, parts)
        if split.by_person:
            assert sum(len(people_of(data, numbers)) for numbers in parts) == 10
    for parts, again in zip(divided, divide(data, split, seed), strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=True))


@settings(max_examples=50, deadline=None)
@given(samples(), FOLDS, SEEDS)
def test_each_picture_is_tested_in_one_fold(data: SampleList, split: Split, seed: int) -> None:
    divided = divide(data, split, seed)
    assert len(divided) == split.folds
    assert sorted(np.concatenate([parts.test for parts in divided]).tolist()) == list(range(len(data)))


@settings(max_examples=50, deadline=None)
@given(samples(), st.floats(0.1, 0.5), st.floats(0.2, 0.5), SEEDS)
def test_pictures_are_held_out_evenly_from_the_classes(
    data: SampleList, test: float, validation: float, seed: int
) -> None:
    (parts,) = divide(data, Split("holdout", test=test, validation=validation), seed)
    whole = expressions_of(data, np.arange(len(data)))
    for expression, count in whole.items():
        tested, validated = (expressions_of(data, numbers)[expression] for numbers in (parts.test, parts.validation))
        assert abs(tested - test * count) <= 1
        assert abs(validated - validation * (count - tested)) <= 1
    assert len(parts.test) == pytest.approx(test * len(data), abs=0.5)


@settings(max_examples=50, deadline=None)
@given(samples(), st.integers(2, 10), SEEDS)
def test_folds_of_pictures_are_even_in_each_class(data: SampleList, folds: int, seed: int) -> None:
    divided = divide(data, Split("folds", folds=folds), seed)
    for expression in ("neutral", "happiness", "fear"):
        counts = [expressions_of(data, parts.test)[expression] for parts in divided]
        assert max(counts) - min(counts) <= 1


def test_shares_are_those_of_the_papers() -> None:
    data = dataset(*[("a", "fear")] * 1000)
    (parts,) = divide(data, Split("holdout", test=0.1, validation=0.2), 0)  # paper 000
    assert [len(numbers) for numbers in parts] == [720, 180, 100]
    (parts,) = divide(data, Split("holdout", test=0.4), 0)  # paper 002
    assert [len(numbers) for numbers in parts] == [600, 0, 400]


@pytest.mark.parametrize(
    "split",
    [
        Split("holdout", test=0.3, validation=0.3),
        Split("holdout", test=0.3, validation=0.3, by_person=True),
        Split("folds", folds=3, validation=0.3),
        Split("folds", folds=3, validation=0.3, by_person=True),
        Split("per_class", test_per_class=9, validation_per_class=9),
    ],
)
def test_another_seed_draws_others(split: Split) -> None:
    data = dataset(*[(person, "fear") for person in "abcdefghij"] * 5)
    drawn = [divide(data, split, seed)[0] for seed in range(10)]
    assert len({tuple(parts.validation) for parts in drawn}) > 5
    if not (split.kind == "folds" and split.by_person):
        assert len({tuple(parts.test) for parts in drawn}) > 5


def test_people_are_dealt_out_in_ascending_order() -> None:
    data = dataset(*[(person, "fear") for person in "dbcaedb"])
    tested = [people_of(data, parts.test) for parts in divide(data, Split("folds", folds=2, by_person=True), 3)]
    assert tested == [{"a", "c", "e"}, {"b", "d"}]


@settings(max_examples=50, deadline=None)
@given(samples(), SEEDS)
def test_one_person_is_left_out_in_each_of_as_many_folds(data: SampleList, seed: int) -> None:
    divided = divide(data, Split("folds", folds=0, by_person=True), seed)
    assert [people_of(data, parts.test) for parts in divided] == [{person} for person in "abcdefghij"]


@settings(max_examples=50, deadline=None)
@given(st.integers(5, 30), st.integers(5, 30), SEEDS)
def test_exact_numbers_are_drawn_of_each_class_and_small_ones_give_what_is_left(
    fears: int, joys: int, seed: int
) -> None:
    data = dataset(*[("a", "fear")] * fears, *[("a", "happiness")] * joys, ("a", None))
    split = Split("per_class", train_per_class=10, validation_per_class=3, test_per_class=1)
    (parts,) = divide(data, split, seed)
    assert len(set(np.concatenate(parts).tolist())) == sum(len(numbers) for numbers in parts)
    assert expressions_of(data, parts.validation) == {"fear": 3, "happiness": 3}
    assert expressions_of(data, parts.test) == {"fear": 1, "happiness": 1}
    assert expressions_of(data, parts.train) == {"fear": min(10, fears - 4), "happiness": min(10, joys - 4)}


def test_table_i_of_paper_000_follows_from_its_counts() -> None:
    left = {"fear": 11_556, "disgust": 6_404, "contempt": 6_300}
    counts = {"neutral": 70_000, **left}
    pictures = [[Sample(PictureFile(Path("a.png")), "all", expression=name)] * (counts[name] + 1100) for name in counts]
    data = SampleList("mine", [sample for of_class in pictures for sample in of_class])
    (parts,) = divide(data, Split("per_class"), 0)
    assert expressions_of(data, parts.train) == {"neutral": 15_000, **left}
    assert set(expressions_of(data, parts.validation).values()) == {600}
    assert set(expressions_of(data, parts.test).values()) == {500}


def test_a_data_set_s_own_parts_are_kept() -> None:
    data = dataset(*[(None, "fear")] * 6, splits="tvstav")
    (parts,) = divide(data, Split("official", validation=0.5), 0)
    assert [numbers.tolist() for numbers in parts] == [[0, 3], [1, 5], [2]]


def test_a_validation_part_that_alone_is_given_out_is_the_test_part() -> None:
    data = dataset(*[(None, "fear")] * 6, splits="ttttvv")
    (parts,) = divide(data, Split("official", validation=0.25), 0)
    assert parts.test.tolist() == [4, 5]
    assert len(parts.validation) == 1
    check_whole(data, parts)


@settings(max_examples=50, deadline=None)
@given(samples(), SEEDS)
def test_a_missing_validation_part_is_taken_by_person_where_people_are_named(data: SampleList, seed: int) -> None:
    rows = [(sample.person, sample.expression) for sample in data]
    named = dataset(*rows, ("z", "fear"), splits="t" * len(rows) + "s")
    (parts,) = divide(named, Split("official", validation=0.3), seed)
    check_whole(named, parts)
    assert [len(people_of(named, numbers)) for numbers in parts] == [7, 3, 1]
    unnamed = dataset(*[(None, expression) for _, expression in rows], (None, "fear"), splits="t" * len(rows) + "s")
    (parts,) = divide(unnamed, Split("official", validation=0.3), seed)
    check_whole(unnamed, parts)
    assert len(parts.validation) == pytest.approx(0.3 * len(rows), abs=0.5)


def test_everything_is_in_training_and_test_part() -> None:
    (parts,) = divide(dataset(("a", "fear"), ("b", None)), Split("everything", validation=0.2), 0)
    assert [numbers.tolist() for numbers in parts] == [[0, 1], [], [0, 1]]


FEW = dataset(("a", "fear"), ("a", "fear"), ("b", "anger"))


@pytest.mark.parametrize(
    ("data", "split", "problem"),
    [
        (dataset(("a", "fear"), (None, "fear")), Split("holdout", by_person=True), r"1\.png: mine does not say who"),
        (dataset(("a", "fear"), (None, "fear")), Split("folds", by_person=True), r"1\.png: mine does not say who"),
        (FEW, Split("folds", folds=3, by_person=True), "2 people, which cannot make 3 folds"),
        (FEW, Split("folds", folds=1), "3 pictures, which cannot make 1 folds"),
        (FEW, Split("folds", folds=0), "3 pictures, which cannot make 0 folds"),
        (FEW, Split("official"), "mine has no training and test part of its own, but only: all"),
        (FEW, Split("holdout", test=0.1), r"the test part is empty \(10 % of the pictures for the test, 3 pictures\)"),
        (FEW, Split("holdout", test=0.5, validation=0.1), "the validation part is empty"),
        (
            FEW,
            Split("holdout", test=0.2, by_person=True),
            r"the test part is empty \(20 % of the people .*, 2 people\)",
        ),
        (FEW, Split("holdout", test=0.9), "the train part is empty"),
        (dataset(), Split("everything"), "the train part is empty"),
        (
            FEW,
            Split("per_class", test_per_class=1, validation_per_class=1),
            "mine has 1 pictures of anger: with 1 for the test and 1 for validation none is left",
        ),
        (
            dataset(*[("a", "fear")] * 2),
            Split("per_class", test_per_class=1, validation_per_class=1),
            "2 pictures of fear",
        ),
        (dataset(("a", None)), Split("per_class"), "mine names no classes"),
        (FEW, Split("per_class", by_person=True), "per_class"),
    ],
)
def test_what_cannot_be_divided_is_refused(data: SampleList, split: Split, problem: str) -> None:
    with pytest.raises(MienError, match=problem):
        divide(data, split, 0)


@pytest.mark.parametrize(
    ("split", "text"),
    [
        (Split(), "as the data set says"),
        (
            Split("official", validation=0.2),
            "as the data set says, 20 % of the training part for validation unless it has its own",
        ),
        (
            Split("holdout", validation=0.2),
            "10 % of the pictures for the test, 20 % of the training part for validation",
        ),
        (Split("folds", folds=10, by_person=True), "10 folds by person"),
        (Split("folds", by_person=True), "one fold for each person"),
        (Split("folds", folds=5), "5 folds by picture"),
        (Split("everything"), "all for training, or all for the test"),
        (Split("per_class"), "500 pictures of each class for the test, 600 for validation, at most 15000 for training"),
    ],
)
def test_splits_are_put_in_words(split: Split, text: str) -> None:
    assert in_words(split) == text
