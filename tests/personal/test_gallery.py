"""Matching against enrolled people, and the names of tracked faces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import MienError
from mien.personal.gallery import HYSTERESIS, LEAST_LOOKS, LEAST_MARGIN, MOST_FACES, MOST_LOOKS, FaceNames, Gallery
from mien.personal.samples import Array

SIZE = 8
THRESHOLD = 0.5
ANA, BEN = np.eye(SIZE, dtype=np.float32)[:2]


def like(person: Array, similarity: float, axis: int = -1) -> Array:
    """A face of that similarity to one person, and to no other."""
    own = np.zeros(SIZE, np.float32)
    own[axis] = np.sqrt(1 - similarity**2)
    return similarity * person + own


@pytest.fixture
def gallery() -> Gallery:
    gallery = Gallery(THRESHOLD)
    gallery.put("ana", ANA[None])
    gallery.put("ben", BEN[None])
    return gallery


@pytest.fixture
def names(gallery: Gallery) -> FaceNames:
    return FaceNames(gallery)


def look(names: FaceNames, face_id: str, embedding: Array, times: int = LEAST_LOOKS) -> None:
    for _ in range(times):
        names.observe(face_id, embedding)


# ---- the gallery


def test_a_face_is_the_most_similar_person_from_the_threshold_on(gallery: Gallery) -> None:
    for similarity in (0.51, 0.9, 1.0):
        match = gallery.match(like(BEN, similarity))
        assert match.person_id == "ben"
        assert match.similarity == pytest.approx(similarity)
        assert match.margin == pytest.approx(similarity)
    assert gallery.match(like(BEN, 0.49)).person_id == ""
    assert gallery.match(-ANA).person_id == ""


def test_an_empty_gallery_knows_nobody() -> None:
    assert Gallery(-1.0).match(ANA) == ("", -1.0, 2.0)


def test_a_face_between_two_people_is_neither(gallery: Gallery) -> None:
    between = (ANA + BEN) / np.float32(np.sqrt(2))
    assert gallery.match(between).person_id == ""
    assert gallery.match(between).margin == pytest.approx(0)
    turned = ANA * np.cos(0.7) + BEN * np.sin(0.7)
    match = gallery.match(turned)
    assert match.person_id == ("ana" if match.margin >= LEAST_MARGIN else "")


def test_a_person_is_the_mean_of_its_looks(gallery: Gallery) -> None:
    gallery.put("ana", np.stack([ANA, np.eye(SIZE, dtype=np.float32)[4]]))
    assert gallery.match(ANA).similarity == pytest.approx(np.sqrt(0.5))


def test_who_is_removed_is_unknown(gallery: Gallery) -> None:
    gallery.remove("ana")
    gallery.remove("nobody")
    assert gallery.match(ANA).person_id == ""
    assert gallery.match(BEN) == ("ben", 1.0, 2.0)


@pytest.mark.parametrize("looks", [np.empty((0, SIZE)), np.full((1, SIZE), np.nan), np.ones((1, SIZE + 1))])
def test_an_identity_that_cannot_be_used_is_refused(gallery: Gallery, looks: Array) -> None:
    with pytest.raises(MienError, match="identity of cleo cannot be used"):
        gallery.put("cleo", looks.astype(np.float32))


def test_another_network_may_replace_the_only_person() -> None:
    gallery = Gallery(THRESHOLD)
    gallery.put("ana", ANA[None])
    gallery.put("ana", np.ones((1, 3), np.float32))
    assert gallery.match(np.ones(3, np.float32) / np.sqrt(3)).person_id == "ana"


# ---- names of faces


def test_a_face_gets_its_name_after_some_looks(names: FaceNames) -> None:
    for count in range(1, LEAST_LOOKS + 2):
        look(names, "f1", like(ANA, 0.9), times=1)
        assert names.name(["f1"]) == {"f1": "ana" if count >= LEAST_LOOKS else ""}


def test_unknown_stays_unknown(names: FaceNames) -> None:
    look(names, "stranger", like(ANA, 0.3))
    assert names.name(["stranger", "never seen"]) == {"stranger": "", "never seen": ""}


def test_looks_are_judged_together(names: FaceNames, gallery: Gallery) -> None:
    """Each of them too unlike, their mean is not: what differs from look to look averages out."""
    gallery.threshold = 0.75
    for axis in range(2, SIZE):
        names.observe("f1", like(ANA, 0.7, axis))
    assert names.name(["f1"]) == {"f1": "ana"}


def test_two_faces_are_never_one_person(names: FaceNames) -> None:
    look(names, "near", like(ANA, 0.8))
    look(names, "nearer", like(ANA, 0.9))
    assert names.name(["near", "nearer"]) == {"near": "", "nearer": "ana"}
    assert names.name(["near"]) == {"near": "ana"}  # nobody else in view


def test_who_is_not_the_best_is_not_made_the_second_best(names: FaceNames) -> None:
    both = like(0.8 * ANA + 0.55 * BEN, 0.99)
    look(names, "f1", both / np.linalg.norm(both))
    look(names, "f2", ANA)
    assert names.name(["f1", "f2"]) == {"f1": "", "f2": "ana"}


def test_a_name_is_kept_through_a_worse_look(names: FaceNames) -> None:
    faint = like(ANA, THRESHOLD - HYSTERESIS / 2)
    look(names, "f1", faint, MOST_LOOKS)
    assert names.name(["f1"]) == {"f1": ""}
    look(names, "f1", ANA, MOST_LOOKS)
    assert names.name(["f1"]) == {"f1": "ana"}
    look(names, "f1", faint, MOST_LOOKS)
    assert names.name(["f1"]) == {"f1": "ana"}
    look(names, "f1", like(ANA, THRESHOLD - 2 * HYSTERESIS), MOST_LOOKS)
    assert names.name(["f1"]) == {"f1": ""}


def test_one_odd_look_changes_nothing(names: FaceNames) -> None:
    look(names, "f1", ANA, MOST_LOOKS)
    for _ in range(3):
        names.observe("f1", BEN)
        assert names.name(["f1"]) == {"f1": "ana"}
        assert (names.looks("f1") == ANA).all()
        names.observe("f1", ANA)


def test_another_face_in_its_place_is_seen_at_once(names: FaceNames) -> None:
    """The tracker mistook one for the other: nobody keeps the other's name, however long it was right."""
    look(names, "f1", ANA, MOST_LOOKS)
    assert names.name(["f1"]) == {"f1": "ana"}
    look(names, "f1", BEN)
    assert names.name(["f1"]) == {"f1": "ben"}
    assert len(names.looks("f1")) == LEAST_LOOKS
    look(names, "f1", like(ANA, 0.3))
    assert names.name(["f1"]) == {"f1": ""}


