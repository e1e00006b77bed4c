"""Labels that are corrected or taken back: nothing that knows them is used any more."""

from __future__ import annotations

import numpy as np
import pytest

from mien.errors import MienError
from mien.personal.messages import Personalise, Progress, StoredHead
from mien.personal.people import People
from mien.personal.samples import Cancelled, Source
from tests.personal.small_people import (
    LABELS,
    enrolment,
    label,
    moment,
    otherwise,
    personalise,
    probability,
    says,
    teach,
)


def test_a_wrong_label_is_corrected_at_any_time_as_if_it_had_never_been(people: People) -> None:
    for person_id in ("anna", "bob"):
        people.enroll(enrolment(person_id))
        teach(people, person_id, range(12))
    wrong = label(people, moment("anna", 12, says("anger")))
    label(people, moment("bob", 12, says("neutral")))
    corrected = people.relabel(wrong.sample_id, says("neutral"))
    assert (corrected.sample_id, corrected.samples) == (wrong.sample_id, 13)
    anna, bob = people.heads()
    assert corrected.head == anna
    assert probability(anna, 12, "neutral") == pytest.approx(probability(bob, 12, "neutral"), abs=1e-5)
    assert probability(wrong.head or anna, 12, "neutral") < probability(anna, 12, "neutral")


def test_a_label_is_taken_back_as_if_it_had_never_been(people: People) -> None:
    people.enroll(enrolment("anna"))
    before = teach(people, "anna", range(5))[-1].head
    wrong = label(people, moment("anna", 5, says("anger")))
    assert before is not None
    assert probability(before, 5, "anger") < probability(wrong.head or before, 5, "anger")
    after = people.relabel(wrong.sample_id, says())
    assert (after.samples, after.message) == (5, "")
    assert after.head is not None
    assert probability(after.head, 5, "anger") == pytest.approx(probability(before, 5, "anger"), abs=1e-5)


def test_no_head_that_knows_a_label_outlives_it_where_the_new_one_would_not_have_been_taken(people: People) -> None:
    doubtful = 0
    for number in range(30):
        person_id, random = f"person{number}", np.random.default_rng(number)
        people.enroll(enrolment(person_id))
        said = [otherwise(seed) if random.random() < 0.35 else LABELS[seed % len(LABELS)] for seed in range(12)]
        people.add_labels([moment(person_id, seed, says(said[seed])) for seed in range(9)])  # too few to judge
        people.add_labels([moment(person_id, seed, says(said[seed])) for seed in range(9, 12)])
        if not people.head(person_id).version:
            continue
        after = people.relabel(f"moment-{person_id}-3", says())
        assert after.head == people.head(person_id)
        doubtful += not (after.head is None or after.message or personalise(people, person_id).success)
    assert doubtful, "some of the new heads do not surely better the base head"


def test_who_takes_the_only_label_back_has_the_base_head_again(people: People) -> None:
    people.enroll(enrolment("anna"))
    wrong = label(people, moment("anna", 1, says("anger")))
    assert people.heads()
    after = people.relabel(wrong.sample_id, says())
    assert (after.samples, after.head) == (0, StoredHead("anna", 0, b""))
    assert people.heads() == ()


def test_who_takes_back_all_that_can_be_learned_from_has_the_base_head_again(people: People) -> None:
    people.enroll(enrolment("anna"))
    wrong = label(people, moment("anna", 1, says("anger")))
    label(people, moment("anna", 2, says(valence=0.5, arousal=0.5)))  # the model tells no valence
    after = people.relabel(wrong.sample_id, says())
    assert (after.samples, after.head) == (1, StoredHead("anna", 0, b""))
    assert people.heads() == ()


def test_no_head_comes_of_moments_that_were_all_taken_back_while_it_was_learned(people: People) -> None:
    people.enroll(enrolment("anna"))
    teach(people, "anna", range(20))
    people.rollback("anna", 0)  # than which what is learned is better

    def take_back(progress: Progress) -> None:
        for seed in range(people.list_people()[0].samples):
            people.relabel(f"moment-anna-{seed}", says())

    with pytest.raises(Cancelled):
        people.personalise(Personalise("anna", "sgd", 400), take_back, lambda: False)
    assert people.heads() == ()


def test_only_what_the_same_one_said_is_taken_back(people: People) -> None:
    people.enroll(enrolment("anna"))
    for annotator in ("left", "right"):
        stored = label(people, moment("anna", 1, says("anger", source=Source.OBSERVER, annotator=annotator)))
    for other in (says(), says(source=Source.OBSERVER), says(source=Source.SELF, annotator="left")):
        with pytest.raises(MienError, match="There is no label by"):
            people.relabel(stored.sample_id, other)
    assert people.relabel(stored.sample_id, says(source=Source.OBSERVER, annotator="left")).samples == 1
    assert people.relabel(stored.sample_id, says(source=Source.OBSERVER, annotator="right")).samples == 0
    with pytest.raises(MienError, match="is not kept"):
        people.relabel(stored.sample_id, says("anger"))


def test_what_cannot_be_said_of_a_moment_is_refused_and_the_label_stays(people: People) -> None:
    people.enroll(enrolment("anna"))
    stored = label(people, moment("anna", 1, says("anger")))
    before = people.heads()
    for wrong in (says("boredom"), says(valence=2.0, arousal=0.0)):
        with pytest.raises(MienError, match=r"boredom|valence"):
            people.relabel(stored.sample_id, wrong)
    assert people.heads() == before
    assert people.list_people()[0].samples == 1
