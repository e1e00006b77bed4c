"""Interaction windows: who is in which, and when they begin and end."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mien.errors import MienError
from mien.expression.interactions import (
    ABSENCE_TIMEOUT_S,
    MAXIMUM_INTERACTIONS,
    MAXIMUM_PEOPLE,
    Interactions,
    PersonSatisfaction,
)
from mien.expression.satisfaction import Level, SatisfactionParameters

LABELS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")


@pytest.fixture
def interactions() -> Interactions:
    return Interactions(LABELS, SatisfactionParameters())


def show(
    to: Interactions, face_id: str, label: str, start_s: float, seconds: float, person_id: str = "", rate_hz: int = 10
) -> float:
    """Show a face with one expression for a while; returns the next stamp."""
    p = np.eye(len(LABELS), dtype=np.float32)[LABELS.index(label)]
    for i in range(round(seconds * rate_hz)):
        to.observe(face_id, person_id, start_s + i / rate_hz, p, math.nan, 0.9)
    return start_s + seconds


def by_name(states: list[PersonSatisfaction]) -> dict[tuple[str, str], PersonSatisfaction]:
    result = {(state.subject, state.person_id or state.face_id): state for state in states}
    assert len(result) == len(states)
    return result


def test_a_face_that_appears_has_a_window_without_subject(interactions: Interactions) -> None:
    assert interactions.states(0) == []
    now_s = show(interactions, "f1", "happiness", 100, 5)
    (person,) = interactions.states(now_s)
    assert (person.interaction_id, person.subject, person.face_id, person.person_id) == ("", "", "f1", "")
    assert person.state.level is Level.SATISFIED
    assert person.state.duration_s == pytest.approx(5)


def test_a_window_by_presence_ends_with_absence(interactions: Interactions) -> None:
    now_s = show(interactions, "f1", "happiness", 0, 5)
    (gone,) = interactions.states(now_s + ABSENCE_TIMEOUT_S - 1)
    assert not gone.state.present
    assert gone.state.score == pytest.approx(1)
    assert interactions.states(now_s + ABSENCE_TIMEOUT_S + 1) == []


def test_who_returns_after_the_timeout_begins_anew(interactions: Interactions) -> None:
    now_s = show(interactions, "f1", "happiness", 0, 5, "anna")
    now_s = show(interactions, "f2", "anger", now_s + ABSENCE_TIMEOUT_S + 1, 5, "anna")  # nobody asked in between
    (person,) = interactions.states(now_s)
    assert person.state.score == pytest.approx(-1)
    assert person.state.duration_s == pytest.approx(5)


def test_what_has_ended_is_told_once_as_it_stood_when_the_person_left(interactions: Interactions) -> None:
    left_s = show(interactions, "f1", "happiness", 0, 5, "anna")
    (present,) = interactions.states(left_s - 0.1)
    assert interactions.ended(left_s + ABSENCE_TIMEOUT_S - 1) == []
    show(interactions, "f2", "anger", left_s + ABSENCE_TIMEOUT_S + 1, 5, "anna")
    (ended,) = interactions.ended(left_s + ABSENCE_TIMEOUT_S + 6)
    assert ended == present
    assert interactions.ended(left_s + ABSENCE_TIMEOUT_S + 6) == []
    assert interactions.states(1e6) == []
    (second,) = interactions.ended(1e6)
    assert (second.person_id, second.state.level) == ("anna", Level.DISSATISFIED)


def test_all_windows_by_presence_can_be_ended_and_others_are_not(interactions: Interactions) -> None:
    interaction = interactions.begin("tea", [], 0)
    now_s = show(interactions, "f1", "happiness", 0, 5, "anna")
    assert [(one.subject, one.person_id) for one in interactions.ended(math.inf)] == [("", "anna")]
    (left,) = interactions.end(interaction, now_s).people
    assert left.person_id == "anna"


def test_a_forgotten_person_has_no_window_and_the_face_is_nobodys(interactions: Interactions) -> None:
    interactions.begin("tea", [], 0)
    now_s = show(interactions, "f1", "happiness", 0, 5, "anna")
    interactions.states(now_s + ABSENCE_TIMEOUT_S + 1)  # one window has ended
    now_s = show(interactions, "f1", "happiness", now_s + ABSENCE_TIMEOUT_S + 2, 5, "anna")
    interactions.forget("anna")
    interactions.forget("nobody")
    now_s = show(interactions, "f1", "anger", now_s, 5)
    states = by_name(interactions.states(now_s))
    assert set(states) == {("", "f1"), ("tea", "f1")}
    assert states["", "f1"].state.score == pytest.approx(-1)
    assert [one.person_id for one in interactions.ended(math.inf)] == [""]


def test_who_returns_before_goes_on(interactions: Interactions) -> None:
    now_s = show(interactions, "f1", "happiness", 0, 5, "anna")
    now_s = show(interactions, "f2", "happiness", now_s + 3, 5, "anna")
    (person,) = interactions.states(now_s)
    assert person.face_id == "f2"
    assert person.state.observed_s == pytest.approx(9.8)
    assert person.state.duration_s == pytest.approx(13)


def test_an_interaction_is_summed_up_per_person(interactions: Interactions) -> None:
    now_s = show(interactions, "f1", "anger", 0, 5, "anna")  # before it begins: does not count
    tea = interactions.begin("tea", [], now_s)
    show(interactions, "f1", "happiness", now_s, 8, "anna")
    show(interactions, "f2", "anger", now_s + 3, 4)
    summary = interactions.end(tea, now_s + 10)
    assert (summary.subject, summary.duration_s) == ("tea", pytest.approx(10))
    people = by_name(summary.people)
    assert set(people) == {("tea", "anna"), ("tea", "f2")}
    anna, stranger = people["tea", "anna"], people["tea", "f2"]
    assert (anna.interaction_id, anna.face_id) == (tea, "f1")
    assert anna.state.score == pytest.approx(1)
    assert anna.state.duration_s == pytest.approx(10)
    assert anna.state.observed_s == pytest.approx(7.9)
    assert stranger.state.score == pytest.approx(-1)
    assert stranger.state.observed_s == pytest.approx(3.9)
    assert stranger.state.duration_s == pytest.approx(10)  # of the window, however late somebody joins


def test_several_interactions_run_at_once(interactions: Interactions) -> None:
    tea = interactions.begin("tea", ["anna"], 0)
    cake = interactions.begin("cake", ["f2"], 0)
    both = interactions.begin("service", [], 0)
    assert len({tea, cake, both}) == 3
    show(interactions, "f1", "happiness", 0, 5, "anna")
    now_s = show(interactions, "f2", "anger", 0, 5)
    everyone = {("", "anna"), ("", "f2"), ("tea", "anna"), ("cake", "f2"), ("service", "anna"), ("service", "f2")}
    assert set(by_name(interactions.states(now_s))) == everyone
    assert [person.person_id for person in interactions.end(tea, now_s).people] == ["anna"]
    show(interactions, "f2", "happiness", now_s, 5)
    (cake_eater,) = interactions.end(cake, now_s + 5).people
    assert cake_eater.state.score == pytest.approx(0, abs=0.1)
    assert len(interactions.end(both, now_s + 5).people) == 2
    assert set(by_name(interactions.states(now_s + 5))) == {("", "anna"), ("", "f2")}


def test_an_absent_face_stays_in_its_interaction_with_less_confidence(interactions: Interactions) -> None:
    tea = interactions.begin("tea", [], 0)
    now_s = show(interactions, "f1", "happiness", 0, 10)
    before = by_name(interactions.states(now_s))["tea", "f1"].state
    (after,) = interactions.states(now_s + 50)
    assert after.interaction_id == tea
    assert after.state.score == before.score
    assert after.state.confidence < 0.1 * before.confidence
    assert (before.level, after.state.level) == (Level.SATISFIED, Level.UNKNOWN)


def test_a_face_recognised_later_keeps_its_window(interactions: Interactions) -> None:
    tea = interactions.begin("tea", [], 0)
    now_s = show(interactions, "f1", "happiness", 0, 3)
    now_s = show(interactions, "f1", "happiness", now_s, 3, "anna")
    now_s = show(interactions, "f1", "happiness", now_s, 3)  # and not recognised for a moment
    assert set(by_name(interactions.states(now_s))) == {("", "anna"), ("tea", "anna")}
    (anna,) = interactions.end(tea, now_s).people
    assert anna.state.observed_s == pytest.approx(8.9)
    assert anna.face_id == "f1"


def test_a_new_face_of_a_known_person_joins_her_window(interactions: Interactions) -> None:
    tea = interactions.begin("tea", [], 0)
    now_s = show(interactions, "f1", "happiness", 0, 4, "anna")
    now_s = show(interactions, "f2", "anger", now_s + 2, 4)  # the track was lost, she is not recognised at once
    assert ("tea", "f2") in by_name(interactions.states(now_s))
    now_s = show(interactions, "f2", "anger", now_s, 4, "anna")
    (anna,) = interactions.end(tea, now_s).people
    assert (anna.person_id, anna.face_id) == ("anna", "")  # several faces
    assert anna.state.observed_s == pytest.approx(3.9 + 3.9 + 3.9)
    assert -0.6 < anna.state.score < -0.3


def test_a_face_that_turns_out_to_be_another_leaves_the_first_alone(interactions: Interactions) -> None:
    now_s = show(interactions, "f1", "happiness", 0, 4, "anna")
    now_s = show(interactions, "f1", "anger", now_s, 4, "berta")
    now_s = show(interactions, "f1", "anger", now_s, 1)
    people = by_name(interactions.states(now_s))
    assert people["", "anna"].state.score == pytest.approx(1)
    assert people["", "berta"].state.score == pytest.approx(-1)
    assert people["", "berta"].state.observed_s == pytest.approx(4.9)


def test_person_and_face_of_one_name_are_two(interactions: Interactions) -> None:
    show(interactions, "f1", "happiness", 0, 2, "f2")
    show(interactions, "f2", "anger", 0, 2)
    assert sorted(person.state.score for person in interactions.states(2)) == pytest.approx([-1, 1])


def test_nobody_seen_gives_an_empty_summary(interactions: Interactions) -> None:
    tea = interactions.begin("tea", ["anna", ""], 5)
    show(interactions, "f1", "happiness", 5, 2)
    summary = interactions.end(tea, 12)
    assert summary.people == []
    assert summary.duration_s == 7


def test_a_clock_set_back_keeps_the_interaction(interactions: Interactions) -> None:
    tea = interactions.begin("tea", [], 1000)
    show(interactions, "f1", "happiness", 1000, 5)
    now_s = show(interactions, "f1", "happiness", 3, 5)
    summary = interactions.end(tea, now_s)
    assert summary.people[0].state.observed_s == pytest.approx(9.8)
    assert summary.duration_s == pytest.approx(9.9)


@pytest.mark.parametrize("interaction_id", ["", "unknown", "x" * 10_000])
def test_an_unknown_interaction_is_refused(interactions: Interactions, interaction_id: str) -> None:
    with pytest.raises(MienError, match="no open interaction") as caught:
        interactions.end(interaction_id, 0)
    assert len(str(caught.value)) < 300


def test_an_interaction_ends_once_and_its_id_is_not_given_again(interactions: Interactions) -> None:
    ids = []
    for i in range(100):
        ids.append(interactions.begin("tea", [], i))
        interactions.end(ids[-1], i)
    assert len(set(ids)) == 100
    assert all(0 < len(one) <= 64 for one in ids)
    with pytest.raises(MienError, match="no open interaction"):
        interactions.end(ids[0], 101)


@pytest.mark.parametrize("subject", ["", "  ", "x" * 257, "ä" * 129])
def test_empty_and_very_long_subjects_are_refused(interactions: Interactions, subject: str) -> None:
    with pytest.raises(MienError, match=r"[Ss]ubject"):
        interactions.begin(subject, [], 0)
    interactions.begin("x" * 256, [], 0)


def test_open_interactions_are_limited_and_the_error_names_one_to_end(interactions: Interactions) -> None:
    ids = [interactions.begin(f"subject {i}", [], 0) for i in range(MAXIMUM_INTERACTIONS)]
    with pytest.raises(MienError, match="open") as caught:
        interactions.begin("one more", [], 0)
    assert ids[0] in caught.value.remedy
    interactions.end(ids[0], 1)
    interactions.begin("one more", [], 1)


def test_too_many_named_people_are_refused(interactions: Interactions) -> None:
    with pytest.raises(MienError, match="people"):
        interactions.begin("tea", [f"p{i}" for i in range(MAXIMUM_PEOPLE + 1)], 0)


def test_the_one_not_seen_for_longest_makes_room(interactions: Interactions) -> None:
    tea = interactions.begin("tea", [], 0)
    show(interactions, "first", "happiness", 0, 0.2)
    show(interactions, "second", "happiness", 0, 0.2)
    for i in range(MAXIMUM_PEOPLE - 1):
        show(interactions, "first", "happiness", 1 + i / 100, 0.1)
        show(interactions, f"f{i}", "neutral", 1 + i / 100, 0.1)
    present = {state.face_id for state in interactions.states(4) if not state.subject}
    assert len(present) == MAXIMUM_PEOPLE
    assert "first" in present
    assert "second" not in present
    assert len(interactions.end(tea, 4).people) == MAXIMUM_PEOPLE


def test_the_order_of_cameras_does_not_matter_much(interactions: Interactions) -> None:
    """Two cameras see one person, the second a little later and delivering late."""
    tea = interactions.begin("tea", [], 0)
    for i in range(100):
        show(interactions, "left", "happiness", i / 10, 0.1, "anna")
        show(interactions, "right", "happiness", i / 10 - 0.03, 0.1, "anna")
    (anna,) = interactions.end(tea, 10).people
    assert anna.state.observed_s == pytest.approx(9.9)
    assert anna.state.score == pytest.approx(1)


def test_who_left_a_begun_interaction_long_ago_waits_for_its_summary(interactions: Interactions) -> None:
    tea = interactions.begin("tea", [], 0)
    now_s = show(interactions, "f1", "happiness", 0, 10)
    now_s = show(interactions, "f2", "anger", now_s + 100, 10)
    assert {person.face_id for person in interactions.states(now_s)} == {"f2"}
    assert {person.face_id for person in interactions.end(tea, now_s).people} == {"f1", "f2"}
