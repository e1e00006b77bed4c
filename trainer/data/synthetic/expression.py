"""One expression of one face: weights of the face units, and its labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainer.data.synthetic.action_units import unit_weights
from trainer.data.synthetic.affect import valence_arousal
from trainer.data.synthetic.appearance import Creases
from trainer.data.synthetic.asset_names import UNIT_NAMES
from trainer.data.synthetic.prototypes import PROTOTYPES, Prototype

Weights = NDArray[np.float32]
Random = np.random.Generator

_NUMBER = {name: number for number, name in enumerate(UNIT_NAMES)}
_LEFT = np.array([name.endswith("Left") and f"{name[:-4]}Right" in _NUMBER for name in UNIT_NAMES])
_RIGHT = np.array([name.endswith("Right") and f"{name[:-5]}Left" in _NUMBER for name in UNIT_NAMES])
_TALKING = (
    "jawOpen",
    "mouthFunnel",
    "mouthPucker",
    "mouthShrugUpper",
    "mouthRollLower",
    "mouthUpperUp",
    "mouthLowerDown",
)
LARGEST_WEIGHT = 2.0
"""Beyond it the mesh tears."""


@dataclass(frozen=True)
class Expression:
    """What a face shows.

    Attributes:
        label: one of `EXPRESSIONS`.
        prototype: name of the variant.
        intensity: 0 to 1.
        valence: −1 to 1.
        arousal: −1 to 1.
        units: float32 (52,), weights of the face units.
        talking: the mouth speaks.
        gaze: degrees to the person's left and up, relative to the head.
    """

    label: str
    prototype: str
    intensity: float
    valence: float
    arousal: float
    units: Weights
    talking: bool = False
    gaze: tuple[float, float] = (0.0, 0.0)


def draw_prototype(random: Random, label: str, only_strong: bool = False) -> Prototype:
    """One of an expression's prototypes, by their shares."""
    choice = [prototype for prototype in PROTOTYPES[label] if prototype.is_strong or not only_strong]
    shares = np.array([prototype.share for prototype in choice])
    return choice[int(random.choice(len(choice), p=shares / shares.sum()))]


def make_expression(
    random: Random,
    label: str,
    prototype: Prototype,
    intensity: float,
    *,
    asymmetry: float = 0.0,
    variation: float = 0.15,
) -> Expression:
    """An expression as one face shows it once.

    Args:
        random: drawn from.
        label: one of `EXPRESSIONS`.
        prototype: which variant of it.
        intensity: 0 to 1; of neutral always 0.
        asymmetry: how much stronger the left side moves, −1 to 1.
        variation: how far each action differs from the prototype.
    """
    intensity = 0.0 if label == "neutral" else intensity
    actions = {action: strength * _vary(random, variation) for action, strength in prototype.actions.items()}
    units = unit_weights(actions)
    if prototype.one_sided:
        side = "left" if random.random() < 0.5 + asymmetry else "right"
        units += unit_weights({a: s * _vary(random, variation) for a, s in prototype.one_sided.items()}, side)
    units = units * np.where(_LEFT, 1 + asymmetry, 1) * np.where(_RIGHT, 1 - asymmetry, 1) * intensity
    # A relaxed face is never quite the same: small movements without a meaning.
    units = units + np.where(random.random(len(units)) < 0.25, random.uniform(0, 0.07, len(units)), 0)
    units[_NUMBER["tongueOut"]] = 0.0
    valence, arousal = valence_arousal({label: 1.0}, intensity)
    units = np.clip(units, 0, LARGEST_WEIGHT).astype(np.float32)
    return Expression(label, prototype.name, intensity, valence, arousal, units)


def blend(first: Expression, second: Expression, share: float) -> Expression:
    """A mixture that keeps the first one's label; `share` of the second, 0 to 0.5."""
    units = (1 - share) * first.units + share * second.units
    mixed = {first.label: 0.0, second.label: 0.0}
    mixed[first.label] += (1 - share) * first.intensity
    mixed[second.label] += share * second.intensity
    valence, arousal = valence_arousal(mixed, 1.0)
    return replace(
        first,
        prototype=f"{first.prototype} with {second.label}",
        intensity=0.0 if first.label == "neutral" else mixed[first.label],
        valence=valence,
        arousal=arousal,
        units=np.asarray(units, np.float32),
    )


def talk(random: Random, expression: Expression) -> Expression:
    """The same face while it speaks: the mouth makes a sound, the upper face and the labels stay."""
    units = expression.units.copy()
    for name in _TALKING:
        if random.random() < 0.4:
            amount = random.uniform(0.1, 0.45)
            for unit in (name, f"{name}Left", f"{name}Right"):
                if unit in _NUMBER:
                    units[_NUMBER[unit]] += amount
    return replace(expression, units=np.clip(units, 0, LARGEST_WEIGHT).astype(np.float32), talking=True)


def look(expression: Expression, left: float, up: float) -> Expression:
    """The same face looking elsewhere; degrees relative to the head, at most about 30."""
    units = expression.units.copy()
    horizontal, vertical = left / 30, up / 25
    for side, turn in (("Left", horizontal), ("Right", -horizontal)):
        units[_NUMBER[f"eyeLookOut{side}"]] = max(turn, 0)
        units[_NUMBER[f"eyeLookIn{side}"]] = max(-turn, 0)
        units[_NUMBER[f"eyeLookUp{side}"]] = max(vertical, 0)
        units[_NUMBER[f"eyeLookDown{side}"]] = max(-vertical, 0)
    return replace(expression, units=units, gaze=(left, up))


def blink(expression: Expression, amount: float) -> Expression:
    """The same face with its lids closed by 0 to 1."""
    units = expression.units.copy()
    for side in ("Left", "Right"):
        units[_NUMBER[f"eyeBlink{side}"]] = max(units[_NUMBER[f"eyeBlink{side}"]], amount)
        units[_NUMBER[f"eyeWide{side}"]] *= 1 - amount
    return replace(expression, units=units)


def creases_of(units: Weights) -> Creases:
    """How deep the skin folds under these weights."""

    def strongest(*names: str) -> float:
        return float(np.clip(max(units[_NUMBER[name]] for name in names), 0, 1.5)) / 1.5

    return Creases(
        crease_forehead=strongest("browOuterUpLeft", "browOuterUpRight", "browInnerUp"),
        crease_glabella=strongest("browDownLeft", "browDownRight"),
        crease_cheeks=max(
            0.7 * strongest("mouthSmileLeft", "mouthSmileRight"), strongest("noseSneerLeft", "noseSneerRight")
        ),
        crease_eyes=strongest("cheekSquintLeft", "cheekSquintRight", "eyeSquintLeft", "eyeSquintRight"),
        crease_nose=strongest("noseSneerLeft", "noseSneerRight"),
    )


def _vary(random: Random, variation: float) -> float:
    return float(np.clip(random.normal(1, variation), 0.6, 1.3))
