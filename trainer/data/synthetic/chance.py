"""What changes from picture to picture, drawn at random: light, pose, glasses, occlusion, camera faults."""

from __future__ import annotations

import numpy as np

from trainer.data.synthetic.appearance import Colour, Light, Worn
from trainer.data.synthetic.background import plain as plain_background
from trainer.data.synthetic.background import wild as wild_background
from trainer.data.synthetic.camera import Shot
from trainer.data.synthetic.degrade import Degradation, Hand
from trainer.data.synthetic.person import Person

__all__ = [
    "any_shot",
    "camera_faults",
    "glasses",
    "hand",
    "light",
    "occlusion",
    "plain_background",
    "shot",
    "wild_background",
]

Random = np.random.Generator


def light(random: Random, variety: float) -> Light:
    """A key light, a fill light and their colours; `variety` 0 is a studio, 1 anything."""

    def towards(x: float, y: float, z: float) -> tuple[float, float, float]:
        vector = np.array([x, y, z]) / np.linalg.norm([x, y, z])
        return float(vector[0]), float(vector[1]), float(vector[2])

    def colour(strength: float) -> Colour:
        warmth = random.normal(0, 0.10 * variety)
        return float(strength * (1 + warmth)), float(strength), float(strength * (1 - warmth))

    key = random.uniform(0.35, 0.80) if variety > 0 else 0.55
    side = random.uniform(-1.0, 1.0) * (0.4 + 0.8 * variety)
    return Light(
        light_direction=towards(side, float(random.uniform(0.1, 0.9)), float(random.uniform(0.45, 1.0))),
        light_colour=colour(key),
        fill_direction=towards(-side, float(random.uniform(-0.2, 0.4)), 0.7),
        fill_colour=colour(random.uniform(0.05, 0.25)),
        ambient_colour=colour(random.uniform(0.42, 0.50) - 0.22 * variety * random.random()),
    )


def shot(random: Random, yaw: float, pitch: float, share: tuple[float, float], shift: float) -> Shot:
    """A view: standard deviations of yaw and pitch in degrees, range of the share, largest shift."""
    return Shot(
        yaw=float(np.clip(random.normal(0, yaw), -60, 60)),
        pitch=float(np.clip(random.normal(0, pitch), -30, 30)),
        roll=float(np.clip(random.normal(0, pitch * 0.7), -30, 30)),
        distance=float(random.uniform(6.5, 16)),
        share=float(random.uniform(*share)),
        shift_x=float(random.uniform(-shift, shift)),
        shift_y=float(random.uniform(-shift, shift)),
    )


def any_shot(random: Random) -> Shot:
    """A view up to 60 degrees from the side and 30 from above, below or tilted; some faces are cut by the border."""
    is_turned, is_cut = random.random(2)
    yaw = random.uniform(-60, 60) if is_turned < 0.5 else random.normal(0, 12)
    shift = 0.3 if is_cut < 0.15 else 0.08
    return Shot(
        yaw=float(np.clip(yaw, -60, 60)),
        pitch=float(np.clip(random.normal(0, 11), -30, 30)),
        roll=float(np.clip(random.normal(0, 11), -30, 30)),
        distance=float(random.uniform(6.5, 16)),
        share=float(random.uniform(0.6, 0.95) if is_cut < 0.15 else random.uniform(0.4, 0.75)),
        shift_x=float(random.uniform(-shift, shift)),
        shift_y=float(random.uniform(-shift, shift)),
    )


def glasses(random: Random, person: Person, sunglasses: float = 0.0) -> Worn:
    """The person's own glasses on nine of ten pictures; sunglasses on anyone with that probability."""
    # Always the same numbers are drawn, so that what follows does not depend on who wears glasses.
    dark, forgotten, tint, roundness, thickness, frame = random.random(6)
    if dark < sunglasses:
        lens = (0.02, 0.02, 0.02, 0.93)
    elif person.wears_glasses and forgotten < 0.9:
        lens = (0.9, 0.95, 1.0, 0.04 + 0.08 * float(tint))
    else:
        return Worn()
    return Worn(
        glasses=True,
        lens_colour=lens,
        roundness=float(roundness),
        frame_thickness=0.007 + 0.012 * float(thickness),
        frame_colour=(0.03 + 0.3 * float(frame) ** 3, 0.03 + 0.2 * float(frame) ** 3, 0.03 + 0.15 * float(frame) ** 3),
    )


def occlusion(random: Random, worn: Worn, probability: float) -> tuple[Worn, str]:
    """A face mask over mouth and nose with that probability; and the name of what covers the face."""
    covered, shade, tint, top = random.random(4)
    if covered < probability:
        level = 0.1 if shade < 0.25 else 0.8
        colour = (level * (0.85 + 0.1 * float(tint)), level, level * (1.1 - 0.2 * float(tint)))
        return (
            Worn(
                worn.glasses,
                worn.frame_colour,
                worn.lens_colour,
                worn.roundness,
                worn.frame_thickness,
                face_mask=True,
                mask_colour=colour,
                mask_top=-0.20 - 0.12 * float(top),
            ),
            "mask",
        )
    return worn, "sunglasses" if worn.glasses and worn.lens_colour[3] > 0.5 else ""


def hand(random: Random, person: Person) -> Hand:
    """A hand that covers a part of the face, in the person's skin colour."""
    red, green, blue = person.appearance.skin_colour
    side = 1.0 if random.random() < 0.5 else -1.0
    return Hand(
        x=0.5 + side * float(random.uniform(0.05, 0.22)),
        y=float(random.uniform(0.45, 0.75)),
        size=float(random.uniform(0.13, 0.21)),
        angle=-90 - side * float(random.uniform(0, 50)),
        colour=(0.9 * blue, 0.9 * green, 0.9 * red),
    )


def camera_faults(random: Random, strength: float) -> Degradation:
    """Exposure, colour, blur, noise and compression; `strength` 0 is a good camera, 1 anything found on the web."""

    def sometimes(probability: float, low: float, high: float) -> float:
        happens, amount = random.random(2)
        return float(low + (high - low) * amount) if happens < probability * strength else 0.0

    return Degradation(
        gain=float(np.exp(random.normal(0, 0.16 * strength))),
        gamma=float(np.exp(random.normal(0, 0.14 * strength))),
        cast=tuple(float(value) for value in 1 + random.normal(0, 0.05 * strength, 3)),  # type: ignore[arg-type]
        blur=sometimes(0.45, 0.002, 0.012),
        motion=sometimes(0.15, 0.015, 0.05),
        motion_angle=float(random.uniform(0, 180)),
        resolution=1.0 - sometimes(0.3, 0.2, 0.7),
        noise=float(random.uniform(0.002, 0.012)) + sometimes(0.3, 0.01, 0.04),
        jpeg_quality=int(random.integers(35, 96)) if random.random() < 0.3 + 0.6 * strength else 0,
        is_grey=bool(random.random() < 0.12 * strength),
        darkest_face=0.18,
    )
