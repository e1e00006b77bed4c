"""Who is rendered: one person, everything about them drawn from one seed.

Ancestry, sex and age choose between MakeHuman's faces; the head's shape varies along its shape axes; skin, hair, brows,
beard and make-up follow with the frequencies written here. The figures are for variety, not demography.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainer.data.synthetic.action_units import unit_weights
from trainer.data.synthetic.appearance import Appearance, Colour
from trainer.data.synthetic.asset_names import ANCESTRIES, MACROS, SHAPE_AXES
from trainer.data.synthetic.assets import HeadAssets, combine
from trainer.data.synthetic.hair import choose_hair

Floats = NDArray[np.float32]
Random = np.random.Generator

_SKIN = np.array([[0.15, 0.085, 0.06], [0.36, 0.22, 0.15], [0.62, 0.42, 0.30], [0.82, 0.61, 0.48], [0.92, 0.74, 0.64]])
"""From dark to light, as the shader takes it."""
_USUAL_TONE = {"african": 0.22, "asian": 0.68, "caucasian": 0.80}
_HAIR = {
    "black": (0.035, 0.030, 0.028),
    "dark brown": (0.095, 0.060, 0.040),
    "brown": (0.21, 0.13, 0.075),
    "red": (0.36, 0.14, 0.06),
    "blond": (0.56, 0.42, 0.23),
    "grey": (0.50, 0.49, 0.48),
}
_IRIS = ((0.16, 0.085, 0.04), (0.26, 0.15, 0.07), (0.22, 0.38, 0.52), (0.27, 0.36, 0.22), (0.36, 0.40, 0.42))
_VARIED_AXES = 45
_RESTING = unit_weights({12: 0.17})
"""The corners of the base mesh's mouth hang, which people and networks take for sadness."""


@dataclass(frozen=True)
class Population:
    """From whom people are drawn.

    Attributes:
        youngest, oldest: years.
        ancestry: weights of `ANCESTRIES`; the larger, the more people have of it.
        mixing: how alike everyone's ancestry is; small values give mostly unmixed people.
        female: share of women, 0 to 1.
        spread: how far heads differ in shape, 0 (all alike) to 1.
        may_cover_hair: whether there are hats and scarves.
        bearded: share of the men who do not shave.
        glasses: share of the people who wear some, beyond the usual.
        varied_brows: whether brows also differ in height, and more than usual in thickness and in how their ends drop.
    """

    youngest: float = 17.0
    oldest: float = 78.0
    ancestry: tuple[float, float, float] = (1.0, 1.0, 1.0)
    mixing: float = 0.5
    female: float = 0.5
    spread: float = 1.0
    may_cover_hair: bool = True
    bearded: float = 0.38
    glasses: float = 0.0
    varied_brows: bool = False


@dataclass(frozen=True)
class Person:
    """One person.

    Attributes:
        name: unique in its domain.
        female: as drawn.
        age_years: as drawn.
        vertices: float32 (V, 3), the relaxed head, decimetres.
        appearance: everything but shape.
        wears_glasses: clear ones, in most pictures.
        asymmetry: how much stronger the left side of the face moves, −1 to 1.
    """

    name: str
    female: bool
    age_years: float
    vertices: Floats
    appearance: Appearance
    wears_glasses: bool
    asymmetry: float


def make_person(assets: HeadAssets, population: Population, name: str, seed: list[int]) -> Person:
    """Draw a person.

    Args:
        assets: the head.
        population: from whom.
        name: unique in its domain.
        seed: the same seed and population give the same person.
    """
    random = np.random.default_rng(seed)
    female = bool(random.random() < population.female)
    age = float(population.youngest + (population.oldest - population.youngest) * random.beta(1.1, 1.9))
    ancestry = random.dirichlet(np.array(population.ancestry) * population.mixing + 1e-3)
    vertices = _shape(assets, random, female, age, ancestry, population.spread)
    appearance = _appearance(random, female, age, ancestry, population)
    person = Person(
        name=name,
        female=female,
        age_years=age,
        vertices=vertices,
        appearance=appearance,
        wears_glasses=bool(random.random() < population.glasses + 0.07 + 0.22 * max(0.0, (age - 35) / 45)),
        asymmetry=float(random.normal(0, 0.12)),
    )
    return replace(person, appearance=_with_other_brows(random, appearance)) if population.varied_brows else person


