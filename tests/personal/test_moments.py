"""Recent moments: what a label given now, or an answer to a question, finds; what is too old, and who left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import MienError
from mien.faces.detector import Box
from mien.personal.moments import KEPT_S, MAXIMUM_FACES, MAXIMUM_KEPT, NOW_WITHIN_S, Moments
from mien.pipeline import FaceAffect


def face(face_id: str, person_id: str = "", value: float = 0.0, valence: float = 0.5) -> FaceAffect:
    """A face whose embedding holds a value."""
    return FaceAffect(
        face_id=face_id,
        camera="c",
        box=Box(0, 0, 9, 9),
        detection_confidence=1.0,
        box_is_predicted=False,
        landmarks=None,
        probabilities=np.array([0.25, 0.75], np.float32),
        probabilities_raw=np.array([0.125, 0.875], np.float32),
        expression="neutral",
        confidence=0.75,
        valence=valence,
        arousal=valence,
        part_confidences=np.empty(0, np.float32),
        person_id=person_id,
        embedding=np.full(4, value, np.float32),
    )


def test_what_a_face_or_person_shows_now_is_its_newest_moment() -> None:
    moments = Moments()
    moments.see([face("f1", "anna", 1), face("f2", "", 2)], 10.0, 1e9)
    moments.see([face("f1", "anna", 3)], 10.1, 1e9 + 0.1)
    now = moments.find("f1", "", 10.2)
    assert (now.embedding[0], now.stamp_s, now.person_id) == (3, 1e9 + 0.1, "anna")
    np.testing.assert_allclose(now.prediction, [0.125, 0.875, 0.5, 0.5])
    assert moments.find("", "anna", 10.2) == now
    assert moments.find("f2", "", 10.2).embedding[0] == 2


def test_what_nobody_can_label_any_more_is_let_go_of() -> None:
    moments = Moments()
    (old,) = moments.see([face("f1", "anna", 1)], 10.0, 0)
    moments.keep(old)
    (new,) = moments.see([face("f2", "ben", 2)], 10.0 + KEPT_S, 0)
    moments.drop_old(10.1 + KEPT_S)
    assert moments.kept(old.sample_id, 10.0) is None
    for ids in (("f1", ""), ("", "anna")):
        with pytest.raises(MienError):
            moments.find(*ids, 10.0)
    assert moments.find("f2", "", 10.1 + KEPT_S) == new


def test_of_two_faces_of_a_person_the_one_seen_last_counts() -> None:
    moments = Moments()
    moments.see([face("f2", "anna", 2)], 10.0, 0)
    moments.see([face("f1", "anna", 1)], 10.1, 0)
    moments.see([face("f2", "anna", 3)], 10.2, 0)
    assert moments.find("", "anna", 10.3).face_id == "f2"


@given(age_s=st.floats(0, 3 * KEPT_S))
def test_who_left_can_be_labelled_for_a_while_and_then_one_is_told_why_not(age_s: float) -> None:
    moments = Moments()
    moments.see([face("f1", "anna", 1)], 100.0, 0)
    for ids in (("f1", ""), ("", "anna")):
        who = f"{ids[0] or ids[1]!r}"
        if age_s <= NOW_WITHIN_S - 1e-9:
            assert moments.find(*ids, 100.0 + age_s).embedding[0] == 1
        elif age_s > NOW_WITHIN_S + 1e-9:
            words = "left" if age_s <= KEPT_S + 1e-9 else "not in view"
            with pytest.raises(MienError, match=f"{who}.*{words}|{who}.*not in view"):
                moments.find(*ids, 100.0 + age_s)
    assert moments.is_known("f1", 100.0 + age_s) == (100.0 + age_s - 100.0 <= KEPT_S)


@pytest.mark.parametrize("ids", [("f9", ""), ("", "nobody"), ("", "")])
def test_what_was_never_seen_is_said(ids: tuple[str, str]) -> None:
    moments = Moments()
    moments.see([face("f1")], 1.0, 0)
    with pytest.raises(MienError) as caught:
        moments.find(*ids, 1.0)
    assert next(filter(None, ids), "Nothing says whose") in str(caught.value)


def test_a_moment_that_was_asked_about_waits_for_its_answer() -> None:
    moments = Moments()
    (asked,) = moments.see([face("f1", "anna", 1)], 1.0, 0)
    assert moments.kept(asked.sample_id, 1.0) is None
    moments.keep(asked)
    moments.see([face("f1", "anna", 2)], 2.0, 0)
    assert moments.kept(asked.sample_id, 1.0 + KEPT_S) == asked
    assert moments.kept(asked.sample_id, 1.1 + KEPT_S) is None


def test_sample_ids_are_never_given_again_and_say_nothing() -> None:
    moments = Moments()
    ids = [moments.see([face("f1", "anna")], float(i), 0)[0].sample_id for i in range(500)]
    assert len(set(ids)) == 500
    assert all("anna" not in one and len(one) <= 64 and one.isalnum() for one in ids)


def test_memory_is_bounded() -> None:
    moments = Moments()
    for number in range(2 * MAXIMUM_KEPT):
        (moment,) = moments.see([face(f"f{number}")], 1.0, 0)
        moments.keep(moment)
    assert not moments.is_known("f0", 1.0)
    assert moments.is_known(f"f{2 * MAXIMUM_KEPT - 1}", 1.0)
    assert not moments.is_known(f"f{2 * MAXIMUM_KEPT - 1 - MAXIMUM_FACES}", 1.0)
    assert moments.kept(moment.sample_id, 1.0) == moment


def test_a_forgotten_person_leaves_nothing() -> None:
    moments = Moments()
    kept, other = moments.see([face("f1", "anna"), face("f2", "ben")], 1.0, 0)
    moments.keep(kept)
    moments.keep(other)
    moments.see([face("f3")], 1.0, 0)
    moments.belongs("f3", "anna")
    moments.belongs("f9", "anna")
    moments.forget("anna")
    assert moments.kept(kept.sample_id, 1.0) is None
    for ids in (("f1", ""), ("f3", ""), ("", "anna")):
        with pytest.raises(MienError):
            moments.find(*ids, 1.0)
    assert moments.kept(other.sample_id, 1.0) == moments.find("", "ben", 1.0) == other


def test_a_model_without_classes_or_affect_predicts_what_it_has() -> None:
    moments = Moments()
    (moment,) = moments.see([face("f1", valence=float("nan"))], 1.0, 0)
    assert moment.prediction.tolist() == [0.125, 0.875]
