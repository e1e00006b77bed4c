"""The 68 landmarks: order, place, visibility; and what covers a face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trainer.data.synthetic.action_units import unit_weights
from trainer.data.synthetic.appearance import Light, Worn
from trainer.data.synthetic.camera import Shot
from trainer.data.synthetic.degrade import Hand
from trainer.data.synthetic.expression import Expression
from trainer.data.synthetic.person import Person, Population, make_person
from trainer.data.synthetic.studio import Scene, Shown, Studio

JAW, RIGHT_EYE, LEFT_EYE, NOSE, MOUTH = slice(0, 17), slice(36, 42), slice(42, 48), slice(27, 36), slice(48, 68)


@pytest.fixture(scope="module")
def bald(small_studio: Studio) -> Person:
    """Nobody's hair covers a landmark of this person."""
    person = make_person(small_studio.assets, Population(), "bald", [1, 2])
    looks = replace(person.appearance, has_long_hair=False, has_hair_cap=False)
    return replace(person, appearance=looks)


def shoot(studio: Studio, person: Person, shot: Shot, **changes: object) -> Shown:
    relaxed = Expression("neutral", "", 0.0, 0.0, 0.0, unit_weights({}))
    background = np.zeros((studio.side, studio.side, 3), np.float32)
    scene = Scene(person, relaxed, shot, Light(), background)
    return studio.shoot(replace(scene, **changes))


@pytest.mark.parametrize("seed", range(4))
def test_a_frontal_face_has_its_landmarks_in_order(small_studio: Studio, seed: int) -> None:
    person = make_person(small_studio.assets, Population(), "p", [2, seed])
    points = shoot(small_studio, person, Shot()).landmarks
    assert ((points >= 0) & (points < small_studio.side)).all()
    x, y = points.T
    # The cheeks are nearly upright, so only the way down to the chin and across it is strict.
    assert (np.diff(x[JAW]) > -0.01 * small_studio.side).all(), "from the person's right, the left of the picture"
    assert (np.diff(x[5:12]) > 0).all()
    assert (np.diff(y[0:9]) > 0).all()
    assert (np.diff(y[8:17]) < 0).all()
    assert y[JAW].argmax() == 8, "the chin is lowest"
    assert x[RIGHT_EYE].max() < x[27] < x[LEFT_EYE].min()
    assert (np.diff(y[27:31]) > 0).all(), "down the nose"
    assert y[17:27].max() < y[36:48].min() < y[30] < y[MOUTH].min()
    for corner, other in ((36, 39), (42, 45), (48, 54), (60, 64)):
        assert x[corner] < x[other]
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46), (51, 57), (50, 58)):
        assert y[upper] < y[lower]
    mirrored = 2 * x[27] - x[16 - np.arange(17)]
    assert np.abs(mirrored - x[JAW]).max() < 0.06 * small_studio.side, "a frontal face is nearly symmetric"


def test_all_landmarks_of_a_frontal_face_are_seen(small_studio: Studio, bald: Person) -> None:
    visible = shoot(small_studio, bald, Shot(distance=14)).visible
    assert visible[17:].all()
    assert visible[JAW].mean() > 0.7, "wide cheeks may hide what is beside the ears"


@pytest.mark.parametrize(
    ("yaw", "hidden", "seen"), [(50, slice(11, 17), slice(1, 6)), (-50, slice(0, 6), slice(11, 16))]
)
def test_a_turned_head_hides_its_far_side(
    small_studio: Studio, bald: Person, yaw: float, hidden: slice, seen: slice
) -> None:
    shown = shoot(small_studio, bald, Shot(yaw=yaw))
    assert shown.visible[hidden].mean() < 0.35
    assert shown.visible[seen].mean() > 0.75
    nose, ears = shown.landmarks[30, 0], shown.landmarks[[0, 16], 0].mean()
    assert np.sign(nose - ears) == np.sign(yaw), "a face that turns to the person's left looks to the right"


def test_landmarks_follow_pose_and_expression(small_studio: Studio, bald: Person) -> None:
    straight = shoot(small_studio, bald, Shot()).landmarks
    moved = shoot(small_studio, bald, Shot(shift_x=0.1, shift_y=-0.05)).landmarks
    np.testing.assert_allclose(moved - straight, np.tile([0.1, -0.05], (68, 1)) * small_studio.side, atol=0.05)
    tilted = shoot(small_studio, bald, Shot(roll=20)).landmarks
    eyes = tilted[LEFT_EYE].mean(axis=0) - tilted[RIGHT_EYE].mean(axis=0)
    assert np.degrees(np.arctan2(eyes[1], eyes[0])) == pytest.approx(20, abs=3), "clockwise in the picture"
    up = shoot(small_studio, bald, Shot(pitch=20)).landmarks
    assert up[30, 1] - up[0, 1] < straight[30, 1] - straight[0, 1], "looking up lifts the nose against the ears"
    opened = Expression("surprise", "", 1.0, 0.0, 0.0, unit_weights({27: 1.0}))
    jaw = shoot(small_studio, bald, Shot(), expression=opened).landmarks
    assert jaw[8, 1] - straight[8, 1] > 3
    assert np.abs(jaw[RIGHT_EYE] - straight[RIGHT_EYE]).max() < 0.5
    assert jaw[66, 1] - jaw[62, 1] > 4, "the lips part"


def test_the_pupils_are_where_the_eye_landmarks_say(small_studio: Studio, bald: Person) -> None:
    shown = shoot(small_studio, bald, Shot(share=0.8))
    grey = shown.image.astype(float).mean(axis=2)
    for eye in (RIGHT_EYE, LEFT_EYE):
        x, y = np.rint(shown.landmarks[eye].mean(axis=0)).astype(int)
        cheek = np.rint(shown.landmarks[30]).astype(int)
        assert grey[y - 1 : y + 2, x - 1 : x + 2].min() < 0.6 * grey[cheek[1], cheek[0]]


def test_masks_sunglasses_and_hands_cover_landmarks_and_clear_glasses_do_not(
    small_studio: Studio, bald: Person
) -> None:
    masked = shoot(small_studio, bald, Shot(), worn=Worn(face_mask=True)).visible
    assert masked[MOUTH].mean() < 0.1
    assert masked[36:48].mean() > 0.9
    clear = shoot(small_studio, bald, Shot(), worn=Worn(glasses=True))
    assert clear.visible[36:48].mean() > 0.7
    dark = shoot(small_studio, bald, Shot(), worn=Worn(glasses=True, lens_colour=(0.02, 0.02, 0.02, 0.95)))
    assert dark.visible[36:48].mean() < 0.2
    hand = Hand(x=0.5, y=0.62, size=0.2, angle=-90, colour=(0.2, 0.3, 0.4))
    assert shoot(small_studio, bald, Shot(), hand=hand).visible[MOUTH].mean() < 0.5


def test_what_is_outside_the_picture_is_not_visible(small_studio: Studio, bald: Person) -> None:
    shown = shoot(small_studio, bald, Shot(shift_x=0.45))
    outside = shown.landmarks[:, 0] > small_studio.side
    assert outside.any()
    assert not shown.visible[outside].any()
