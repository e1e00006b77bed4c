"""Properties of the satisfaction formula."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mien.bundle import CANONICAL_LABELS
from mien.errors import MienError
from mien.expression.satisfaction import Level, SatisfactionParameters, SatisfactionState, SatisfactionWindow

NAN = math.nan
ROOT = Path(__file__).resolve().parents[2]
SEVEN = tuple(label for label in CANONICAL_LABELS if label != "contempt")
PARAMETERS = SatisfactionParameters()
Sample = tuple[float, NDArray[np.float64], float, float]
"""Seconds since the one before, probabilities, valence, confidence."""


def window(labels: Sequence[str] = SEVEN) -> SatisfactionWindow:
    return SatisfactionWindow(labels, "coffee", PARAMETERS)


def face(label: str, probability: float = 1.0, labels: Sequence[str] = SEVEN) -> NDArray[np.float32]:
    """One label with that probability, the rest evenly on the others."""
    p = np.full(len(labels), (1 - probability) / (len(labels) - 1), np.float32)
    p[labels.index(label)] = probability
    return p


def show(
    to: SatisfactionWindow, label: str, start_s: float, seconds: float, rate_hz: float = 10.0, valence: float = NAN
) -> SatisfactionState:
    """Show one expression for a while; returns the state after it."""
    for i in range(round(seconds * rate_hz) + 1):
        to.observe(start_s + i / rate_hz, face(label), valence, 0.9)
    return to.summary(start_s + seconds)


def replay(samples: Sequence[Sample], labels: Sequence[str] = SEVEN) -> SatisfactionState:
    stamp_s, to = 1e9, window(labels)
    for gap_s, p, valence, confidence in samples:
        stamp_s += gap_s
        to.observe(stamp_s, p, valence, confidence)
    return to.summary(stamp_s)


@st.composite
def samples(draw: st.DrawFn, labels: Sequence[str] = SEVEN, lowest_gap_s: float = 0.0) -> list[Sample]:
    weights = hnp.arrays(np.float64, (len(labels),), elements=st.floats(0.001, 1))
    one = st.tuples(
        st.floats(lowest_gap_s, 1.5),
        weights.map(lambda w: w**3 / (w**3).sum()),
        st.floats(-1, 1) | st.just(NAN),
        st.floats(0, 1),
    )
    return draw(st.lists(one, min_size=1, max_size=15))


@given(samples(lowest_gap_s=-3.0))
def test_everything_stays_in_range_whatever_the_stamps(shown: list[Sample]) -> None:
    state = replay(shown)
    assert -1 <= state.score <= 1
    assert 0 <= state.confidence <= 1
    assert math.isfinite(state.trend)
    assert 0 <= state.observed_s <= state.duration_s


@pytest.mark.parametrize("labels", [SEVEN, CANONICAL_LABELS])
@given(data=st.data())
def test_a_happier_observation_never_lowers_the_score(labels: Sequence[str], data: st.DataObject) -> None:
    shown = data.draw(samples(labels))
    at = data.draw(st.integers(0, len(shown) - 1))
    gap_s, p, valence, confidence = shown[at]
    moved = p * data.draw(hnp.arrays(np.float64, (len(labels),), elements=st.floats(0, 1)))
    moved[labels.index("happiness")] = 0
    happier = p - moved
    to = data.draw(st.sampled_from(["happiness", "neutral"]))  # less of a negative expression is happier too
    if to == "neutral":
        happier[labels.index("surprise")] = p[labels.index("surprise")]
    happier[labels.index(to)] += p.sum() - happier.sum()
    raised = valence + data.draw(st.floats(0, 2))
    # What the recogniser says of its own certainty must not turn it round, whichever way it goes.
    sure = data.draw(st.sampled_from([confidence, float(happier.max()), 0.0, 1.0]))
    changed = [*shown[:at], (gap_s, happier, raised, sure), *shown[at + 1 :]]
    assert replay(changed, labels).score >= replay(shown, labels).score - 1e-9


@settings(max_examples=30)
@given(
    st.lists(st.floats(0.1, 6), min_size=7, max_size=7),
    st.lists(st.floats(0.05, 0.5), min_size=7, max_size=7),
    st.floats(-1, 1),
    st.floats(5, 25),
)
def test_the_camera_rate_does_not_matter(
    phases: list[float], rates_hz: list[float], valence: float, seconds: float
) -> None:
    """The same signal, changing up to twice a second (0.5 Hz), seen at 5, 15 and 30 Hz."""

    def signal(t: float) -> NDArray[np.float64]:
        logits = 2.5 * np.sin(2 * np.pi * np.array(rates_hz) * t + np.array(phases))
        p: NDArray[np.float64] = np.exp(logits)
        return p / p.sum()

    states = []
    for rate_hz in (5, 15, 30):
        to = window()
        for i in range(math.floor(seconds * rate_hz) + 1):
            t = i / rate_hz
            to.observe(t, signal(t), valence * math.sin(t), 0.8)
        states.append(to.summary(seconds))
    assert max(s.score for s in states) - min(s.score for s in states) < 0.02
    assert max(s.confidence for s in states) - min(s.confidence for s in states) < 0.02
    assert max(s.trend for s in states) - min(s.trend for s in states) < 0.02


@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=30), st.sampled_from(["happiness", "anger", "neutral"]))
def test_irregular_stamps_do_not_matter_to_a_steady_face(gaps_s: list[float], label: str) -> None:
    state = replay([(gap_s, face(label).astype(np.float64), NAN, 0.7) for gap_s in gaps_s])
    assert state.score == pytest.approx({"happiness": 1, "anger": -1, "neutral": 0}[label], abs=1e-6)
    assert state.observed_s == pytest.approx(sum(gaps_s[1:]), abs=1e-5)
    assert state.confidence == pytest.approx(0.7 * (1 - math.exp(-state.observed_s / 5)), abs=1e-6)


@given(samples(lowest_gap_s=0.05), st.floats(0.1, 100), st.floats(0.1, 100))
def test_absence_lowers_the_confidence_and_not_the_score(shown: list[Sample], first_s: float, more_s: float) -> None:
    to, stamp_s = window(), 0.0
    for gap_s, p, valence, confidence in shown:
        stamp_s += gap_s
        to.observe(stamp_s, p, valence, confidence)
    states = [to.summary(stamp_s + absence_s) for absence_s in (0, first_s, first_s + more_s)]
    assume(states[0].confidence > 0)
    assert states[0].score == states[1].score == states[2].score
    assert states[0].confidence > states[1].confidence > states[2].confidence
    assert states[0].present
    assert not to.summary(stamp_s + PARAMETERS.gap_s + 0.001).present


def test_a_face_that_returns_goes_on_where_it_was() -> None:
    to = window()
    before = show(to, "happiness", 0, 10)
    assert to.summary(100).level is Level.UNKNOWN
    after = show(to, "happiness", 100, 1)
    assert after.score == pytest.approx(before.score)
    assert after.observed_s == pytest.approx(11)  # the gap is not observed time
    assert after.duration_s == pytest.approx(101)
    assert after.level is Level.SATISFIED
    assert after.confidence > before.confidence


def test_confidence_grows_with_time_and_with_the_recognisers() -> None:
    to = window()
    grown = [show(to, "happiness", start_s, 1).confidence for start_s in range(10)]
    assert grown == sorted(grown)
    assert grown[0] < 0.2
    assert grown[-1] == pytest.approx(0.9 * (1 - math.exp(-2)), abs=1e-6)
    unsure = window()
    for i in range(101):
        unsure.observe(i / 10, face("happiness"), NAN, 0.4)
    assert unsure.summary(10).confidence == pytest.approx(grown[-1] * 4 / 9)


def test_an_unsure_recogniser_is_no_sign_of_dissatisfaction() -> None:
    """Five of eight labels are negative: their sum alone would call a clueless network's output unhappy."""
    for labels in (SEVEN, CANONICAL_LABELS):
        to = window(labels)
        for i in range(101):
            to.observe(i / 10, np.full(len(labels), 1 / len(labels), np.float32), NAN, 1 / len(labels))
        state = to.summary(10)
        assert state.score == pytest.approx(0, abs=1e-6)
        assert state.level is Level.UNKNOWN


