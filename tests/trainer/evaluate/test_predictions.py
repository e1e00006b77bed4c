"""Predictions, their file, and the figures that follow from them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import fields, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mien.errors import MienError
from tests.trainer.evaluate.answers import LABELS, make_predictions
from trainer.evaluate import metrics, predictions
from trainer.evaluate.predictions import Predictions, Training, load_predictions, pool
from trainer.stages import result

UNKNOWN = [Training(None, {})]


def measured(answers: Predictions, training: list[Training] | None = None) -> result.TestResult:
    return predictions.test_result(
        answers,
        training or UNKNOWN,
        source="target",
        data="mine",
        split="by person",
        left_out={"no face": 2},
        file="p.npz",
    )


def assert_same(one: Predictions, other: Predictions) -> None:
    assert one.labels == other.labels
    for field in fields(one)[1:]:
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if ours is None:
            assert theirs is None, field.name
        else:
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype, field.name


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    answers = make_predictions([0, 1, -1], [0, 2, 1], ["Zoë", "b", "b"], valence=([0.5, np.nan, 0], [0.25, 0, 1]))
    answers.save(tmp_path / "p.npz")
    assert_same(load_predictions(tmp_path / "p.npz"), answers)
    affect_alone = replace(answers, labels=(), probabilities=None)
    affect_alone.save(tmp_path / "p.npz")
    assert_same(load_predictions(tmp_path / "p.npz"), affect_alone)
    assert [path.name for path in tmp_path.iterdir()] == ["p.npz"]


def test_neutral_faces_called_negative_and_a_teacher_that_knows_fewer_classes() -> None:
    answers = make_predictions([0, 0, 0, 1, 2, -1], [2, 0, 0, 2, 2, 1])
    teacher = np.full((6, 3), np.nan, np.float32)
    teacher[:, 0], teacher[:, 2] = [0.1, 0.9, 0.2, 0.6, 0.2, 0.7], [0.9, 0.1, 0.8, 0.4, 0.8, 0.3]
    # Of neutral and fear the teacher says fear, neutral, fear, neutral, fear, neutral; the model fear, neutral,
    # neutral, fear, fear and, of what is left beside happiness, neutral.
    found = measured(replace(answers, teacher=teacher)).figures
    assert found["neutral_called_negative"] == pytest.approx(1 / 3)
    assert found["teacher_neutral_called_negative"] == pytest.approx(2 / 3)
    assert found["teacher_agreement"] == pytest.approx(4 / 6)
    assert found["teacher_accuracy"] == pytest.approx(2 / 4)
    assert not {name for name in measured(answers).figures if name.startswith("teacher")}
    assert "neutral_called_negative" not in measured(make_predictions([1, 2], [1, 2])).figures


def test_a_file_with_whole_paths_gives_short_names(tmp_path: Path) -> None:
    answers = make_predictions([0, 1], [0, 2])
    whole = replace(answers, names=np.array(["/home/me/data/folder/anger/1.png", "folder/anger/2.png"]))
    whole.save(tmp_path / "p.npz")
    assert load_predictions(tmp_path / "p.npz").names.tolist() == ["folder/anger/1.png", "folder/anger/2.png"]


def test_of_many_classes_the_top_one_and_its_confidence_say_the_same(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth, predicted = random.integers(101, size=(2, 200)).tolist()
    people = [f"p{number % 7}" for number in range(200)]
    everything = make_predictions(truth, predicted, people, classes=101, confidence=0.3)
    few = replace(everything, probabilities=None, top=everything.predicted, top_confidence=everything.confidence)
    assert measured(few) == measured(everything)
    assert measured(few).figures["calibration_error"] > 0.2
    few.save(tmp_path / "p.npz")
    assert_same(load_predictions(tmp_path / "p.npz"), few)
    assert_same(pool([few.select(np.arange(100)), few.select(np.arange(100, 200))]), few)


def test_what_is_no_file_of_predictions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    make_predictions([0, 1], [0, 1]).save(path)
    whole = path.read_bytes()
    for content in (b"", b"nonsense", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(MienError, match=r"p\.npz holds no predictions"):
            load_predictions(path)
    random = np.random.default_rng(0)
    for place in random.integers(len(whole), size=200):
        path.write_bytes(whole[:place] + bytes(random.integers(256, size=3, dtype=np.uint8)) + whole[place + 3 :])
        with contextlib.suppress(MienError):  # not every byte matters
            load_predictions(path)
    np.savez(path, labels=np.array(["a"]))
    with pytest.raises(MienError, match=r"p\.npz holds no predictions.*truth"):
        load_predictions(path)
    np.savez(path, labels=np.array(["a", None], object))
    with pytest.raises(MienError, match=r"holds no predictions.*pickle"):
        load_predictions(path)
    with pytest.raises(MienError, match=r"none\.npz holds no predictions"):
        load_predictions(tmp_path / "none.npz")


def test_folds_are_pooled_and_selected() -> None:
    first, second = make_predictions([0, 1], [0, 1]), make_predictions([2], [0], fold=1)
    both = pool([first, second])
    assert both.truth.tolist() == [0, 1, 2]
    assert both.fold.tolist() == [0, 0, 1]
    assert both.valence_truth is None
    assert_same(both.select(np.array([True, True, False])), first)
    assert both.select(np.array([2])).predicted.tolist() == [0]


def test_figures_are_those_of_the_metrics() -> None:
    truth, predicted = [0, 0, 0, 1, 1, 0], [0, 0, 1, 1, 0, 0]
    people = ["a", "a", "a", "a", "b", "b"]
    found = measured(make_predictions(truth, predicted, people), [Training({"b", "c"}, {})])
    assert found.figures == pytest.approx(
        {
            "accuracy": 4 / 6,
            "macro_precision": (3 / 4 + 1 / 2) / 2,
            "macro_recall": (3 / 4 + 1 / 2) / 2,
            "macro_f1": (3 / 4 + 1 / 2) / 2,
            "mean_over_people": (3 / 4 + 1 / 2) / 2,
            "calibration_error": 0.8 - 4 / 6,
            "neutral_called_negative": 0,
        }
    )
    assert found.confusion == [[3, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert found.classes["happiness"] == result.ClassFigures(0.5, 0.5, 0.5, 2)
    assert found.classes["fear"] == result.ClassFigures(None, None, None, 0)
    assert (found.people, found.shared_people, found.pictures, found.folds) == (2, 1, 6, 1)
    assert (found.labels, found.left_out, found.predictions) == (LABELS, {"no face": 2}, "p.npz")
    right = np.array(truth) == np.array(predicted)
    assert predictions.figures(make_predictions(truth, predicted, people), UNKNOWN) == found.figures
    assert found.figures["mean_over_people"] == metrics.mean_over_people(right, people)


def test_valence_is_measured_where_it_is_known_and_beside_the_training_mean() -> None:
    valence = ([0.5, -0.5, np.nan, 0.5], [0.5, 0.0, 1.0, 0.0])
    answers = make_predictions([0] * 4, [0] * 4, list("abca"), valence=valence)
    answers = replace(answers, labels=(), probabilities=None, fold=np.array([0, 0, 1, 1]))
    found = measured(answers, [Training(None, {"valence": 0.0}), Training(None, {"valence": 0.5})])
    assert set(found.figures) == {"valence_rmse", "valence_ccc", "valence_rmse_of_mean"}
    assert found.figures["valence_rmse"] == pytest.approx(np.sqrt(0.5 / 3))
    assert found.figures["valence_rmse_of_mean"] == pytest.approx(np.sqrt(0.5 / 3))
    assert set(found.intervals) <= set(found.figures)
    assert (found.confusion, found.classes, found.labels) == ([], {}, ())


def test_a_result_is_plain_json_even_where_figures_are_not_defined() -> None:
    found = measured(
        make_predictions([-1, -1], [0, 1], ["a", "b"], valence=([0, 0], [1, 1])), [Training(None, {"valence": 0.0})]
    )
    assert set(found.figures) == {"valence_rmse", "valence_ccc", "valence_rmse_of_mean"}
    encoded = msgspec.json.encode(found)
    assert b"NaN" not in encoded
    assert msgspec.json.decode(encoded, type=result.TestResult) == found


def test_people_are_shared_only_with_their_own_fold() -> None:
    folds = pool([make_predictions([0, 1], [0, 1], ["a", "b"]), make_predictions([0], [0], ["c"], fold=1)])
    assert measured(folds, [Training({"c"}, {}), Training({"a", "b"}, {})]).shared_people == 0
    assert measured(folds, [Training({"a"}, {}), Training({"c"}, {})]).shared_people == 2
    assert measured(folds, [Training({"a"}, {}), Training(None, {})]).shared_people is None


def test_intervals_are_over_people_and_over_pictures_only_without_names() -> None:
    of_person = [f"p{number // 50}" for number in range(500)]
    # Half of the people are always read right, the others never.
    truth, predicted = [0, 1] * 250, [number % 2 if (number // 50) % 2 else (number + 1) % 2 for number in range(500)]
    named, unnamed = (
        measured(make_predictions(truth, predicted, of_person)),
        measured(make_predictions(truth, predicted)),
    )
    partly = measured(make_predictions(truth, predicted, [*of_person[:-1], ""]))
    width = {
        name: found.intervals["accuracy"][1] - found.intervals["accuracy"][0]
        for name, found in {"named": named, "unnamed": unnamed, "partly": partly}.items()
    }
    assert width["named"] == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(10), abs=0.1)
    assert width["unnamed"] == width["partly"] == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(500), abs=0.02)
    assert (unnamed.people, partly.people, partly.shared_people) == (None, None, None)
    assert "mean_over_people" in named.figures
    assert "mean_over_people" not in unnamed.figures
    assert set(named.intervals) == set(named.figures) - {"calibration_error"}
    for found in (named, unnamed):
        for name, (low, high) in found.intervals.items():
            assert low <= found.figures[name] <= high
    assert measured(make_predictions([0, 1], [0, 1], ["a", "a"])).intervals == {}


def test_many_classes_are_not_listed() -> None:
    count = predictions.MOST_CLASSES + 1
    found = measured(make_predictions([*range(count)], [0] * count, [f"p{n}" for n in range(count)], classes=count))
    assert (found.confusion, found.classes) == ([], {})
    assert found.figures["accuracy"] == pytest.approx(1 / count)
    assert set(found.figures) == {"accuracy", "mean_over_people", "calibration_error"}


def test_nothing_to_test_on_is_an_error() -> None:
    with pytest.raises(MienError, match=r"target: mine has no picture to test on \(no face\)"):
        measured(make_predictions([], []))


def test_affect_alone_has_no_classes() -> None:
    with pytest.raises(MienError, match="valence or arousal alone"):
        _ = replace(make_predictions([0], [0]), probabilities=None).predicted


@pytest.mark.parametrize("people", [200, 0])
def test_intervals_of_20000_pictures_take_about_a_second(people: int) -> None:
    random = np.random.default_rng(0)
    truth, predicted = random.integers(3, size=(2, 20_000)).tolist()
    valence = (random.uniform(-1, 1, 20_000).tolist(), random.uniform(-1, 1, 20_000).tolist())
    names = [f"p{number % people}" for number in range(20_000)] if people else None
    answers = make_predictions(truth, predicted, names, valence=valence)
    start = time.process_time()
    measured(answers, [Training(None, {"valence": 0.0})])
    seconds = time.process_time() - start
    assert seconds < 3  # 0.1 and 0.4 on a free core
