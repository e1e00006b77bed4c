"""Training, validation and test parts."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import MienError
from trainer.data.labels import Column, Labels
from trainer.data.pictures import PictureFile
from trainer.data.sample import Sample, SampleList
from trainer.data.splits import Parts, divide, draw, in_words
from trainer.stages.recipe import Split, Target

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


# ---- few samples


def people(*pictures: int) -> SampleList:
    """So many pictures of each person, those of different people mixed."""
    rows = [(f"p{person:04d}", "neutral") for person, count in enumerate(pictures) for _ in range(count)]
    return dataset(*(rows[place] for place in np.random.default_rng(0).permutation(len(rows)).tolist()))


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=3),
    st.integers(1, 60),
    SEEDS,
)
def test_few_are_drawn_as_evenly_from_the_expressions_as_they_have_pictures(
    counts: list[int], budget: int, seed: int
) -> None:
    names = np.repeat(["neutral", "happiness", "fear"][: len(counts)], counts).tolist()
    data = dataset(("a", None), *(("a", name) for name in names), ("b", None))
    numbers = draw(data, np.arange(len(data)), "expression", budget, seed)
    given_to = expressions_of(data, numbers)
    assert len(set(numbers.tolist())) == len(numbers) == min(budget, sum(counts))
    assert np.all(np.diff(numbers) > 0)
    largest = max(given_to.values())
    for name, count in zip(["neutral", "happiness", "fear"], counts, strict=False):
        assert given_to[name] == count or given_to[name] >= largest - 1
    np.testing.assert_array_equal(numbers, draw(data, np.arange(len(data)), "expression", budget, seed))


def test_few_of_very_many_people_are_drawn_person_by_person() -> None:
    data = people(*([30] * 200 + [3] * 300))
    drawn = [draw(data, np.arange(len(data)), "identity", 400, seed) for seed in (0, 1)]
    for numbers in drawn:
        pictures = Counter(data[int(number)].person for number in numbers)
        assert set(pictures.values()) == {8}
        assert len(pictures) == 50
    assert len(people_of(data, drawn[0]) & people_of(data, drawn[1])) < 30


@given(st.lists(st.integers(1, 20), min_size=2, max_size=30), st.integers(2, 80), SEEDS)
def test_nobody_with_few_pictures_is_drawn_before_those_with_enough(counts: list[int], budget: int, seed: int) -> None:
    data = people(*counts)
    numbers = draw(data, np.arange(len(data)), "identity", budget, seed)
    drawn = Counter(int(str(data[int(number)].person)[1:]) for number in numbers)
    assert len(numbers) == min(budget, sum(counts))
    assert len(drawn) >= 2
    poorest = min(min(counts[person], 8) for person in drawn)
    assert all(min(count, 8) <= poorest for person, count in enumerate(counts) if person not in drawn)
    most = max(drawn.values())
    assert all(drawn[person] >= min(counts[person], most - 1) for person in drawn)
    assert budget >= sum(counts) or sum(min(counts[person], 8) for person in drawn) < budget + 8 or len(drawn) == 2


def test_only_given_samples_that_say_something_of_the_target_are_drawn() -> None:
    rows = [Sample(PictureFile(Path(f"{number}.png")), "all") for number in range(6)]
    rows[1] = replace(rows[1], valence=0.5)
    rows[2] = replace(rows[2], valence=0.5, arousal=0.0)
    rows[3] = replace(rows[3], expression="fear", category="cup")
    rows[4] = replace(rows[4], valence=-0.5, arousal=0.0, category="dish")
    data, given_numbers = SampleList("mine", rows), np.array([0, 1, 2, 3, 5])
    found = {target: draw(data, given_numbers, target, 10, 0).tolist() for target in get_args(Target)}
    assert found == {
        "expression": [3],
        "affect": [2, 3],
        "valence": [1, 2],
        "arousal": [2],
        "identity": [],
        "category": [3],
        "landmarks": given_numbers.tolist(),  # they may be found in any picture
    }
    assert draw(data, given_numbers, "expression", 0, 0).tolist() == given_numbers.tolist()


def test_a_few_hundred_of_a_million_pictures_are_drawn_in_seconds() -> None:
    data = dataset()
    places = np.arange(1_000_000) % 100_000
    unknown, nothing = Column((), np.full(len(places), -1)), np.full(len(places), np.nan, np.float32)
    who = Column(tuple(f"{person:06d}" for person in range(100_000)), places)
    data.labels = Labels(unknown, who, unknown, unknown, nothing, nothing)
    start = time.monotonic()
    numbers = draw(data, np.arange(len(places)), "identity", 400, 0)
    assert time.monotonic() - start < 5  # it takes 0.2 s; to search once for each person would take half a minute
    assert sorted(Counter(places[numbers].tolist()).values()) == [8] * 50
