"""Hair styles: numbers for the shaders that grow hair on the scalp and cut the long-hair mesh."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.data.synthetic.appearance import NO_BALDNESS, NO_FRINGE

_MEN = {
    "short": 0.34,
    "shaved": 0.07,
    "buzz": 0.12,
    "balding": 0.12,
    "fringe": 0.10,
    "full": 0.13,
    "long": 0.07,
    "hat": 0.05,
}
_WOMEN = {
    "long": 0.36,
    "bob": 0.20,
    "bob fringe": 0.12,
    "tied": 0.12,
    "short": 0.07,
    "full": 0.06,
    "scarf": 0.04,
    "hat": 0.02,
}
_COVERS = ("hat", "scarf")

_PLAIN: dict[str, Any] = {
    "fringe": NO_FRINGE,
    "parting": 0.0,
    "bald_above": NO_BALDNESS,
    "receding": 0.0,
    "hair_length": 0.0,
    "hair_opening": 0.6,
    "cloth_cap": 0.0,
    "cap_colour": (0.2, 0.2, 0.2),
    "has_long_hair": False,
    "has_hair_cap": True,
}


def choose_hair(
    random: np.random.Generator, female: bool, age_years: float, african: float, may_cover: bool
) -> dict[str, Any]:
    """Draw a hair style: values for the fields of `Appearance` that hair has.

    Args:
        random: drawn from.
        female: women and men wear other styles.
        age_years: hair recedes and thins with it.
        african: share of that ancestry, 0 to 1; curls follow it.
        may_cover: whether hats and scarves occur.
    """
    styles = dict(_WOMEN if female else _MEN)
    if not may_cover:
        styles = {name: share for name, share in styles.items() if name not in _COVERS}
    if not female:
        styles["balding"] *= 0.3 + 2.0 * max(0.0, (age_years - 30) / 40)
        styles["shaved"] *= 1 + african
    shares = np.array(list(styles.values()))
    style = str(random.choice(list(styles), p=shares / shares.sum()))
    curl = float(random.uniform(0.7, 1.0) if random.random() < african else random.beta(0.7, 2.2))
    common = {
        "curl": curl,
        "hairline": float(random.uniform(0.60, 0.80)),
        "hair_volume": float(random.uniform(0.06, 0.16)),
    }
    if not female and age_years > 28:
        common["receding"] = float(random.uniform(0, 0.22))
    return {**_PLAIN, **common, **_style(random, style)}


def _style(random: np.random.Generator, style: str) -> dict[str, Any]:
    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    if style in ("shaved", "buzz"):
        amount = {"bald_above": -0.6} if style == "shaved" else {}
        return {"has_hair_cap": False, "hair_volume": 0.0, **amount}
    if style == "balding":
        return {"bald_above": between(0.25, 0.75), "hair_volume": between(0.03, 0.1), "hairline": 0.9}
    if style == "fringe":
        return {"fringe": between(0.28, 0.5), "parting": between(-0.35, 0.35), "hair_volume": between(0.1, 0.2)}
    if style == "full":
        return {"hair_volume": between(0.22, 0.45), "curl": between(0.5, 1.0)}
    if style == "tied":
        return {"hair_volume": between(0.02, 0.06), "hairline": between(0.62, 0.78)}
    if style in ("long", "bob", "bob fringe"):
        length = between(-3.2, -1.5) if style == "long" else between(-1.25, -0.6)
        fringe = {"fringe": between(0.26, 0.42), "parting": between(-0.15, 0.15)} if style == "bob fringe" else {}
        return {"has_long_hair": True, "hair_length": length, "hair_opening": between(0.54, 0.70), **fringe}
    if style in _COVERS:
        level = between(0.03, 0.5)
        colour = tuple(level * float(value) for value in random.uniform(0.6, 1.4, 3))
        cover: dict[str, Any] = {
            "cloth_cap": 1.0,
            "cap_colour": colour,
            "hairline": between(0.45, 0.65),
            "receding": 0.0,
        }
        if style == "scarf":
            cover |= {
                "has_long_hair": True,
                "hair_length": -2.6,
                "collar": 6.02,
                "cloth_colour": colour,
                "hair_opening": between(0.50, 0.60),
                "hair_volume": 0.12,
            }
        return cover
    return {}
