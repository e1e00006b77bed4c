"""FACS action units as face units.

Names and numbers: P. Ekman, W. V. Friesen, J. C. Hager, Facial Action Coding System, 2002. The face units are those of
ARKit's blend shapes, which FACS inspired; which of them an action moves, and how much, was judged by eye on renders.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trainer.data.synthetic.asset_names import UNIT_NAMES

_BOTH = "*"  # stands for Left and Right

ACTION_UNITS: dict[int, dict[str, float]] = {
    1: {"browInnerUp": 1.0},  # inner brow raiser
    2: {"browOuterUp*": 1.0},  # outer brow raiser
    4: {"browDown*": 1.0},  # brow lowerer
    5: {"eyeWide*": 1.0},  # upper lid raiser
    6: {"cheekSquint*": 1.0, "eyeSquint*": 0.35},  # cheek raiser
    7: {"eyeSquint*": 0.8, "eyeBlink*": 0.10},  # lid tightener
    9: {"noseSneer*": 1.0, "browDown*": 0.1},  # nose wrinkler
    10: {"mouthUpperUp*": 0.9, "noseSneer*": 0.2},  # upper lip raiser
    12: {"mouthSmile*": 1.0},  # lip corner puller
    14: {"mouthDimple*": 1.0, "mouthPress*": 0.3},  # dimpler
    15: {"mouthFrown*": 1.0},  # lip corner depressor
    16: {"mouthLowerDown*": 1.0},  # lower lip depressor
    17: {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.3},  # chin raiser
    18: {"mouthPucker": 1.0},  # lip pucker
    20: {"mouthStretch*": 1.0},  # lip stretcher
    22: {"mouthFunnel": 1.0},  # lip funneler
    23: {"mouthRollUpper": 0.5, "mouthRollLower": 0.5, "mouthPress*": 0.4},  # lip tightener
    24: {"mouthPress*": 1.0, "mouthRollLower": 0.3},  # lip pressor
    25: {"mouthLowerDown*": 0.35, "mouthUpperUp*": 0.15, "jawOpen": 0.04},  # lips part
    26: {"jawOpen": 0.4},  # jaw drop
    27: {"jawOpen": 1.0},  # mouth stretch
    28: {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},  # lip suck
    43: {"eyeBlink*": 1.0},  # eyes closed
}

_NUMBER = {name: number for number, name in enumerate(UNIT_NAMES)}


def unit_weights(actions: Mapping[int, float], side: str = "both") -> NDArray[np.float32]:
    """Weights of the face units for a set of actions.

    Args:
        actions: action unit → strength; 1 is strong, more is allowed.
        side: "both", or "left" or "right" for a one-sided action, the person's own sides.

    Returns:
        float32 (52,), in the order of `UNIT_NAMES`.
    """
    weights = np.zeros(len(UNIT_NAMES), np.float32)
    sides = {"both": ("Left", "Right"), "left": ("Left",), "right": ("Right",)}[side]
    for action, strength in actions.items():
        for name, share in ACTION_UNITS[action].items():
            names = [name.replace(_BOTH, ending) for ending in sides] if _BOTH in name else [name]
            for unit in names:
                weights[_NUMBER[unit]] += strength * share
    return weights
