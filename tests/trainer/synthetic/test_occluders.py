"""Occluded variants: same people, expressions and landmarks, fewer of them seen; styles of tests are never trained."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mien.errors import MienError
from trainer.data.synthetic.appearance import Worn
from trainer.data.synthetic.domains import Planned, find_domain, is_domain
from trainer.data.synthetic.sample import make_sample
from trainer.data.synthetic.studio import Studio

MOUTH, EYES = slice(48, 68), slice(36, 48)


def planned(name: str, count: int) -> list[Planned]:
    domain = find_domain(name)
    assert domain.plan is not None
    return [domain.plan(domain, 0, index, 32) for index in range(count)]


@pytest.mark.parametrize(("variant", "hidden"), [("mask", MOUTH), ("sunglasses", EYES)])
@pytest.mark.parametrize("name", ["wild", "lab_a", "faces"])
def test_the_same_face_is_covered(small_studio: Studio, name: str, variant: str, hidden: slice) -> None:
    shares = []
    for index in (3, 10):
        (plain, before), (image, after) = (
            make_sample(find_domain(one), 5, index, 96) for one in (name, f"{name}+{variant}")
        )
        assert (after.person, after.label, after.intensity, after.landmarks, after.split) == (
            *(before.person, before.label, before.intensity, before.landmarks, before.split),
        )
        assert (after.yaw, after.sequence, after.frame) == (before.yaw, before.sequence, before.frame)
        assert (after.domain, after.occlusion) == (f"{name}+{variant}", variant)
        assert np.abs(image.astype(int) - plain).max() > 30
        assert all(np.array(after.visible) <= before.visible), "a cover uncovers nothing"
        shares.append(np.mean(after.visible[hidden]))
    assert np.mean(shares) < 0.35


def test_every_picture_of_an_unseen_style_is_covered_and_half_of_those_for_training() -> None:
    assert {one.occlusion for one in planned("wild+mask", 40)} == {"mask"}
    assert {one.occlusion for one in planned("wild+sunglasses", 40)} == {"sunglasses"}
    counts = Counter(one.occlusion for one in planned("lab_b+occluded", 210))
    assert counts[""] == pytest.approx(105, abs=25)
    assert min(counts[kind] for kind in ("mask", "sunglasses", "hand")) > 20


def masks(pictures: list[Planned]) -> list[Worn]:
    return [one.scene.worn for one in pictures if one.scene.worn.face_mask]


def sunglasses(pictures: list[Planned]) -> list[Worn]:
    return [one.scene.worn for one in pictures if one.scene.worn.glasses and one.scene.worn.lens_colour[3] > 0.5]


def vividness(colour: tuple[float, ...]) -> float:
    return max(colour[:3]) - min(colour[:3])


def test_styles_of_tests_are_never_seen_in_training() -> None:
    trained = [*planned("faces", 160), *planned("wild+occluded", 120)]
    unseen = {variant: planned(f"lab_b+{variant}", 60) for variant in ("mask", "sunglasses")}
    known, new = masks(trained), masks(unseen["mask"])
    assert len(known) > 20
    tops = [one.mask_top for one in known]
    assert all(not min(tops) <= one.mask_top <= max(tops) for one in new), "other heights"
    assert max(vividness(one.mask_colour) for one in known) < min(vividness(one.mask_colour) for one in new)
    assert {one.mask_stripes for one in known} == {0.0}
    assert len({one.mask_stripes for one in new}) > 10
    assert {(one.mask_bottom, one.mask_width, one.mask_pleats) for one in known} == {(-1.12, 0.62, 0.15)}
    assert all(one.mask_bottom < -1.15 and one.mask_width > 0.63 and one.mask_pleats == 0 for one in new)
    worn, other = sunglasses(trained), sunglasses(unseen["sunglasses"])
    assert len(worn) > 20
    assert max(vividness(one.lens_colour) for one in worn) < min(vividness(one.lens_colour) for one in other)
    assert {one.lens_scale for one in worn} == {(1.0, 1.0)}
    assert min(one.lens_scale[1] for one in other) > 1.2
    assert max(one.frame_thickness for one in worn) < min(one.frame_thickness for one in other)


def test_a_sequence_keeps_its_mask() -> None:
    pictures = planned("lab_a+mask", 12)
    first, second = ({one.scene.worn for one in pictures[start : start + 6]} for start in (0, 6))
    assert (len(first), len(second)) == (1, 1)
    assert first != second


@pytest.mark.parametrize("name", ["wild+", "wild+hat", "objects+mask", "wild+mask+mask", "+mask", "person@3+mask"])
def test_a_variant_that_cannot_be_is_refused(name: str) -> None:
    assert not is_domain(name)
    with pytest.raises(MienError, match="There is no domain") as caught:
        find_domain(name)
    assert "+sunglasses" in caught.value.remedy


def test_a_shift_can_be_covered_too() -> None:
    domain = find_domain("person@0.5+mask")
    assert domain.shift == 0.5
    assert {one.occlusion for one in planned("person@0.5+mask", 3)} == {"mask"}
