"""What a robot sees of people at home: mostly neutral and mild faces, many of which look like something else.

A face at rest is not the relaxed mesh: brows are drawn together against the light, corners of mouths hang with age,
lips part or press, lids droop. Networks that have learned from posed faces call such faces angry, sad or disgusted.
Here they are labelled neutral; what each movement may reach at most is about what the weakest expressions begin with.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trainer.data.synthetic.asset_names import UNIT_NAMES
from trainer.data.synthetic.camera import Shot
from trainer.data.synthetic.degrade import Degradation
from trainer.data.synthetic.expression import (
    LARGEST_WEIGHT,
    Expression,
    blend,
    blink,
    draw_prototype,
    look,
    make_expression,
    talk,
)
from trainer.data.synthetic.person import Person, Population
from trainer.data.synthetic.prototypes import EXPRESSIONS

Random = np.random.Generator

POPULATION = Population(varied_brows=True, bearded=0.55, glasses=0.2)
"""With more glasses and beards than usual."""
_NEUTRAL = 0.36
"""Share of the faces that are neutral."""
_AT_REST = 0.25
"""Share of these that are quite relaxed."""
_MILDEST = 0.3
_LARGEST_YAW_DEGREES = 40.0
RESTING: dict[str, dict[str, float]] = {
    "stern brows": {"browDown": 0.5, "eyeSquint": 0.3},
    "raised brows": {"browInnerUp": 0.2, "browOuterUp": 0.25},
    "hanging corners": {"mouthFrown": 0.5},
    "open mouth": {"jawOpen": 0.22, "mouthLowerDown": 0.2},
    "pressed lips": {"mouthPress": 0.6, "mouthRollLower": 0.3},
    "pursed lips": {"mouthPucker": 0.35},
    "heavy lids": {"eyeBlink": 0.4},
}
"""What faces at rest look like: face units, both sides, and their weights at most."""


def draw_expression(random: Random, person: Person) -> Expression:
    """A face as people wear it: at rest in one of many ways, or mildly expressive; speaking, blinking, looking away."""
    if random.random() < _NEUTRAL:
        expression = _at_rest(random, person)
    else:
        label = EXPRESSIONS[int(random.integers(1, len(EXPRESSIONS)))]
        expression = _show(random, person, label, _MILDEST + (1 - _MILDEST) * float(random.beta(1.0, 1.5)))
    mixing, speaking, blinking, away = random.random(4)
    is_speaking = speaking < 0.3
    if mixing < 0.25 and not is_speaking:  # a neutral mouth that speaks with a little surprise is a surprised one
        other = EXPRESSIONS[int(random.integers(1, len(EXPRESSIONS)))]
        strength = max(0.5, expression.intensity)
        expression = blend(expression, _show(random, person, other, strength), float(random.uniform(0.05, 0.3)))
    if is_speaking:
        expression = talk(random, expression)
    if away < 0.4:
        expression = look(expression, float(random.normal(0, 10)), float(random.normal(0, 7)))
    if blinking < 0.1:
        expression = blink(expression, float(random.uniform(0.5, 1.0)))
    return expression


def draw_shot(random: Random) -> Shot:
    """A view from a robot's height: half of the heads turned by up to 40 degrees, often seen from below."""
    turned = random.random() < 0.5
    yaw = random.uniform(-1, 1) * _LARGEST_YAW_DEGREES if turned else random.normal(0, 9)
    return Shot(
        yaw=float(np.clip(yaw, -_LARGEST_YAW_DEGREES, _LARGEST_YAW_DEGREES)),
        pitch=float(np.clip(random.normal(4, 9), -25, 30)),
        roll=float(np.clip(random.normal(0, 6), -20, 20)),
        distance=float(random.uniform(6.5, 16)),
        share=float(random.uniform(0.44, 0.70)),
        shift_x=float(random.uniform(-0.06, 0.06)),
        shift_y=float(random.uniform(-0.06, 0.06)),
    )


def spoil(random: Random, faults: Degradation) -> Degradation:
    """More faults, as of a robot's camera: far faces of few pixels, dim rooms, movement, and grey pictures."""
    is_far, is_dim, is_moving, is_grey = random.random(4) < (0.35, 0.2, 0.2, 0.3)
    amounts = random.random(4)
    if is_far:
        faults = replace(faults, resolution=min(faults.resolution, 0.25 + 0.45 * float(amounts[0])))
    if is_dim:
        dark, noise = 0.5 + 0.35 * float(amounts[1]), 0.015 + 0.025 * float(amounts[2])
        faults = replace(faults, gain=faults.gain * dark, noise=max(faults.noise, noise), darkest_face=0.12)
    if is_moving:
        faults = replace(faults, motion=max(faults.motion, 0.01 + 0.03 * float(amounts[3])))
    return replace(faults, is_grey=faults.is_grey or bool(is_grey))


def _show(random: Random, person: Person, label: str, intensity: float) -> Expression:
    prototype = draw_prototype(random, label)
    return make_expression(random, label, prototype, intensity, asymmetry=person.asymmetry)


def _at_rest(random: Random, person: Person) -> Expression:
    """A neutral face, relaxed or in one or two of the ways of `RESTING`."""
    expression = _show(random, person, "neutral", 0.0)
    if random.random() < _AT_REST:
        return expression
    units, names = expression.units.copy(), list(RESTING)
    chosen = [names[int(one)] for one in random.permutation(len(names))[: int(random.integers(1, 3))]]
    for name in chosen:
        for unit, most in RESTING[name].items():
            amount = most * float(random.uniform(0.3, 1.0))
            for side, stronger in (("", 0.0), ("Left", person.asymmetry), ("Right", -person.asymmetry)):
                if unit + side in UNIT_NAMES:
                    units[UNIT_NAMES.index(unit + side)] += amount * (1 + stronger)
    shown = np.clip(units, 0, LARGEST_WEIGHT).astype(np.float32)
    return replace(expression, prototype=", ".join(chosen), units=shown)