@pytest.mark.parametrize("label", CANONICAL_LABELS)
def test_each_expression_counts_for_its_side(label: str) -> None:
    expected = {"happiness": 1, "neutral": 0, "surprise": 0}.get(label, -1)
    to = window(CANONICAL_LABELS)
    for i in range(11):
        to.observe(i / 10, face(label, labels=CANONICAL_LABELS), NAN, 0.9)
    assert to.summary(1).score == pytest.approx(expected)


def test_valence_counts_half_and_its_absence_leaves_the_expression() -> None:
    assert show(window(), "happiness", 0, 1, valence=0.5).score == pytest.approx(0.75)
    assert show(window(), "neutral", 0, 1, valence=-0.5).score == pytest.approx(-0.25)
    assert show(window(), "happiness", 0, 1).score == pytest.approx(1)
    assert show(window(), "happiness", 0, 1, valence=7.0).score == pytest.approx(1)


def test_the_documents_example() -> None:
    to, p = window(), np.full(7, 0.02)
    p[SEVEN.index("happiness")], p[SEVEN.index("neutral")] = 0.70, 0.20
    for i in range(61):
        to.observe(i / 10, p, 0.55, 0.7)
    here, gone = to.summary(6.0), to.summary(26.0)
    assert (here.score, here.confidence) == (pytest.approx(0.60), pytest.approx(0.49, abs=0.005))
    assert (gone.score, gone.confidence) == (here.score, pytest.approx(0.18, abs=0.005))
    assert (here.level, gone.level) == (Level.SATISFIED, Level.UNKNOWN)