def test_a_change_of_the_gallery_counts_at_once(names: FaceNames, gallery: Gallery) -> None:
    look(names, "f1", ANA)
    assert names.name(["f1"]) == {"f1": "ana"}
    gallery.remove("ana")
    assert names.name(["f1"]) == {"f1": ""}
    gallery.put("cleo", ANA[None])
    assert names.name(["f1"]) == {"f1": "cleo"}


def test_looks_are_the_latest_and_go_with_the_face(names: FaceNames) -> None:
    assert names.looks("f1").shape == (0, 0)
    for number in range(MOST_LOOKS + 3):
        names.observe("f1", np.full(SIZE, number, np.float32))
    assert names.looks("f1")[:, 0].tolist() == list(range(3, MOST_LOOKS + 3))
    names.drop("f1")
    names.drop("f1")
    assert len(names.looks("f1")) == 0


def test_faces_are_bounded(names: FaceNames) -> None:
    for number in range(MOST_FACES + 1):
        look(names, f"f{number}", ANA)
    assert len(names.looks("f0")) == 0
    assert len(names.looks(f"f{MOST_FACES}")) == LEAST_LOOKS


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-1, 1)), min_size=1, max_size=12))
def test_whatever_is_in_view_nobody_is_there_twice(faces: list[tuple[int, float]]) -> None:
    gallery = Gallery(THRESHOLD)
    people = np.eye(SIZE, dtype=np.float32)[:4]
    for number, person in enumerate(people):
        gallery.put(str(number), person[None])
    names = FaceNames(gallery)
    for number, (person, similarity) in enumerate(faces):
        look(names, f"f{number}", like(people[person], similarity))
    view = [f"f{number}" for number in range(len(faces))]
    for _ in range(2):
        given_names = [name for name in names.name(view).values() if name]
        assert len(given_names) == len(set(given_names))
        assert set(given_names) == {str(person) for person, similarity in faces if similarity >= THRESHOLD}
