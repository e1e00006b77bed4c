"""Results as JSON: only numbers that JSON can say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mien.errors import MienError
from mien.records import face_record

GOOD: dict[str, Any] = {
    "face_id": "f1",
    "box": (1.2, 2.0, 3.0, 4.6),
    "landmarks": [(1.23, 4.56)],
    "probabilities": {"neutral": 0.25, "anger": 0.75},
    "expression": "anger",
    "valence": float("nan"),
    "arousal": 0.123456,
}


def test_numbers_are_rounded_and_unknown_affect_is_null() -> None:
    record = face_record(**GOOD)
    assert record.box == (1, 2, 3, 5)
    assert record.landmarks == [(1.2, 4.6)]
    assert (record.valence, record.arousal, record.confidence) == (None, 0.1235, 0.75)


def test_parts_stand_there_only_where_there_are_several() -> None:
    assert b"parts" not in msgspec.json.encode(face_record(**GOOD))
    record = face_record(**GOOD, parts={"eyes": 0.51239, "mouth": 1.0})
    assert msgspec.json.decode(msgspec.json.encode(record))["parts"] == {"eyes": 0.5124, "mouth": 1.0}


def test_a_model_without_classes_has_neither_expression_nor_confidence() -> None:
    record = face_record(**{**GOOD, "probabilities": {}, "expression": "", "valence": 0.5})
    assert (record.expression, record.confidence, record.valence) == ("", None, 0.5)


@pytest.mark.parametrize(
    "change",
    [
        {"probabilities": {"neutral": float("nan"), "anger": 0.75}},
        {"landmarks": [(float("inf"), 0.0)]},
        {"box": (0.0, float("nan"), 1.0, 1.0)},
        {"parts": {"mouth": float("nan")}},
    ],
)
def test_other_numbers_that_are_not_finite_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MienError, match="f1"):
        face_record(**{**GOOD, **change})
