"""Files that say what was shown when."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import MienError
from mien.personal.stimulus import StimulusLabel, read_stimulus


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, name: str = "film.csv") -> Path:
        file = tmp_path / name
        file.write_text(text)
        return file

    return write


def test_csv_and_json_say_the_same(write) -> None:
    csv = write("time_s,expression,valence,arousal\n8, sadness,,\n0,happiness,0.5,-0.25\n4.5,,-1,1\n")
    rows = [
        {"time_s": 8, "expression": "sadness"},
        {"time_s": 0, "expression": "happiness", "valence": 0.5, "arousal": -0.25},
        {"time_s": 4.5, "valence": -1, "arousal": 1},
    ]
    found = read_stimulus(csv, 0)
    assert [one.time_s for one in found] == [0, 4.5, 8]
    assert found[0] == StimulusLabel(0, "happiness", 0.5, -0.25)
    assert (found[1].expression, found[2].expression) == ("", "sadness")
    assert math.isnan(found[2].valence)
    again = read_stimulus(write(json.dumps(rows), "film.json"), 0)
    assert repr(again) == repr(found)


@given(times=st.lists(st.floats(0, 1e4, allow_subnormal=False), min_size=1, max_size=60), every_s=st.floats(0.01, 100))
def test_thinned_labels_stand_apart_and_none_is_left_out_without_need(
    tmp_path_factory: pytest.TempPathFactory, times: list[float], every_s: float
) -> None:
    file = tmp_path_factory.getbasetemp() / "thinned.json"
    file.write_text(json.dumps([{"time_s": time, "expression": "fear"} for time in times]))
    kept = [one.time_s for one in read_stimulus(file, every_s)]
    assert kept[0] == min(times)
    assert all(later - earlier >= every_s for earlier, later in pairwise(kept))
    for time in times:
        last = max(one for one in kept if one <= time)
        assert time == last or time - last < every_s


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["no labels"]),
        ("time_s,expression\n", ["no labels"]),
        ("time_s,expression\n1,\n", ["label 1", "too little"]),
        ("time_s,valence\n1,0.5\n", ["label 1", "too little"]),
        ("time_s,valence,arousal\n0,0,0\n1,0.5,1.5\n", ["label 2", "1.5"]),
        ("time_s,valence,arousal\n0,nan,0\n", ["label 1", "too little"]),
        ("time_s,expression\n-1,fear\n", ["label 1", "-1"]),
        ("time_s,expression\ninf,fear\n", ["label 1", "inf"]),
        ("time_s,expression\n1e300,fear\n", ["label 1", "1e+300"]),
        ("time_s,expression\nsoon,fear\n", ["label 1", "time_s"]),
        ("expression\nfear\n", ["label 1", "time_s"]),
        ("time_s,expression,colour\n1,fear,red\n", ["label 1", "colour"]),
        ("time_s,expression\n1,fear,more\n", ["label 1", "more than the first line names"]),
        (f"time_s,expression\n1,{'a' * 200_000}\n", ["larger than"]),
    ],
)
def test_a_wrong_csv_is_refused_with_the_line_and_what_to_give(write, text: str, words: list[str]) -> None:
    file = write(text)
    with pytest.raises(MienError) as caught:
        read_stimulus(file, 0)
    assert all(word in str(caught.value) for word in (str(file), *words)), caught.value


@pytest.mark.parametrize("text", ["{}", "[1]", "[", "[[" * 5000, '[{"time_s": null}]', '"x"'])
def test_a_wrong_json_is_refused(write, text: str) -> None:
    with pytest.raises(MienError, match=r"film\.json"):
        read_stimulus(write(text, "film.json"), 0)


def test_what_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.csv").write_bytes(b"\xff\xfe\x00\x01")
    for file in (tmp_path / "film.csv", tmp_path / "none.csv", tmp_path):
        with pytest.raises(MienError, match="cannot be read"):
            read_stimulus(file, 0)


@pytest.mark.parametrize("every_s", [-1.0, math.nan, math.inf])
def test_a_span_that_is_none_is_refused(write, every_s: float) -> None:
    with pytest.raises(MienError, match="every"):
        read_stimulus(write("time_s,expression\n0,fear\n"), every_s)