def test_the_time_between_two_images_counts_with_their_mean() -> None:
    to = window()
    to.observe(0.0, face("neutral"), NAN, 0.5)
    to.observe(0.5, face("happiness"), NAN, 0.9)
    state = to.summary(0.5)
    assert state.score == pytest.approx(0.5)
    assert state.confidence == pytest.approx(0.7 * (1 - math.exp(-0.1)))


def test_recent_moments_weigh_more() -> None:
    improving, worsening = window(), window()
    show(improving, "anger", 0, 30)
    better = show(improving, "happiness", 30.1, 30).score
    show(worsening, "happiness", 0, 30)
    worse = show(worsening, "anger", 30.1, 30).score
    assert better > 0.2
    assert worse == pytest.approx(-better, abs=0.01)


def test_the_trend_is_the_slope_of_the_score() -> None:
    to, before = window(), window()
    for i in range(401):
        happy = i / 400
        to.observe(i / 10, np.array([1 - happy, happy, 0, 0, 0, 0, 0]), NAN, 0.9)
    for i in range(391):
        happy = i / 400
        before.observe(i / 10, np.array([1 - happy, happy, 0, 0, 0, 0, 0]), NAN, 0.9)
    now = to.summary(40.0)
    assert now.trend == pytest.approx(now.score - before.summary(39.0).score, rel=0.1)
    assert now.trend > 0.005
    assert to.summary(45.0).trend == 0  # an absent face's score does not change
    assert abs(show(window(), "anger", 0, 10).trend) < 1e-9


def levels(evidence: Callable[[float], float], seconds: float = 120) -> list[Level]:
    """Levels over time, one per image, of a face without expression whose valence gives that evidence."""
    to, result = SatisfactionWindow(SEVEN, "", SatisfactionParameters(recency_s=0.2)), []
    for i in range(round(seconds * 10)):
        to.observe(i / 10, face("neutral"), 2 * evidence(i / 10), 0.9)
        result.append(to.summary(i / 10).level)
    return result


def changes(of: list[Level]) -> list[Level]:
    return [b for a, b in itertools.pairwise(of) if a is not b]


@pytest.mark.parametrize("sign", [1, -1])
def test_levels_do_not_flicker_at_their_threshold(sign: int) -> None:
    rng = np.random.default_rng(7)
    noisy = levels(lambda t: sign * (0.25 + rng.uniform(-0.08, 0.08)))
    assert changes(noisy)[0] is not Level.UNKNOWN
    assert len(changes(noisy)) <= 2  # UNKNOWN → NEUTRAL → (DIS)SATISFIED, and never back


def test_levels_follow_a_real_change() -> None:
    seen = changes(levels(lambda t: 0.45 * math.sin(2 * math.pi * t / 60)))
    there_and_back = [Level.SATISFIED, Level.NEUTRAL, Level.DISSATISFIED, Level.NEUTRAL]
    assert seen == [Level.NEUTRAL, *there_and_back, *there_and_back]


