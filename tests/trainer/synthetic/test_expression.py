"""Face units, intensity, sides, mixtures, and the rule for valence and arousal. No pictures."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mien.expression.circumplex import COORDINATES
from trainer.data.synthetic.action_units import ACTION_UNITS, unit_weights
from trainer.data.synthetic.affect import valence_arousal
from trainer.data.synthetic.asset_names import UNIT_NAMES
from trainer.data.synthetic.diary import make_diary
from trainer.data.synthetic.expression import (
    LARGEST_WEIGHT,
    Expression,
    blend,
    blink,
    creases_of,
    draw_prototype,
    look,
    make_expression,
    talk,
)
from trainer.data.synthetic.prototypes import EXPRESSIONS, PROTOTYPES

LABELS = st.sampled_from(EXPRESSIONS)
SEEDS = st.integers(0, 10**6)


def drawn(label: str, seed: int, intensity: float, asymmetry: float = 0.0) -> Expression:
    random = np.random.default_rng(seed)
    prototype = draw_prototype(random, label)
    return make_expression(random, label, prototype, intensity, asymmetry=asymmetry)


def unit(expression: Expression, name: str) -> float:
    return float(expression.units[UNIT_NAMES.index(name)])


def test_there_are_52_units_and_every_action_names_real_ones() -> None:
    assert len(set(UNIT_NAMES)) == 52
    for action in ACTION_UNITS:
        assert unit_weights({action: 1.0}).max() > 0


def test_all_expressions_have_prototypes_and_some_have_a_closed_mouth() -> None:
    assert set(PROTOTYPES) == set(EXPRESSIONS)
    opening = {16, 25, 26, 27}
    for label in ("happiness", "sadness", "anger", "disgust", "surprise", "fear"):
        assert any(not opening & set(prototype.actions) for prototype in PROTOTYPES[label]), label
        assert any(prototype.is_strong for prototype in PROTOTYPES[label]), label


@settings(max_examples=40)
@given(LABELS, SEEDS, st.floats(0, 1), st.floats(-0.3, 0.3))
def test_weights_stay_in_range_and_follow_the_intensity(
    label: str, seed: int, intensity: float, asymmetry: float
) -> None:
    weaker, stronger = (drawn(label, seed, part * intensity, asymmetry) for part in (0.5, 1.0))
    assert stronger.units.shape == (52,)
    assert stronger.units.dtype == np.float32
    assert (stronger.units >= 0).all()
    assert (stronger.units <= LARGEST_WEIGHT).all()
    assert (stronger.units >= weaker.units - 1e-6).all()
    assert unit(stronger, "tongueOut") == 0


def test_strong_prototypes_go_beyond_one() -> None:
    assert max(drawn("surprise", seed, 1.0).units.max() for seed in range(20)) > 1.2


@given(SEEDS)
def test_contempt_is_one_sided(seed: int) -> None:
    expression = drawn("contempt", seed, 1.0)
    left, right = unit(expression, "mouthDimpleLeft"), unit(expression, "mouthDimpleRight")
    assert max(left, right) > 0.5
    assert min(left, right) < 0.1


@given(LABELS, st.floats(0, 1))
def test_affect_grows_linearly_from_the_origin_to_the_published_value(label: str, intensity: float) -> None:
    valence, arousal = valence_arousal({label: 1.0}, intensity)
    assert valence == pytest.approx(intensity * COORDINATES[label][0])
    assert arousal == pytest.approx(intensity * COORDINATES[label][1])


@given(LABELS, LABELS, st.floats(0, 0.5), SEEDS)
def test_a_blend_lies_between_its_parts(first: str, second: str, share: float, seed: int) -> None:
    a, b = drawn(first, seed, 0.8), drawn(second, seed + 1, 0.6)
    mixed = blend(a, b, share)
    assert mixed.label == first
    assert min(a.valence, b.valence) - 1e-6 <= mixed.valence <= max(a.valence, b.valence) + 1e-6
    assert min(a.arousal, b.arousal) - 1e-6 <= mixed.arousal <= max(a.arousal, b.arousal) + 1e-6
    assert (mixed.units <= np.maximum(a.units, b.units) + 1e-6).all()


@given(LABELS.filter(lambda label: label != "neutral"), st.floats(0, 0.5), SEEDS)
def test_two_variants_of_one_expression_add_up(label: str, share: float, seed: int) -> None:
    mixed = blend(drawn(label, seed, 0.8), drawn(label, seed + 1, 0.8), share)
    assert mixed.intensity == pytest.approx(0.8)
    assert mixed.valence == pytest.approx(0.8 * COORDINATES[label][0])


@given(LABELS, SEEDS)
def test_an_ambiguous_neutral_has_no_intensity_but_a_little_of_the_other_feeling(other: str, seed: int) -> None:
    mixed = blend(drawn("neutral", seed, 0.0), drawn(other, seed + 1, 0.5), 0.3)
    assert (mixed.label, mixed.intensity) == ("neutral", 0.0)
    assert mixed.valence == pytest.approx(0.0 if other == "neutral" else 0.15 * COORDINATES[other][0])


def test_a_talking_mouth_keeps_labels_and_upper_face() -> None:
    expression = drawn("anger", 3, 0.8)
    talking = [talk(np.random.default_rng(seed), expression) for seed in range(10)]
    assert len({unit(one, "jawOpen") for one in talking}) > 2
    for one in talking:
        assert (one.label, one.valence, one.talking) == ("anger", expression.valence, True)
        assert unit(one, "browDownLeft") == unit(expression, "browDownLeft")


def test_eyes_turn_together() -> None:
    left = look(drawn("neutral", 0, 0), 15.0, 0.0)
    assert unit(left, "eyeLookOutLeft") == unit(left, "eyeLookInRight") == pytest.approx(0.5)
    assert unit(left, "eyeLookInLeft") == unit(left, "eyeLookOutRight") == 0
    assert unit(blink(left, 1.0), "eyeBlinkRight") == 1


def test_skin_folds_where_the_face_moves() -> None:
    brows, smile = (creases_of(unit_weights(actions)) for actions in ({4: 1.5}, {12: 1.5}))
    assert (brows.crease_glabella, brows.crease_cheeks) == (1.0, 0.0)
    assert smile.crease_cheeks > 0.5


def test_an_individual_differs_from_others_but_not_from_itself() -> None:
    first, again, other = make_diary([7, 0]), make_diary([7, 0]), make_diary([7, 1])
    assert first.feeling(100.0) == again.feeling(100.0) != other.feeling(100.0)
    assert first.resting.max() > 0.1
    assert len(set(first.expressiveness.values())) == len(EXPRESSIONS)


def test_a_shift_of_nought_shows_what_everybody_shows_and_a_larger_one_more_of_ones_own() -> None:
    def mean_units(shift: float) -> NDArray[np.float64]:
        diary = make_diary([7, 3, 2, 0], shift)
        shown = [diary.expression(np.random.default_rng(i), 4.0 * i) for i in range(300)]
        return np.mean([one.units for one in shown], axis=0, dtype=np.float64)

    none, half, own, more = (mean_units(shift) for shift in (0.0, 0.5, 1.0, 1.5))
    farther = [float(np.abs(one - none).mean()) for one in (half, own, more)]
    assert 0 < farther[0] < farther[1] < farther[2]
    others = [mean_of_anybody(seed) for seed in range(3)]
    assert all(np.abs(none - one).mean() < np.abs(own - one).mean() for one in others)


def mean_of_anybody(seed: int) -> NDArray[np.float64]:
    """What a face shows on average while the same is felt, in variants drawn anew each time."""
    diary = make_diary([7, 3, 2, 0])
    total = np.zeros(len(UNIT_NAMES))
    for i in range(300):
        random = np.random.default_rng([seed, i])
        anybody = replace(
            diary,
            prototypes={name: draw_prototype(random, name) for name in EXPRESSIONS},
            expressiveness=dict.fromkeys(EXPRESSIONS, 1.0),
            resting=np.zeros_like(diary.resting),
            asymmetry=0.0,
        )
        total += anybody.expression(random, 4.0 * i).units
    return total / 300


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_a_shift_changes_what_is_seen_and_not_what_is_felt(shift: float) -> None:
    own, other = make_diary([7, 0, 2, 0]), make_diary([7, 0, 2, 0], shift)
    for i in range(20):
        shown, changed = (one.expression(np.random.default_rng(i), 40.0 * i) for one in (own, other))
        assert (shown.label, shown.valence, shown.arousal) == (changed.label, changed.valence, changed.arousal)
        assert not np.array_equal(shown.units, changed.units)


def test_feelings_change_slowly_and_reach_many_expressions() -> None:
    diary = make_diary([7, 0, 2, 0])
    shown = [diary.expression(np.random.default_rng(i), 4.0 * i) for i in range(450)]
    assert len({one.label for one in shown}) >= 4
    assert all(-1 <= one.valence <= 1 and -1 <= one.arousal <= 1 for one in shown)
    steps = [np.hypot(a.valence - b.valence, a.arousal - b.arousal) for a, b in pairwise(shown)]
    anywhere = np.random.default_rng(0).permutation(450)
    jumps = [
        np.hypot(shown[i].valence - shown[j].valence, shown[i].arousal - shown[j].arousal)
        for i, j in pairwise(anywhere)
    ]
    assert np.mean(steps) < 0.6 * np.mean(jumps)
