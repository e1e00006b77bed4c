"""What covers the faces in the occluded variants of domains.

Two sets of styles share nothing. Those for training are what the domains themselves have now and then: plain, pleated
masks in white, blue or black over nose and chin, dark sunglasses in dark frames, hands. Those that only tests show are
masks and sunglasses in other colours, shapes, heights and patterns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trainer.data.synthetic import chance
from trainer.data.synthetic.appearance import Colour, Worn
from trainer.data.synthetic.degrade import Hand
from trainer.data.synthetic.person import Person

Random = np.random.Generator

COVERS = ("occluded", "mask", "sunglasses")
"""Variants: `occluded` covers half of the pictures, in the styles for training, by a mask, sunglasses or a hand; `mask`
and `sunglasses` cover every one, in the unseen styles."""

_COVERED = 0.5
_CLOTHS: tuple[Colour, ...] = (
    (0.6, 0.08, 0.08),
    (0.75, 0.55, 0.05),
    (0.08, 0.4, 0.15),
    (0.35, 0.1, 0.5),
    (0.7, 0.3, 0.4),
)
_LENSES = ((0.30, 0.13, 0.03), (0.08, 0.25, 0.55), (0.65, 0.42, 0.10), (0.45, 0.06, 0.12), (0.10, 0.42, 0.35))
_FRAMES: tuple[Colour, ...] = ((0.85, 0.85, 0.82), (0.70, 0.08, 0.08), (0.08, 0.50, 0.50), (0.75, 0.55, 0.20))


def cover(
    random: Random, variant: str, person: Person, worn: Worn, hand: Hand | None
) -> tuple[Worn, Hand | None, str] | None:
    """What covers a face in a variant.

    Args:
        random: drawn from.
        variant: one of `COVERS`.
        person: whose face.
        worn: glasses or mask that are worn anyway.
        hand: that is before the face anyway.

    Returns:
        What is worn then, the hand, and the name of what covers; None where the picture stays as it is.
    """
    if variant == "mask":
        return _unseen_mask(random, worn), hand, "mask"
    if variant == "sunglasses":
        return _unseen_sunglasses(random, worn), hand, "sunglasses"
    covered, kind = random.random(), ("mask", "sunglasses", "hand")[int(random.integers(3))]
    if covered >= _COVERED:
        return None
    if kind == "hand":
        return worn, chance.hand(random, person), kind
    if kind == "mask":
        return chance.occlusion(random, worn, 1.0)[0], hand, kind
    dark = chance.glasses(random, person, sunglasses=1.0)
    return replace(dark, face_mask=worn.face_mask, mask_colour=worn.mask_colour, mask_top=worn.mask_top), hand, kind


def _unseen_mask(random: Random, worn: Worn) -> Worn:
    """Coloured cloth without pleats, wider and longer, high over the nose or down at its tip, often with a pattern."""
    colour, other = random.permutation(len(_CLOTHS))[:2]
    is_high = random.random() < 0.5
    has_pattern = random.random() < 0.6
    return replace(
        worn,
        face_mask=True,
        mask_colour=_CLOTHS[colour],
        mask_top=float(random.uniform(-0.15, -0.08) if is_high else random.uniform(-0.42, -0.36)),
        mask_bottom=float(random.uniform(-1.30, -1.20)),
        mask_width=float(random.uniform(0.66, 0.74)),
        mask_pleats=0.0,
        mask_stiffness=0.85,
        mask_stripes=float(random.uniform(3, 9)) if has_pattern else 0.0,
        mask_slant=float(random.uniform(-1.5, 1.5)),
        mask_second=_CLOTHS[other] if random.random() < 0.5 else (0.9, 0.9, 0.9),
    )


def _unseen_sunglasses(random: Random, worn: Worn) -> Worn:
    """Large lenses, brown, red or mirroring, in bright frames."""
    red, green, blue = np.array(_LENSES[int(random.integers(len(_LENSES)))]) * random.uniform(0.8, 1.2)
    return replace(
        worn,
        glasses=True,
        lens_colour=(float(red), float(green), float(blue), float(random.uniform(0.85, 0.92))),
        lens_scale=(float(random.uniform(1.05, 1.18)), float(random.uniform(1.25, 1.6))),
        roundness=float(random.random()),
        frame_thickness=float(random.uniform(0.022, 0.032)),
        frame_colour=_FRAMES[int(random.integers(len(_FRAMES)))],
    )
