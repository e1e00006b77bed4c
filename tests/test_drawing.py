"""What is drawn into pictures, judged by their pixels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.bundle import CANONICAL_LABELS
from mien.drawing import EXPRESSION_COLOURS, colour_bgr, draw
from mien.faces.detector import Box
from mien.pipeline import FaceAffect


def labels_of(expression):
    return (expression, "neutral" if expression != "neutral" else "fear")


def draw_all(image, faces):
    """Draw faces of the helper below, whose expression is the first of two labels."""
    return draw(image, faces, labels_of(faces[0].expression if faces else "fear"))


def face(box: Box, expression="happiness", confidence=0.8, valence=0.0, arousal=0.0, face_id="abcd1") -> FaceAffect:
    probabilities = np.array([confidence, 1 - confidence], np.float32)
    return FaceAffect(
        face_id=face_id,
        camera="/camera",
        box=box,
        detection_confidence=0.9,
        box_is_predicted=False,
        landmarks=None,
        probabilities=probabilities,
        probabilities_raw=probabilities,
        expression=expression,
        confidence=confidence,
        valence=valence,
        arousal=arousal,
        part_confidences=np.empty(0, np.float32),
    )


def grey(width=640, height=360):
    return np.full((height, width, 3), 128, np.uint8)


def has_colour(image, expression):
    return (image == colour_bgr(expression)).all(axis=-1)


def test_the_picture_itself_is_left_alone_and_nothing_is_drawn_without_faces() -> None:
    image = grey()
    before = image.copy()
    drawn = draw_all(image, [face(Box(200, 100, 120, 150))])
    assert np.array_equal(image, before)
    assert not np.array_equal(drawn, before)
    assert np.array_equal(draw_all(image, []), before)


def test_a_grey_picture_gets_coloured_drawings() -> None:
    drawn = draw_all(np.full((360, 640), 128, np.uint8), [face(Box(200, 100, 120, 150))])
    assert drawn.shape == (360, 640, 3)
    assert has_colour(drawn, "happiness").any()


@pytest.mark.parametrize("expression", CANONICAL_LABELS)
def test_the_box_has_the_colour_of_its_expression_and_the_face_stays_visible(expression) -> None:
    box = Box(200, 100, 120, 150)
    drawn = draw_all(grey(), [face(box, expression)])
    assert has_colour(drawn, expression)[100, 210:310].all()
    assert (drawn[110:240, 210:310] == 128).all()


@pytest.mark.parametrize("side", [150, 30])
def test_a_face_without_classes_shows_valence_and_arousal_as_numbers(side) -> None:
    def drawn(both: float):
        one = face(Box(200, 100, side, side), "", math.nan, both, both)
        return draw(grey(), [replace(one, probabilities=np.empty(0, np.float32))], ())

    assert (drawn(0.5)[100, 200 : 200 + side] == 255).all(), "a white box"
    outside = np.ones((360, 640), bool)
    outside[90 : 110 + side, 190 : 210 + side] = False
    assert (drawn(0.5) != grey()).any(axis=-1)[outside].any()
    # Both dots are at the edge of the disc, at 45 degrees: only the numbers differ.
    assert ((drawn(1.0) != drawn(0.8)).any(axis=-1) & outside).any()


def test_each_part_has_a_bar_as_long_as_it_is_sure() -> None:
    names = ("eyebrows", "eyes", "nose", "mouth", "jaw")
    sure = np.array([0.2, 0.4, 0.6, 0.8, 1.0], np.float32)
    one = replace(face(Box(100, 100, 160, 160)), part_names=names, part_confidences=sure)
    drawn, without = draw_all(grey(), [one]), draw_all(grey(), [face(one.box)])
    white = (drawn == 255).all(axis=-1) & ~(without == 255).all(axis=-1)
    rows = [int(row.sum()) for row in white if row.sum() > 10]
    lengths = sorted(set(rows))
    assert len(lengths) == 5
    np.testing.assert_allclose(np.array(lengths) / lengths[-1], sure, atol=0.04)


def test_every_canonical_label_has_its_own_colour() -> None:
    assert set(EXPRESSION_COLOURS) == set(CANONICAL_LABELS)
    assert len(set(EXPRESSION_COLOURS.values())) == len(CANONICAL_LABELS)


@pytest.mark.parametrize("size", [(640, 360), (1280, 720)])
def test_the_bar_in_the_panel_above_the_box_is_as_long_as_the_confidence(size) -> None:
    box = Box(size[0] * 0.3, size[1] * 0.3, size[0] * 0.2, size[1] * 0.4)

    def length(confidence):
        panel = slice(int(box.y - size[0] / 15), int(box.y - 4))
        return (
            has_colour(draw_all(grey(*size), [face(box, confidence=confidence)]), "happiness")[panel].sum(axis=1).max()
        )

    assert length(0.6) == pytest.approx(0.6 * length(1.0), rel=0.1)
    assert length(0.8) == pytest.approx(0.8 * length(1.0), rel=0.1)
    assert length(1.0) > size[0] / 25


def test_the_dot_shows_valence_to_the_right_and_arousal_upwards() -> None:
    box = Box(200, 150, 120, 150)

    def centre_of_dot(valence, arousal):
        with_dot = draw_all(grey(), [face(box, valence=valence, arousal=arousal)])
        without = draw_all(grey(), [face(box, valence=math.nan, arousal=math.nan)])
        rows, columns = np.nonzero((with_dot != without).any(axis=-1))
        return columns.mean(), rows.mean()

    x, y = centre_of_dot(0.0, 0.0)
    assert centre_of_dot(0.8, 0.0)[0] > x + 5
    assert centre_of_dot(-0.8, 0.0)[0] < x - 5
    assert centre_of_dot(0.0, 0.8)[1] < y - 5
    assert centre_of_dot(0.0, -0.8)[1] > y + 5


def test_panels_do_not_hide_other_faces_where_there_is_room() -> None:
    boxes = [Box(60 + 145 * (i % 4), 60 + 110 * (i // 4), 50, 60) for i in range(8)]
    drawn = draw_all(grey(640, 320), [face(box, face_id=f"f{i}") for i, box in enumerate(boxes)])
    for box in boxes:
        inside = drawn[int(box.y) + 14 : int(box.y) + 46, int(box.x) + 14 : int(box.x) + 36]
        assert (inside == 128).all()


def test_landmarks_are_dots_in_the_face_and_those_beyond_the_picture_or_not_finite_are_not_drawn() -> None:
    box = Box(200, 100, 120, 150)
    strange = np.float32([[-5, 20], [700, 20], [np.nan, 20], [np.inf, 20], [1e30, -1e30]])
    points = np.concatenate([np.float32([[230, 150], [280, 190]]), strange])
    plain, drawn = (draw_all(grey(), [replace(face(box), landmarks=given)]) for given in (None, points))
    rows, columns = np.nonzero((plain != drawn).any(axis=2))
    for x, y in points[:2].astype(int):
        assert (drawn[y, x] > 200).all()
    near = [np.hypot(columns - x, rows - y) <= 3 for x, y in points[:2]]
    assert (near[0] | near[1]).all()


side = st.integers(1, 900)
position = st.floats(-2000, 2000)
extent = st.floats(0, 2000)
affect = st.one_of(st.just(math.nan), st.floats(-1, 1))
faces_anywhere = st.builds(
    face,
    st.builds(Box, position, position, extent, extent),
    confidence=st.floats(0, 1),
    valence=affect,
    arousal=affect,
    face_id=st.text(max_size=64),
)


@settings(max_examples=60, deadline=None)
@given(side, side, st.lists(faces_anywhere, max_size=6))
def test_any_picture_and_any_faces_can_be_drawn(width, height, faces) -> None:
    drawn = draw_all(np.zeros((height, width, 3), np.uint8), faces)
    assert drawn.shape == (height, width, 3)
    assert drawn.dtype == np.uint8
