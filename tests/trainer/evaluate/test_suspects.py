"""Pictures that are likely mislabelled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from tests.trainer.evaluate.answers import make_predictions
from trainer.data.pictures import PictureFile
from trainer.data.sample import Sample, SampleList
from trainer.evaluate.predictions import Predictions
from trainer.evaluate.suspects import (
    SuspectList,
    find_suspects,
    read_suspects,
    suspected,
    write_suspects,
)


def mislabelled(seed: int, wrong: int = 20) -> Predictions:
    """600 pictures that a model reads well; the labels of the first `wrong` are not what they show."""
    random = np.random.default_rng(seed)
    shown = random.integers(3, size=600)
    truth = shown.copy()
    truth[:wrong] = (shown[:wrong] + 1) % 3
    probabilities = random.dirichlet(np.ones(3), 600) * 0.3
    probabilities[np.arange(600), shown] += 0.7
    answers = make_predictions(truth.tolist(), shown.tolist(), [f"p{number % 30}" for number in range(600)])
    return replace(answers, probabilities=probabilities.astype(np.float32))


@pytest.mark.parametrize("seed", range(5))
def test_wrong_labels_are_found(seed: int) -> None:
    answers = mislabelled(seed)
    suspects = find_suspects(answers).errors
    assert {suspect.name for suspect in suspects} == set(answers.names[:20].tolist())
    assert sum(suspect.is_issue for suspect in suspects) >= 10  # as many of each class as it estimates to be wrong


def test_honest_errors_are_no_issues() -> None:
    # The model is not sure of these: they are errors, yet no reason to doubt the label.
    answers = make_predictions([0] * 50 + [1] * 50 + [2] * 50, [0] * 50 + [1] * 50 + [2] * 49 + [1])
    answers.of_classes[-1] = [0.2, 0.41, 0.39]
    assert [suspect.is_issue for suspect in find_suspects(answers).errors] == [False]


def test_the_most_confident_errors_come_first() -> None:
    answers = make_predictions([0, 0, 0, 1, -1], [0, 1, 1, 2, 0], ["a", "b", "c", "d", "e"])
    answers.of_classes[:] = [[0.9, 0.1, 0], [0.3, 0.6, 0.1], [0.1, 0.9, 0], [0.2, 0.1, 0.7], [1, 0, 0]]
    suspects = find_suspects(answers).errors
    assert [(one.person, one.truth, one.predicted) for one in suspects] == [
        ("c", "neutral", "happiness"),
        ("d", "happiness", "fear"),
        ("b", "neutral", "happiness"),
    ]
    assert suspects[0].name == "fold0/2.png"
    assert [one.confidence for one in suspects] == pytest.approx([0.9, 0.7, 0.6])
    assert [one.quality for one in suspects] == pytest.approx([0.1, 0.2, 0.35])  # (1 + label − best other) / 2


def confident(accuracy: float, classes: int = 10, pictures: int = 280) -> Predictions:
    """A network that is sure of everything, and right for a share of the pictures."""
    random = np.random.default_rng(0)
    truth = random.integers(classes, size=pictures)
    shift = np.where(np.arange(pictures) < accuracy * pictures, 0, random.integers(1, classes, size=pictures))
    return make_predictions(truth.tolist(), ((truth + shift) % classes).tolist(), confidence=0.97, classes=classes)


@pytest.mark.parametrize(
    ("answers", "distrust"),
    [
        (confident(0.075), "is right for 7.5 % of 280 pictures, not surely for more than half of them"),
        (confident(0.54), "is right for 54.3 % of 280 pictures, not surely for more than half of them"),
        (
            make_predictions([0] * 90 + [1] * 10, [0] * 89 + [1] * 6 + [0] * 5, confidence=0.97),
            "is right for 94.0 % of 100 pictures, not surely for more than the 90.0 % of the largest class",
        ),
        (confident(0.7), "would suspect 84 of 280 labels, more than 20 %"),
    ],
)
def test_a_network_that_knows_little_suspects_nothing(answers: Predictions, distrust: str) -> None:
    found = find_suspects(answers)
    assert found.distrust == distrust
    assert len(found.errors) == int((answers.predicted != answers.truth).sum())
    assert not any(error.is_issue for error in found.errors)


def test_a_network_that_knows_enough_suspects_labels() -> None:
    found = find_suspects(confident(0.9))
    assert found.distrust == ""
    assert any(error.is_issue for error in found.errors)


@pytest.mark.parametrize("truth", [[], [1], [1, 1, 1], [-1, -1]])
@pytest.mark.filterwarnings("error")
def test_little_is_no_reason_to_stop(truth: list[int]) -> None:
    answers = make_predictions(truth, [0] * len(truth))
    assert [suspect.is_issue for suspect in find_suspects(answers).errors] == [False] * sum(
        label >= 0 for label in truth
    )


def test_valence_and_arousal_have_no_suspects() -> None:
    with pytest.raises(MienError, match="valence or arousal alone"):
        find_suspects(replace(make_predictions([0], [0]), probabilities=None))


def pictures(*paths: str, name: str = "mine") -> SampleList:
    return SampleList(name, [Sample(PictureFile(Path(path)), "all") for path in paths])


def test_suspects_are_found_again_wherever_the_data_lies(tmp_path: Path) -> None:
    here = [f"/here/mine/images/{number}.png" for number in range(4)]
    write_suspects(tmp_path / "suspects.json", {"mine": [here[2], here[1], here[2]], "yours": []})
    suspects = read_suspects(tmp_path / "suspects.json")
    assert suspects.names == {"mine": ["mine/images/1.png", "mine/images/2.png"], "yours": []}
    for root in ("/here", "/there/and/deeper"):
        data = pictures(*[f"{root}/mine/images/{number}.png" for number in range(4)])
        assert suspected(data, suspects).tolist() == [1, 2]
    for name in ("yours", "other"):
        assert len(suspected(pictures("mine/images/1.png", name=name), suspects)) == 0


@pytest.mark.parametrize(
    ("paths", "problem"),
    [
        (["mine/images/7.png"], "names 1 pictures of mine, such as mine/images/1.png; 0 have such a name"),
        (["a/mine/images/1.png", "b/mine/images/1.png"], "2 have such a name"),
    ],
)
def test_a_list_of_other_data_is_refused(paths: list[str], problem: str) -> None:
    with pytest.raises(MienError, match=problem):
        suspected(pictures(*paths), SuspectList({"mine": ["mine/images/1.png"]}))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        (b"{", "cannot be read"),
        (b'{"names": ["a"]}', r"cannot be read .*names"),
        (b'{"names": {}, "pictures": {}}', r"cannot be read .*pictures"),
        (b'{"names": {}, "version": 2}', "is mien-suspects version 2, not mien-suspects 1"),
        (b'{"names": {}, "format": "mien-result"}', "is mien-result version 1"),
    ],
)
def test_what_is_no_list_of_suspects_is_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "suspects.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MienError, match=problem):
        read_suspects(path)