def test_the_unknown_level_does_not_flicker_either() -> None:
    to, result = window(), []
    for i in range(600):
        to.observe(i / 10, face("happiness"), NAN, 0.3 + 0.15 * math.sin(i / 40))
        result.append(to.summary(i / 10).level)
    assert changes(result) == [Level.SATISFIED]


def test_long_gaps_are_not_observed() -> None:
    to = window()
    for i in range(10):
        to.observe(2.0 * i, face("happiness"), NAN, 0.9)
    state = to.summary(18.0)
    assert (state.observed_s, state.score, state.confidence) == (0, 0, 0)
    assert state.level is Level.UNKNOWN
    assert state.present


def test_late_images_are_ignored() -> None:
    straight, mixed = window(), window()
    for i in range(50):
        straight.observe(i / 10, face("happiness"), NAN, 0.9)
        mixed.observe(i / 10, face("happiness"), NAN, 0.9)
        mixed.observe(i / 10 - 0.05, face("anger"), NAN, 0.9)
    assert mixed.summary(4.9) == straight.summary(4.9)


def test_a_clock_set_back_neither_stops_nor_empties_the_window() -> None:
    to = window()
    show(to, "happiness", 1000, 10)
    assert not to.summary(5).present  # the new clock runs, the face has not been seen on it
    state = show(to, "happiness", 5, 10)
    assert state.observed_s == pytest.approx(20)
    assert state.duration_s == pytest.approx(20)
    assert state.score == pytest.approx(1)


def test_broken_observations_are_ignored() -> None:
    to, clean = window(), window()
    for i in range(50):
        clean.observe(i / 10, face("happiness"), 0.5, 0.9)
        to.observe(i / 10, face("happiness"), 0.5, 0.9)
        to.observe(i / 10, np.full(7, np.nan, np.float32), 0.5, 0.9)
        to.observe(i / 10, face("anger"), 0.5, NAN)
        to.observe(NAN, face("anger"), 0.5, 0.9)
    assert to.summary(4.9) == clean.summary(4.9)


def test_nothing_is_known_before_anything_is_seen() -> None:
    state = SatisfactionWindow(SEVEN, "coffee", PARAMETERS, start_s=10).summary(15)
    assert (state.score, state.level, state.confidence, state.present) == (0, Level.UNKNOWN, 0, False)
    assert state.duration_s == 5
    assert math.isnan(state.stamp_s)
    to = SatisfactionWindow(SEVEN, "coffee", PARAMETERS, start_s=10)
    to.observe(9.95, face("anger"), NAN, 0.9)  # taken before the window began
    assert not to.summary(10).present


def test_levels_are_the_constants_of_the_message() -> None:
    text = (ROOT / "ros2_ws/src/mien_msgs/msg/Satisfaction.msg").read_text(encoding="utf-8")
    constants = {name: int(value) for name, value in re.findall(r"^uint8 ([A-Z]+)=(\d)", text, re.MULTILINE)}
    assert constants == {level.name: level.value for level in Level}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("recency_s", 0.0),
        ("gap_s", -1.0),
        ("confidence_s", NAN),
        ("absence_s", math.inf),
        ("threshold", 1.0),
        ("hysteresis", 0.25),
    ],
)
def test_impossible_parameters_are_refused(name: str, value: float) -> None:
    with pytest.raises(MienError, match=name):
        SatisfactionParameters(**{name: value})


def test_one_label_is_refused() -> None:
    with pytest.raises(MienError, match="happiness"):
        SatisfactionWindow(["happiness"], "", PARAMETERS)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=30))
def test_without_classes_valence_alone_is_the_evidence(valences: list[float]) -> None:
    seen = replay([(0.2, np.empty(0), valence, NAN) for valence in valences], labels=())
    assert min(valences) - 1e-6 <= seen.score <= max(valences) + 1e-6
    assert seen.confidence == pytest.approx(1 - math.exp(-seen.observed_s / PARAMETERS.confidence_s), abs=1e-6)


def test_without_classes_and_valence_nothing_is_seen() -> None:
    assert replay([(0.2, np.empty(0), NAN, NAN)] * 9, labels=()).level is Level.UNKNOWN
