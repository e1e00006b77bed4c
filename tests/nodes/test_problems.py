"""What the log has said it does not say again, unless all was well in between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mien.nodes.problems import ToldProblems


def test_a_problem_is_new_once() -> None:
    told = ToldProblems()
    assert told.new(("slow", "full", "slow")) == ["slow", "full"]
    assert told.new(("full", "damaged")) == ["damaged"]


def test_problems_that_take_turns_are_not_new_each_time() -> None:
    told = ToldProblems()
    turns = [told.new((problem,)) for problem in ("slow", "died", "slow", "died")]
    assert turns == [["slow"], ["died"], [], []]


def test_what_comes_back_after_all_was_well_is_new() -> None:
    told = ToldProblems()
    assert told.new(("slow",)) == ["slow"]
    assert told.new(()) == []
    assert told.new(("slow",)) == ["slow"]


@given(st.lists(st.lists(st.sampled_from("abc"))))
def test_between_times_when_all_is_well_each_is_said_once(times: list[list[str]]) -> None:
    told, said = ToldProblems(), set[str]()
    for problems in times:
        new = told.new(problems)
        assert not said & set(new)
        said = said | set(new) if problems else set()
        assert set(problems) <= said
