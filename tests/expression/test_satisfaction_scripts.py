"""Scripted interactions: the order of their scores, its margins, and the table in docs/satisfaction.md."""

from __future__ import annotations

import itertools
import math
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mien.bundle import CANONICAL_LABELS
from mien.expression.circumplex import RUSSELL_MEHRABIAN_1977, circumplex
from mien.expression.satisfaction import SatisfactionParameters, SatisfactionState, SatisfactionWindow
from mien.expression.smoothing import Smoother

ROOT = Path(__file__).resolve().parents[2]
RATE_HZ = 15.0
MARGIN = 0.15
SEVEN = tuple(label for label in CANONICAL_LABELS if label != "contempt")
SCRIPTS: dict[str, list[tuple[str, float]]] = {
    "happy": [("neutral", 2), ("happiness", 16), ("neutral", 2)],
    "mixed": [("happiness", 8), ("neutral", 5), ("anger", 3), ("happiness", 4)],
    "neutral": [("neutral", 20)],
    "disappointed": [("happiness", 4), ("surprise", 2), ("sadness", 8), ("disgust", 6)],
    "angry": [("neutral", 2), ("anger", 18)],
}
"""Expression and seconds, one after the other."""


@cache
def play(name: str, valence: bool = True, labels: tuple[str, ...] = SEVEN) -> SatisfactionState:
    """The state after a script, played through an unsteady network and the smoother."""
    rng = np.random.default_rng(2026)
    affect = {**RUSSELL_MEHRABIAN_1977, "contempt": (-0.5, 0.0)}
    coordinates = np.array([affect[label] for label in labels], np.float32)
    smoother, window = Smoother(0.3), SatisfactionWindow(labels, "coffee", SatisfactionParameters())
    stamp_s = 0.0
    for label, seconds in SCRIPTS[name]:
        for _ in range(round(seconds * RATE_HZ)):
            logits = rng.normal(0, 0.7, len(labels)).astype(np.float32)
            logits[labels.index(label)] += 3
            raw = np.exp(logits) / np.exp(logits).sum()
            value = float(circumplex(raw[None], coordinates)[0][0]) if valence else math.nan
            p, value, _ = smoother.update("f", stamp_s, raw, value, math.nan)
            window.observe(stamp_s, p, value, float(p.max()))
            stamp_s += 1 / RATE_HZ
    return window.summary(stamp_s)


@pytest.mark.parametrize("labels", [SEVEN, CANONICAL_LABELS], ids=["seven labels", "with contempt"])
@pytest.mark.parametrize("valence", [True, False], ids=["with valence", "without"])
def test_scripts_rank_right_with_margins(valence: bool, labels: tuple[str, ...]) -> None:
    scores = [play(name, valence, labels).score for name in ("happy", "mixed", "neutral", "disappointed", "angry")]
    assert all(-1 <= score <= 1 for score in scores)
    for higher, lower in itertools.pairwise(scores):
        assert higher - lower >= MARGIN


@pytest.mark.parametrize(
    ("name", "level"),
    [("happy", "SATISFIED"), ("neutral", "NEUTRAL"), ("disappointed", "DISSATISFIED"), ("angry", "DISSATISFIED")],
)
def test_scripts_reach_their_level(name: str, level: str) -> None:
    assert play(name).level.name == level
    assert play(name).confidence > 0.5


def test_the_documents_table_is_what_the_scripts_give() -> None:
    text = (ROOT / "docs/satisfaction.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| ([a-z]+) \|.*\| ([−+0-9.]+) \| ([A-Z]+) \| ([0-9.]+) \| ([−+0-9.]+) \|$", text, re.MULTILINE
    )
    assert [row[0] for row in rows] == list(SCRIPTS)
    for name, score, level, confidence, trend in rows:
        state = play(name)
        assert float(score.replace("−", "-")) == pytest.approx(state.score, abs=0.006)
        assert level == state.level.name
        assert float(confidence) == pytest.approx(state.confidence, abs=0.006)
        assert float(trend.replace("−", "-")) == pytest.approx(state.trend, abs=0.0006)


if __name__ == "__main__":
    for script in SCRIPTS:
        for options in ((True, SEVEN), (False, SEVEN), (True, CANONICAL_LABELS), (False, CANONICAL_LABELS)):
            print(script, options[0], len(options[1]), play(script, *options))
