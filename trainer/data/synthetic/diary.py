"""One individual over time: what they feel, and their own way of showing it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.expression.circumplex import COORDINATES
from trainer.data.synthetic.affect import valence_arousal
from trainer.data.synthetic.asset_names import UNIT_NAMES
from trainer.data.synthetic.expression import LARGEST_WEIGHT, Expression, draw_prototype, make_expression
from trainer.data.synthetic.prototypes import EXPRESSIONS, Prototype

_WAVES = 8
_NEARLY_NEUTRAL = 0.5
"""Distance from the origin within which the feeling mixes with neutral; about one picture in eight is neutral then."""
LARGEST_SHIFT = 2.0
_RESTING_UNITS = ("mouthFrown", "mouthSmile", "browDown", "eyeSquint", "mouthPress", "eyeWide")


@dataclass(frozen=True)
class Diary:
    """A person's feelings over time, and how the face shows them.

    Valence and arousal are sums of slow waves. What is felt is a mixture of expressions at the nearest coordinates; the
    labels say what is felt. What is seen is the person's own: one variant of each expression, shown stronger or weaker
    than other people would, on a face that never looks quite neutral. So a model of people in general is wrong about
    this one in a way that can be learned.

    `shift` says how far the person differs from people in general. At 0 each moment shows any variant of an expression,
    as in the domain `wild`, at the strength at which it is felt, with both sides alike, on a face that is relaxed at
    rest. At 1 it shows the person's own way. Between them it shows the own variants so often, the resting units and the
    asymmetry in that proportion, and the expressiveness to that power (0.6 becomes 0.77 at 0.5); beyond 1 all but the
    variants go on growing.

    Attributes:
        waves: float64 (2, 8, 3), amplitude, period in seconds and phase of the waves of valence and arousal.
        prototypes: the person's variant of each expression.
        expressiveness: how strongly each expression shows, about 0.45 to 1.3.
        resting: float32 (52,), units of the relaxed face.
        asymmetry: −1 to 1.
        shift: 0 to `LARGEST_SHIFT`.
    """

    waves: NDArray[np.float64]
    prototypes: dict[str, Prototype]
    expressiveness: dict[str, float]
    resting: NDArray[np.float32]
    asymmetry: float
    shift: float = 1.0

    def feeling(self, time_s: float) -> tuple[float, float]:
        """Valence and arousal at that time, about −1 to 1."""
        amplitude, period, phase = np.moveaxis(self.waves, 2, 0)
        both = (amplitude * np.sin(2 * np.pi * time_s / period + phase)).sum(axis=1)
        return float(np.tanh(both[0])), float(np.tanh(both[1]))

    def expression(self, random: np.random.Generator, time_s: float) -> Expression:
        """What the face shows at that time, labelled with what is felt."""
        valence, arousal = self.feeling(time_s)
        distances = {name: float(np.hypot(v - valence, a - arousal)) for name, (v, a) in COORDINATES.items()}
        nearest = sorted((name for name in EXPRESSIONS if name != "neutral"), key=distances.__getitem__)[:2]
        if distances["neutral"] < _NEARLY_NEUTRAL:
            nearest = ["neutral", nearest[0]]
        closeness = np.array([1 / (0.05 + distances[name]) for name in nearest])
        shares = dict(zip(nearest, (closeness / closeness.sum()).tolist(), strict=True))
        intensity = min(1.0, float(np.hypot(valence, arousal)) / 0.85)
        units = self.resting * np.float32(self.shift)
        variants = {name: self._variant(random, name) for name in shares}
        for name, share in shares.items():
            strength = intensity * share * self.expressiveness[name] ** self.shift
            shown = make_expression(random, name, variants[name], strength, asymmetry=self.asymmetry * self.shift)
            units += shown.units
        label = max(shares, key=shares.__getitem__)
        felt_valence, felt_arousal = valence_arousal(shares, intensity)
        units = np.clip(units, 0, LARGEST_WEIGHT).astype(np.float32)
        felt = 0.0 if label == "neutral" else intensity * shares[label]
        return Expression(label, variants[label].name, felt, felt_valence, felt_arousal, units)

    def _variant(self, random: np.random.Generator, name: str) -> Prototype:
        """The person's own, or anybody's; drawn aside, so that a shift of 1 or more takes nothing from `random`."""
        (aside,) = random.spawn(1)
        return self.prototypes[name] if aside.random() < self.shift else draw_prototype(aside, name)


def make_diary(seed: list[int], shift: float = 1.0) -> Diary:
    """Draw a person's feelings and style.

    Args:
        seed: the same seed gives the same feelings and the same style, which `shift` makes more or less of.
        shift: how far the person differs from people in general, 0 to `LARGEST_SHIFT`.
    """
    random = np.random.default_rng(seed)
    waves = np.stack(
        [
            random.uniform(0.15, 0.55, (2, _WAVES)),
            np.exp(random.uniform(np.log(25), np.log(400), (2, _WAVES))),
            random.uniform(0, 2 * np.pi, (2, _WAVES)),
        ],
        axis=2,
    )
    resting = np.zeros(len(UNIT_NAMES), np.float32)
    for name in random.choice(_RESTING_UNITS, 2, replace=False):
        amount = random.uniform(0.15, 0.35)
        for side in ("Left", "Right"):
            resting[UNIT_NAMES.index(f"{name}{side}")] = amount
    prototypes = {name: draw_prototype(random, name) for name in EXPRESSIONS}
    general = random.uniform(0.6, 1.1)
    own = {name: float(general * random.uniform(0.75, 1.25)) for name in EXPRESSIONS}
    return Diary(waves, prototypes, own, resting, float(random.normal(0, 0.15)), shift)