def _shape(
    assets: HeadAssets, random: Random, female: bool, age: float, ancestry: NDArray[np.float64], spread: float
) -> Floats:
    old = float(np.clip((age - 22) / 70, 0, 1))
    male = random.uniform(0.0, 0.22) if female else random.uniform(0.85, 1.1)
    weights = np.zeros(len(MACROS), np.float32)
    for number, name in enumerate(MACROS):
        of_ancestry, of_sex, of_age = name.split("-")
        weights[number] = (
            ancestry[ANCESTRIES.index(of_ancestry)]
            * (male if of_sex == "male" else 1 - male)
            * (old if of_age == "old" else 1 - old)
        )
    reach = np.array([axis.reach for axis in SHAPE_AXES])
    signed = np.array([bool(axis.low) for axis in SHAPE_AXES])
    chosen = random.permutation(len(SHAPE_AXES)) < _VARIED_AXES
    along = np.clip(random.normal(0, 0.5, len(SHAPE_AXES)), -1, 1) * chosen * reach * spread
    along = np.where(signed, along, np.abs(along))
    lower, higher = combine(np.maximum(-along, 0), assets.shapes[0]), combine(np.maximum(along, 0), assets.shapes[1])
    return assets.positions + combine(weights, assets.macros) + combine(_RESTING, assets.units) + lower + higher


def _appearance(
    random: Random, female: bool, age: float, ancestry: NDArray[np.float64], population: Population
) -> Appearance:
    usual = sum(weight * _USUAL_TONE[name] for name, weight in zip(ANCESTRIES, ancestry, strict=True))
    tone = float(np.clip(usual + random.normal(0, 0.10), 0.02, 1.0))
    skin = np.array([np.interp(tone, np.linspace(0, 1, len(_SKIN)), _SKIN[:, i]) for i in range(3)])
    skin *= 1 + random.normal(0, 0.03, 3)
    hair, grey = _hair_colour(random, age, ancestry[ANCESTRIES.index("caucasian")])
    make_up = float(random.beta(1.2, 2.0)) if female else 0.0
    lips = skin * [0.86, 0.58, 0.58] + np.array([0.10, -0.02, 0.0]) * make_up + np.array([0.02, 0, 0.005])
    bearded = not female and random.random() < population.bearded
    grown = random.random() < 0.5
    light = ancestry[ANCESTRIES.index("caucasian")] * tone
    looks = choose_hair(random, female, age, ancestry[ANCESTRIES.index("african")], population.may_cover_hair)
    cloth = random.uniform(0.03, 0.85) * (0.55 + 0.45 * random.dirichlet([3.0] * 3) * 3)
    return Appearance(
        **{"cloth_colour": _colour(cloth), "collar": float(random.uniform(5.35, 5.75)), **looks},
        noise_seed=float(random.integers(1, 500)),
        skin_colour=_colour(skin),
        lip_colour=_colour(lips),
        brow_colour=_colour(np.array(hair) * 0.75 * (1 - 0.4 * grey) + 0.25 * skin * grey),
        hair_colour=hair,
        iris_colour=_IRIS[int(random.integers(len(_IRIS))) if random.random() < light else int(random.integers(2))],
        brow_thickness=float(random.uniform(0.028, 0.055) if female else random.uniform(0.042, 0.078)),
        brow_arch=float(random.uniform(0.015, 0.075) if female else random.uniform(0.0, 0.045)),
        brow_density=float(random.uniform(0.55, 1.0)),
        beard=float(random.uniform(0.7, 1.0)) if bearded and grown and random.random() < 0.7 else 0.0,
        moustache=float(random.uniform(0.7, 1.0)) if bearded and grown and random.random() < 0.75 else 0.0,
        stubble=float(random.uniform(0.3, 1.0)) if bearded and not grown else 0.0,
        freckles=float(random.random() ** 2 if light > 0.55 and random.random() < 0.25 else 0.0),
        make_up=make_up,
        age_lines=float(np.clip((age - 32) / 45, 0, 1) ** 1.2),
        blotches=float(random.uniform(0.25, 0.8)),
        sclera=float(random.uniform(0.82, 1.0)),
        lash_density=float(random.uniform(0.35, 0.8) if female else random.uniform(0.1, 0.35)),
    )


def _with_other_brows(random: Random, looks: Appearance) -> Appearance:
    return replace(
        looks,
        brow_height=float(random.uniform(-0.08, 0.03)),
        brow_drop=float(random.uniform(0.03, 0.11)),
        brow_thickness=looks.brow_thickness * float(random.uniform(0.8, 1.5)),
    )


def _hair_colour(random: Random, age: float, caucasian: float) -> tuple[Colour, float]:
    """A hair colour, and how grey it is, 0 to 1."""
    weights = [0.55, 0.35, 0.10, 0.0, 0.0] if random.random() > caucasian else [0.12, 0.25, 0.28, 0.07, 0.28]
    name = random.choice(["black", "dark brown", "brown", "red", "blond"], p=weights)
    grey = float(np.clip((age - 42) / 25 + random.normal(0, 0.35), 0, 1)) if age > 33 else 0.0
    colour = np.array(_HAIR[str(name)]) * random.uniform(0.75, 1.25)
    return _colour(colour * (1 - grey) + np.array(_HAIR["grey"]) * random.uniform(0.8, 1.5) * grey), grey


def _colour(values: NDArray[np.float64]) -> Colour:
    red, green, blue = np.clip(values, 0.0, 1.0)
    return float(red), float(green), float(blue)
