"""Landmarks as annotators of photographs place them: on the drawn brows, and along the visible outline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trainer.data.synthetic.action_units import unit_weights
from trainer.data.synthetic.annotated import on_surface
from trainer.data.synthetic.appearance import Light
from trainer.data.synthetic.camera import Shot
from trainer.data.synthetic.expression import Expression
from trainer.data.synthetic.person import Person, Population, make_person
from trainer.data.synthetic.studio import Scene, Shown, Studio

SKIN_ONLY = {"has_long_hair": False, "has_hair_cap": False, "bald_above": -0.6, "stubble": 0.0, "beard": 0.0}


@pytest.fixture(scope="module")
def bald(small_studio: Studio) -> Person:
    person = make_person(small_studio.assets, Population(), "bald", [1, 2])
    return replace(person, appearance=replace(person.appearance, **SKIN_ONLY))


def shoot(studio: Studio, person: Person, shot: Shot, is_annotated: bool = True) -> Shown:
    relaxed = Expression("neutral", "", 0.0, 0.0, 0.0, unit_weights({}))
    background = np.zeros((studio.side, studio.side, 3), np.float32)
    return studio.shoot(Scene(person, relaxed, shot, Light(), background, is_annotated=is_annotated))


@pytest.mark.parametrize(("arch", "height", "drop"), [(0.0, 0.0, 0.045), (0.07, 0.0, 0.045), (0.03, -0.08, 0.11)])
def test_the_brows_points_are_on_the_brows(
    small_studio: Studio, bald: Person, arch: float, height: float, drop: float
) -> None:
    shape = {"brow_arch": arch, "brow_height": height, "brow_drop": drop}
    looks = replace(bald.appearance, brow_density=1.0, brow_thickness=0.08, brow_colour=(0, 0, 0), **shape)
    shown = shoot(small_studio, replace(bald, appearance=looks), Shot(share=0.9, shift_y=0.15))
    x, y = np.rint(shown.landmarks[17:27].T).astype(int)
    grey = shown.image.astype(float).mean(axis=2)
    assert (grey[y, x] < 0.7 * grey[y - 7, x]).mean() >= 0.8, "darker than the forehead above"


@pytest.mark.parametrize(("yaw", "far"), [(40, slice(10, 16)), (-40, slice(1, 7))])
def test_the_far_contour_slides_along_the_outline(small_studio: Studio, bald: Person, yaw: float, far: slice) -> None:
    shot = Shot(yaw=yaw, share=0.6)
    shown, fixed = shoot(small_studio, bald, shot), shoot(small_studio, bald, shot, is_annotated=False)
    assert shown.visible[far].mean() > 0.8
    assert fixed.visible[far].mean() < 0.5
    outward = np.sign(yaw)
    x, y = np.rint(shown.landmarks[far].T).astype(int)
    grey = shown.image.max(axis=2)
    assert (grey[y, x + 4 * int(outward)] < 30).mean() > 0.6, "beside it is background"
    assert (grey[y, x - 4 * int(outward)] > 30).all(), "and on the other side is the face"


def test_mirrored_heads_have_mirrored_landmarks(small_studio: Studio, bald: Person) -> None:
    even = replace(bald, vertices=small_studio.assets.positions, asymmetry=0.0)
    left, right = (shoot(small_studio, even, Shot(yaw=yaw, roll=roll)) for yaw, roll in ((25, 10), (-25, -10)))
    middle = small_studio.side - 1
    contour, mirrored = left.landmarks[:17], right.landmarks[16::-1] * [-1, 1] + [middle, 0]
    np.testing.assert_allclose(contour, mirrored, atol=0.2)


def test_a_head_seen_from_the_front_has_nearly_the_landmarks_of_the_skin(small_studio: Studio, bald: Person) -> None:
    shown, fixed = (shoot(small_studio, bald, Shot(), is_annotated=given) for given in (True, False))
    apart = np.linalg.norm(shown.landmarks - fixed.landmarks, axis=1)
    eyes = np.linalg.norm(shown.landmarks[36] - shown.landmarks[45])
    assert apart.mean() < 0.08 * eyes
    assert apart[36:48].max() < 1e-3, "the eyes are the same"


def test_points_of_the_surface_are_where_they_are_asked_for(small_studio: Studio) -> None:
    places = np.array([[0.0, 6.9], [0.3, 7.5], [-0.4, 6.8]])
    of, shares = on_surface(small_studio.assets, places)
    points = (small_studio.assets.positions[of] * shares[..., None]).sum(axis=1)
    np.testing.assert_allclose(points[:, :2], places, atol=1e-4)
    assert (points[:, 2] > 1).all(), "the face, not the back of the head"
