"""What a robot does with the people it knows, through the one class that does it."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from mien.errors import MienError
from mien.expression.head import DenseLayerSpec, HeadOutputSpec, HeadPartSpec, HeadSpec
from mien.personal.messages import AddLabel, Kind, Labelled, Personalise, Progress, RememberSatisfaction, StoredHead
from mien.personal.people import People
from mien.personal.sample_rows import MAXIMUM_SAMPLES
from mien.personal.samples import Cancelled, Source
from tests.personal.small_people import (
    BASE,
    IDENTITY_SIZE,
    LABELS,
    SIZE,
    embedding,
    enrolment,
    label,
    moment,
    open_people,
    otherwise,
    personalise,
    probability,
    says,
    teach,
)


def enroll_family(people: People) -> None:
    """The group family, with anna and bob."""
    people.enroll(enrolment("family", Kind.GROUP))
    for person_id in ("anna", "bob"):
        people.enroll(enrolment(person_id, groups=("family",)))


def leave_a_family(people: People) -> None:
    """Bob, whose moments are in the head of the family, is not of it any more."""
    enroll_family(people)
    teach(people, "anna", range(20))
    teach(people, "bob", range(20, 60))
    assert personalise(people, "family", "sgd", 400).success
    people.enroll(enrolment("bob"))


# ---- who is there


def test_a_person_gets_an_opaque_id_and_keeps_what_was_agreed(people: People) -> None:
    people.enroll(enrolment("family", Kind.GROUP))
    people.enroll(enrolment("kitchen", Kind.PLACE))
    looks = (embedding(1, IDENTITY_SIZE).tobytes(), embedding(2, IDENTITY_SIZE).tobytes())
    person = people.enroll(enrolment("", display_name="../../Anna", groups=("kitchen", "family"), identity=looks))
    assert len(person.person_id) == 32
    assert person.display_name == "../../Anna"
    assert (person.consent, person.consent_statement) == (True, "May learn from me")
    assert person.consent_time_s > 0
    assert person.groups == ("kitchen", "family")
    assert people.list_people() == (people.list_people()[0], people.list_people()[1], person)
    assert [one.embedding for one in people.identities()] == list(looks)
    assert people.add_identity(person.person_id, embedding(3, IDENTITY_SIZE).tobytes()).identities == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"consent": False}, "only with consent"),
        ({"consent_statement": " "}, "only with consent"),
        ({"person_id": "../anna"}, "cannot be used"),
        ({"person_id": "a" * 65}, "cannot be used"),
        ({"person_id": "-a"}, "cannot be used"),
        ({"display_name": "a" * 257}, "display_name has 257 characters"),
        ({"display_name": "\x1b[2JAnna"}, "display_name has control characters"),
        ({"consent_statement": "yes\ud800"}, "consent_statement has control characters"),
        ({"groups": ("nowhere",)}, "no group or place 'nowhere'"),
        ({"groups": ("bob",)}, "no group or place 'bob'"),
        ({"person_id": "family"}, "family is enrolled as a group"),
        ({"identity": (b"\0" * 32,)}, "is empty"),
        ({"identity": (np.full(8, np.nan, "f4").tobytes(),)}, "not finite"),
        ({"identity": (embedding(1, 8).tobytes(), embedding(1, 9).tobytes())}, "has 9 numbers, 8 are needed"),
        ({"kind": Kind.GROUP, "person_id": "g", "identity": (embedding(1, 8).tobytes(),)}, "have no face"),
    ],
)
def test_who_cannot_be_enrolled_is_told_why(people: People, changes: dict[str, Any], said: str) -> None:
    people.enroll(enrolment("bob"))
    people.enroll(enrolment("family", Kind.GROUP))
    before = people.list_people()
    with pytest.raises(MienError, match=said):
        people.enroll(enrolment("", **changes) if "person_id" not in changes else enrolment(**changes))
    assert people.list_people() == before


def test_identities_of_another_size_are_refused(people: People) -> None:
    people.enroll(enrolment("anna", identity=(embedding(1, 8).tobytes(),)))
    with pytest.raises(MienError, match="has 9 numbers, 8 are needed"):
        people.add_identity("anna", embedding(1, 9).tobytes())


# ---- labels


def test_a_label_changes_the_head_at_once(people: People) -> None:
    people.enroll(enrolment("anna"))
    result = label(people, moment("anna", 1, says(otherwise(1))))
    assert (result.samples, result.message) == (1, "")
    assert result.head is not None
    assert (result.head.owner_id, result.head.version) == ("anna", 1)
    base = probability(StoredHead("anna", 0, b""), 1, otherwise(1))
    assert probability(result.head, 1, otherwise(1)) > base + 0.1
    assert people.heads() == (result.head,)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"person_id": "nobody"}, "Nobody is enrolled with the id 'nobody'"),
        ({"person_id": "family"}, "family is a group"),
        ({"sample_id": ""}, "cannot be stored"),
        ({"sample_id": "a" * 65}, "cannot be stored"),
        ({"stamp_s": math.nan}, "cannot be stored"),
        ({"embedding": embedding(1, 5).tobytes()}, "has 5 numbers, 24 are needed"),
        ({"embedding": np.full(24, np.inf, "f4").tobytes()}, "not finite"),
        ({"label": says("joy")}, "does not know the expression 'joy'. It knows neutral, happiness, anger"),
        ({"label": says(valence=1.5)}, "valence is 1.5"),
        ({"label": says(arousal=-math.inf)}, "arousal is -inf"),
        ({"label": says()}, "says nothing"),
        ({"label": says("anger", annotator="a" * 65)}, "annotator has 65 characters"),
    ],
)
def test_a_label_that_cannot_be_used_is_refused_and_the_others_are_stored(
    people: People, change: dict[str, Any], said: str
) -> None:
    people.enroll(enrolment("anna"))
    people.enroll(enrolment("family", Kind.GROUP))
    good = [moment("anna", seed, says("anger")) for seed in (1, 2)]
    first, wrong, second = people.add_labels(
        [good[0], AddLabel(**{**as_dict(moment("anna", 3, says("anger"))), **change}), good[1]]
    )
    assert isinstance(first, Labelled)
    assert isinstance(second, Labelled)
    assert isinstance(wrong, MienError)
    assert said in str(wrong)
    assert second.samples == 2


def as_dict(request: AddLabel) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__struct_fields__}


def test_observers_of_one_moment_are_averaged_and_each_may_change_their_mind(tmp_path: Path) -> None:
    people = open_people(tmp_path)
    people.enroll(enrolment("anna"))
    for annotator, said in (("o1", "anger"), ("o2", "happiness"), ("o1", "happiness")):
        observed = says(said, source=Source.OBSERVER, annotator=annotator)
        result = label(people, moment("anna", 1, observed, sample_id="same"))
        assert result.samples == 1
    agreed = people.heads()[0]
    alone = open_people(tmp_path / "alone")
    alone.enroll(enrolment("anna"))
    label(alone, moment("anna", 1, says("happiness")))
    assert np.allclose(agreed.tensors()["weight"], alone.heads()[0].tensors()["weight"])  # type: ignore[index]
    disagreed = label(
        people, moment("anna", 1, says("anger", source=Source.OBSERVER, annotator="o3"), sample_id="same")
    )
    assert disagreed.head is not None
    assert probability(disagreed.head, 1, "happiness") < probability(agreed, 1, "happiness")
    people.close()
    alone.close()


def test_what_a_model_cannot_learn_is_stored_and_said(people: People) -> None:
    people.enroll(enrolment("anna"))
    result = label(people, moment("anna", 1, says(valence=0.5)))
    assert result.head is None
    assert result.samples == 1
    assert "valence" in result.message


def test_an_unknown_place_does_not_cost_the_label(people: People) -> None:
    people.enroll(enrolment("anna"))
    result = label(people, moment("anna", 1, says("anger"), place="attic"))
    assert result.head is not None
    assert "There is no place 'attic'" in result.message


def test_contradictory_labels_are_bounded_and_leave_other_people_alone(people: People) -> None:
    people.enroll(enrolment("anna"))
    people.enroll(enrolment("bob"))
    teach(people, "bob", range(5))
    before = [head for head in people.heads() if head.owner_id == "bob"]
    for start in range(0, 1200, 200):
        people.add_labels([moment("anna", seed, says(LABELS[seed % 3])) for seed in range(start, start + 200)])
    anna, bob = people.list_people()
    assert MAXIMUM_SAMPLES <= anna.samples <= 1.2 * MAXIMUM_SAMPLES
    assert bob.samples == 5
    assert [head for head in people.heads() if head.owner_id == "bob"] == before
    assert len(anna.versions) <= 6  # learned once per batch, and only kept where it was no worse


# ---- learning afresh


def test_groups_learn_from_their_members_and_places_from_what_was_labelled_there(people: People) -> None:
    people.enroll(enrolment("family", Kind.GROUP))
    people.enroll(enrolment("kitchen", Kind.PLACE))
    people.enroll(enrolment("anna", groups=("family",)))
    people.enroll(enrolment("bob", groups=("family",)))
    people.enroll(enrolment("guest"))
    teach(people, "anna", range(20))
    teach(people, "bob", range(20, 40), place="kitchen")
    teach(people, "guest", range(40, 55), place="kitchen")
    family, kitchen = personalise(people, "family"), personalise(people, "kitchen")
    assert (family.success, family.samples, kitchen.success, kitchen.samples) == (True, 40, True, 35)
    assert family.score_after > family.score_before
    assert {head.owner_id for head in people.heads()} == {"family", "kitchen", "anna", "bob", "guest"}
    counts = {person.person_id: person.samples for person in people.list_people()}
    assert counts == {"family": 40, "kitchen": 35, "anna": 20, "bob": 20, "guest": 15}


def test_progress_is_told_and_sgd_goes_on_from_the_last_version(people: People) -> None:
    people.enroll(enrolment("anna"))
    teach(people, "anna", range(30))
    people.rollback("anna", 0)
    told: list[Progress] = []
    first, second = (people.personalise(Personalise("anna", "sgd", 100), told.append, lambda: False) for _ in range(2))
    assert first.success
    assert second.success
    assert [one.step for one in told[-3:]] == [98, 99, 100]
    assert all(math.isfinite(one.loss) for one in told)
    assert told[-1].held_out_score == second.score_after
    assert second.head == next(head for head in people.heads() if head.owner_id == "anna")
    assert probability(second.head, 1, otherwise(1)) > probability(first.head, 1, otherwise(1))


def test_cancelled_learning_leaves_nothing(people: People) -> None:
    people.enroll(enrolment("anna"))
    teach(people, "anna", range(30))
    before = people.list_people()
    told: list[Progress] = []
    with pytest.raises(Cancelled):
        people.personalise(Personalise("anna", "sgd", 1000), told.append, lambda: len(told) > 3)
    assert people.list_people() == before


def test_learning_ends_when_one_of_its_people_is_forgotten(people: People) -> None:
    enroll_family(people)
    teach(people, "anna", range(20))
    teach(people, "bob", range(20, 40))
    forgotten = []
    with pytest.raises(Cancelled):
        people.personalise(
            Personalise("family", "sgd", 1000),
            lambda progress: forgotten.append(people.forget("bob")) if not forgotten else None,
            lambda: False,
        )
    assert forgotten[0].samples == 20
    assert {head.owner_id for head in people.heads()} == {"anna"}


@pytest.mark.parametrize(("person_id", "learner"), [("nobody", ""), ("anna", "magic"), ("anna", "")])
def test_nothing_can_be_learned_of_nothing(people: People, person_id: str, learner: str) -> None:
    people.enroll(enrolment("anna"))
    with pytest.raises(MienError, match=r"Nobody is enrolled|no learner 'magic'|nothing to learn from"):
        personalise(people, person_id, learner)


def test_where_neither_ridge_nor_sgd_can_learn_yet_both_say_so(tmp_path: Path) -> None:
    layer = DenseLayerSpec("weight", "bias", "tanh")
    spec = HeadSpec(classes=HeadOutputSpec("softmax", (HeadPartSpec("face", 0, SIZE, (layer,)),)))
    people = open_people(tmp_path / "people", replace(BASE, spec=spec))
    people.enroll(enrolment("anna"))
    (told,) = teach(people, "anna", range(1))
    assert told.message.startswith("Nothing was learned at once. ")
    assert "Use the learner sgd, once there are enough labelled moments" in told.message
    teach(people, "anna", range(1, 2))
    taken_back = people.relabel("moment-anna-1", says())
    assert taken_back.message == told.message
    assert "too few to judge a head by (10 are needed): label more" in personalise(people, "anna", "sgd").message
    teach(people, "anna", range(1, 20))
    assert personalise(people, "anna", "sgd", 400).success
    people.close()


# ---- versions


def test_versions_can_be_gone_back_to_and_are_never_used_twice(people: People) -> None:
    people.enroll(enrolment("anna"))
    heads = [one.head for seed in range(3) for one in teach(people, "anna", range(seed, seed + 1))]
    assert [head.version for head in heads if head] == [1, 2, 3]
    assert people.rollback("anna", 1) == heads[0]
    assert people.heads() == (heads[0],)
    assert people.rollback("anna", 0).tensors() is None
    assert people.heads() == ()
    assert people.list_people()[0].versions == (1, 2, 3)
    (after,) = teach(people, "anna", range(3, 4))
    assert after.head is not None
    assert after.head.version == 4
    with pytest.raises(MienError, match=r"no head of version 9 for this model. Choose one of \[0, 1, 2, 3, 4\]"):
        people.rollback("anna", 9)


def test_a_head_that_turns_out_worse_than_the_base_head_is_used_no_more(people: People) -> None:
    people.enroll(enrolment("anna"))
    teach(people, "anna", range(9))  # too few to judge a head by
    assert people.list_people()[0].head_version == 1
    results = people.add_labels([moment("anna", seed, says(LABELS[seed % len(LABELS)])) for seed in range(9, 30)])
    (result,) = {one.head for one in results if isinstance(one, Labelled)}
    assert result == StoredHead("anna", 0, b"")
    assert people.heads() == ()
    assert "the base head is used again" in results[0].message  # type: ignore[union-attr]
    people.rollback("anna", 1)
    outcome = personalise(people, "anna")
    assert (outcome.success, outcome.head.version) == (False, 0)
    assert "the base head is used again" in outcome.message
    assert people.heads() == ()


def test_the_oldest_versions_go_but_never_the_one_before(people: People) -> None:
    people.enroll(enrolment("anna"))
    teach(people, "anna", range(1))
    for seed in range(1, 60):
        people.rollback("anna", 1)
        teach(people, "anna", range(seed, seed + 1))
    versions = people.list_people()[0].versions
    assert versions == (1, *range(11, 61))


def test_another_model_keeps_heads_and_moments_but_uses_none(tmp_path: Path) -> None:
    people = open_people(tmp_path)
    people.enroll(enrolment("anna"))
    teach(people, "anna", range(12))
    before = people.heads()
    people.close()
    other = open_people(tmp_path, embedding_id="network-two")
    (anna,) = other.list_people()
    assert (other.heads(), anna.samples, anna.foreign_samples, anna.head_version) == ((), 0, 12, 0)
    assert (anna.versions, anna.foreign_heads) == ((), 1)
    assert any("another model" in problem for problem in other.problems())
    result = label(other, moment("anna", 50, says("anger")))
    assert result.samples == 1
    assert result.head is not None
    assert result.head.version == 2
    (refused,) = other.add_labels([moment("anna", 1, says("anger"))])
    assert "was stored with another model" in str(refused)
    other.close()
    again = open_people(tmp_path)
    assert again.heads() == before
    assert again.list_people()[0].samples == 12
    again.close()


def test_the_same_embedding_under_other_labels_keeps_moments_but_not_heads(tmp_path: Path) -> None:
    people = open_people(tmp_path)
    people.enroll(enrolment("anna"))
    teach(people, "anna", range(12))
    people.close()
    other = open_people(tmp_path, replace(BASE, labels=("neutral", "anger", "happiness")))
    (anna,) = other.list_people()
    assert (other.heads(), anna.samples, anna.foreign_heads) == ((), 12, 1)
    other.close()


# ---- forgetting, exporting, remembering


def test_labels_one_by_one_give_the_head_of_all_at_once(people: People, tmp_path: Path) -> None:
    requests = []
    for seed in (3, 1, 4, 5, 9, 2, 6):  # not in the order of time
        requests.append(moment("anna", seed, says(otherwise(seed))))
        requests.append(moment("bob", seed, says(otherwise(seed + 1))))
    requests.append(moment("anna", 4, says("neutral", source=Source.OBSERVER, annotator="carl")))
    other = open_people(tmp_path / "other")
    for one in (people, other):
        one.enroll(enrolment("anna"))
        one.enroll(enrolment("bob"))
    for request in requests:
        label(people, request)
    other.add_labels(requests)
    for found, wanted in zip(people.heads(), other.heads(), strict=True):
        tensors, expected = found.tensors(), wanted.tensors()
        assert found.owner_id == wanted.owner_id
        assert tensors is not None
        assert expected is not None
        for name in tensors:
            np.testing.assert_allclose(tensors[name], expected[name], atol=1e-5)
    other.close()


def test_to_forget_removes_what_others_learned_from_the_person(people: People) -> None:
    enroll_family(people)
    teach(people, "anna", range(20))
    without_bob = personalise(people, "family").head
    teach(people, "bob", range(20, 40))
    with_bob = personalise(people, "family").head
    label(people, moment("anna", 1, says("anger", source=Source.OBSERVER, annotator="bob")))
    assert with_bob.version == without_bob.version + 1
    forgotten = people.forget("bob")
    assert (forgotten.samples, forgotten.heads) == (20, 2)
    assert forgotten.heads_in_use == (without_bob,)
    assert {head.owner_id for head in people.heads()} == {"family", "anna"}
    assert [person.person_id for person in people.list_people()] == ["family", "anna"]
    with pytest.raises(MienError, match="Nobody is enrolled with the id 'bob'"):
        people.forget("bob")


def test_to_forget_removes_what_was_learned_on_from_a_head_of_the_person(people: People) -> None:
    leave_a_family(people)
    later = personalise(people, "family", "sgd", 400)
    assert (later.success, later.head.version, later.samples) == (True, 2, 20)
    assert people.forget("bob").heads_in_use == (StoredHead("family", 0, b""),)
    assert {head.owner_id for head in people.heads()} == {"anna"}


def test_learning_on_from_a_head_ends_when_one_is_forgotten_whose_moments_are_in_it(people: People) -> None:
    leave_a_family(people)

    def forget(progress: Progress) -> None:
        if any(one.person_id == "bob" for one in people.list_people()):
            people.forget("bob")

    with pytest.raises(Cancelled):
        people.personalise(Personalise("family", "sgd", 400), forget, lambda: False)
    assert {head.owner_id for head in people.heads()} == {"anna"}


def test_an_export_holds_everything_and_is_forgotten_too(people: People) -> None:
    people.enroll(enrolment("anna", identity=(embedding(9, IDENTITY_SIZE).tobytes(),)))
    teach(people, "anna", range(3))
    people.remember_satisfaction(RememberSatisfaction("anna", "coffee", 0.5, 1.0, 10.0, 100.0))
    path = people.export("anna")
    with zipfile.ZipFile(path) as archive:
        told = json.loads(archive.read("person.json"))
        embeddings = safetensors.numpy.load(archive.read("embeddings.safetensors"))
        head = archive.read("heads/1.safetensors")
        looks = safetensors.numpy.load(archive.read("identities.safetensors"))
    assert told["record"]["display_name"] == "Name of anna"
    assert [one["labels"][0]["expression"] for one in told["moments"]] == [otherwise(seed) for seed in range(3)]
    assert told["interactions"][0]["subject"] == "coffee"
    assert np.array_equal(embeddings["moment-anna-2"], embedding(2))
    assert head == people.heads()[0].data
    assert len(looks) == 1
    with zipfile.ZipFile(path) as archive:
        archive.extractall(path.with_suffix(""))
    people.forget("anna")
    assert list(path.parent.iterdir()) == []


def test_satisfaction_is_summed_up_per_subject(people: People) -> None:
    people.enroll(enrolment("anna"))
    for subject, score, confidence, observed_s, stamp_s in (
        ("tea", 1.0, 0.5, 10.0, 1.0),
        ("tea", -1.0, 0.5, 30.0, 3.0),
        ("coffee", 0.25, 0.0, 0.0, 2.0),
    ):
        person = people.remember_satisfaction(
            RememberSatisfaction("anna", subject, score, confidence, observed_s, stamp_s)
        )
    coffee, tea = person.satisfaction
    assert (coffee.subject, coffee.interactions, coffee.mean_score) == ("coffee", 1, 0.25)
    assert (tea.interactions, tea.mean_score, tea.last_score, tea.last_stamp_s) == (2, -0.5, -1.0, 3.0)
    with pytest.raises(MienError, match="score is nan"):
        people.remember_satisfaction(RememberSatisfaction("anna", "tea", math.nan, 1.0, 1.0, 1.0))
