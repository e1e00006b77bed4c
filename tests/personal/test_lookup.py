"""Whose head answers for which face: person, then groups in their order, then place, then base."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import MienError
from mien.expression.head import DenseLayerSpec, HeadOutputSpec, HeadPartSpec, HeadSpec
from mien.expression.recogniser import HeadsInUse
from mien.personal.lookup import HeadLookup
from mien.personal.messages import Kind, Person, StoredHead
from mien.personal.samples import BaseHead

TENSORS = {"w": np.eye(2, 3, dtype=np.float32), "b": np.zeros(2, np.float32)}
BASE = BaseHead(
    HeadSpec(classes=HeadOutputSpec("softmax", (HeadPartSpec("face", 0, 3, (DenseLayerSpec("w", "b"),)),))),
    TENSORS,
    ("anger", "happiness"),
    3,
    None,
)


def head(owner_id: str, version: int, tensors: dict[str, Any] = TENSORS) -> StoredHead:
    return StoredHead(owner_id, version, safetensors.numpy.save(tensors) if version else b"")


def person(person_id: str, groups: tuple[str, ...] = (), kind: Kind = Kind.PERSON) -> Person:
    return Person(person_id, kind, "", True, "", 0.0, groups, 0, 0, 0, (), 0, 0, ())


@pytest.fixture
def handed() -> list[HeadsInUse]:
    """Everything that was handed over."""
    return []


@pytest.fixture
def lookup(handed: list[HeadsInUse]) -> HeadLookup:
    """With anna, ben (in two groups) and two groups and a place."""
    lookup = HeadLookup(BASE, handed.append)
    groups = [person("team", kind=Kind.GROUP), person("family", kind=Kind.GROUP), person("shop", kind=Kind.PLACE)]
    lookup.replace_all([person("anna"), person("ben", ("family", "team")), *groups], [])
    return lookup


def said(heads: HeadsInUse, face_id: str) -> tuple[str, int, bool]:
    one = heads.of(face_id)
    assert (one.head is None) == (one.version == 0)
    return one.person_id, one.version, one.is_personal


@given(
    own=st.integers(0, 1),
    family=st.integers(0, 1),
    team=st.integers(0, 1),
    place=st.integers(0, 1),
    order=st.permutations(["ben", "family", "team", "shop"]),
)
def test_the_nearest_head_answers_in_whatever_order_they_came(
    own: int, family: int, team: int, place: int, order: list[str]
) -> None:
    handed: list[HeadsInUse] = []
    lookup = HeadLookup(BASE, handed.append)
    lookup.replace_all([person("ben", ("family", "team")), person("family"), person("team"), person("shop")], [])
    versions = {"ben": own * 1, "family": family * 2, "team": team * 3, "shop": place * 4}
    lookup.assign({"f1": "ben"})
    lookup.set_place("shop")
    for owner in order:
        lookup.put_head(head(owner, versions[owner]))
    expected = next((version for version in (own * 1, family * 2, team * 3, place * 4) if version), 0)
    assert said(handed[-1], "f1") == ("ben", expected, bool(own))
    assert said(handed[-1], "f2") == ("", place * 4, False)
    lookup.set_place("")
    assert said(handed[-1], "f2") == ("", 0, False)


def test_a_new_version_replaces_the_old_one_and_0_goes_back(lookup: HeadLookup, handed: list[HeadsInUse]) -> None:
    lookup.assign({"f1": "anna", "f2": "ben"})
    for version in (1, 2, 0, 5):
        lookup.put_head(head("anna", version))
        assert said(handed[-1], "f1") == ("anna", version, version > 0)
        assert said(handed[-1], "f2") == ("ben", 0, False)
    assert lookup.counts == (5, 1)


def test_only_the_enrolled_have_faces(lookup: HeadLookup, handed: list[HeadsInUse]) -> None:
    lookup.assign({"f1": "nobody", "f2": "", "f3": "anna"})
    assert [said(handed[-1], face) for face in ("f1", "f2", "f3")] == [
        ("", 0, False),
        ("", 0, False),
        ("anna", 0, False),
    ]
    assert (lookup.person_of("f1"), lookup.person_of("f3")) == ("", "anna")
    lookup.assign({"f3": ""})
    assert said(handed[-1], "f3") == ("", 0, False)
    count = len(handed)
    lookup.assign({"f3": "", "f1": "nobody"})
    assert len(handed) == count, "nothing changed"


def test_a_forgotten_person_has_neither_face_nor_head(lookup: HeadLookup, handed: list[HeadsInUse]) -> None:
    lookup.assign({"f1": "anna", "f2": "anna", "f3": "ben"})
    lookup.put_head(head("anna", 1))
    lookup.forget("anna")
    assert [said(handed[-1], face) for face in ("f1", "f2", "f3")] == [
        ("", 0, False),
        ("", 0, False),
        ("ben", 0, False),
    ]
    assert not lookup.is_enrolled("anna")
    lookup.assign({"f1": "anna"})
    lookup.put_head(head("anna", 2))  # what was learned meanwhile comes too late
    assert lookup.counts == (4, 0)
    assert said(handed[-1], "f1") == ("", 0, False)


def test_a_forgotten_group_no_longer_answers(lookup: HeadLookup, handed: list[HeadsInUse]) -> None:
    lookup.assign({"f1": "ben"})
    lookup.put_head(head("team", 3))
    assert said(handed[-1], "f1") == ("ben", 3, False)
    lookup.forget("team")
    assert said(handed[-1], "f1") == ("ben", 0, False)


def test_faces_that_are_gone_are_dropped(lookup: HeadLookup, handed: list[HeadsInUse]) -> None:
    lookup.assign({"f1": "anna", "f2": "ben"})
    lookup.drop_faces(lambda face_id: face_id == "f2")
    assert set(handed[-1].by_face) == {"f2"}


@pytest.mark.parametrize("tensors", [{"w": np.zeros((2, 4), "f4"), "b": np.zeros(2, "f4")}, {"w": TENSORS["w"]}])
def test_a_head_that_does_not_fit_is_refused_and_the_present_one_goes_on(
    lookup: HeadLookup, handed: list[HeadsInUse], tensors: dict[str, Any]
) -> None:
    lookup.assign({"f1": "anna"})
    lookup.put_head(head("anna", 1))
    with pytest.raises(MienError):
        lookup.put_head(head("anna", 2, tensors))
    assert said(handed[-1], "f1") == ("anna", 1, True)


def test_everybody_anew(lookup: HeadLookup, handed: list[HeadsInUse]) -> None:
    lookup.assign({"f1": "anna", "f2": "ben"})
    lookup.put_head(head("anna", 1))
    lookup.replace_all([person("ben", ("team",)), person("team")], [head("team", 7)])
    assert [said(handed[-1], face) for face in ("f1", "f2")] == [("", 0, False), ("ben", 7, False)]
    lookup.put_person(person("ben", ()))
    assert said(handed[-1], "f2") == ("ben", 0, False)
