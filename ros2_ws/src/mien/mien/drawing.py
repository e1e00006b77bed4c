"""Draws what was read into the picture: box, landmarks, id, expression with its confidence, valence and arousal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.detector import Box, Image

if TYPE_CHECKING:
    from mien.pipeline import FaceAffect

EXPRESSION_COLOURS = {
    "neutral": "#8a94a3",
    "happiness": "#f2a900",
    "sadness": "#3f7fd6",
    "surprise": "#12a8a8",
    "fear": "#8d5bd1",
    "disgust": "#5f9e2f",
    "anger": "#dd3b3b",
    "contempt": "#a9683c",
}
"""One colour per canonical label, the same in pictures, terminal and report."""

# Colours are BGR.
_SHADE = (34, 28, 24)
_SHADE_OPACITY = 0.75
_INK = (255, 255, 255)
_FAINT = (170, 164, 160)
_GROOVE = (90, 84, 80)
_FONT = cv2.FONT_HERSHEY_SIMPLEX

# Sizes in units; a unit is a pixel in a picture 640 wide.
_PANEL = (150.0, 38.0)
_SMALL_PANEL = (64.0, 15.0)
_PART_ROW = 9.0
_GAP = 4.0
_SMALL_FACE = 56.0
_DOT_RADIUS = 0.6
_SUBPIXEL_BITS = 3  # of the coordinates that OpenCV takes

_Ranked = Sequence[tuple[float, str]]  # probabilities with their labels, highest first


def draw(image: Image, faces: Sequence[FaceAffect], labels: Sequence[str]) -> Image:
    """Return a copy of the picture with the faces drawn into it, always uint8 (height, width, 3) BGR.

    Each face has its landmarks as dots, and a panel beside its box: a disc with the valence (left to right) and arousal
    (bottom to top) as a dot, the expression with its confidence in per cent, the id, and a bar of all probabilities,
    the highest first; below it, how sure each part of the model is. Small and crowded faces have the expression and the
    bar only. Without classes, valence and arousal stand there as numbers, and boxes are white. Panels are put where
    they hide least of faces and panels.

    Args:
        image: uint8 (height, width, 3) BGR or (height, width) grey; left as it is.
        faces: what to draw, boxes in pixels of the image.
        labels: class labels in the order of the faces' probabilities.
    """
    canvas: Image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8) if image.ndim == 2 else image.copy()
    unit = min(max(canvas.shape[1] / 640.0, 0.75), 4.0)
    for face in faces:
        _draw_box(canvas, face.box, colour_bgr(face.expression), unit)
        if face.landmarks is not None:
            _draw_dots(canvas, face.landmarks, unit)
    taken = [face.box for face in faces]
    for face in faces:
        size = _PANEL[0], _PANEL[1] + _PART_ROW * len(face.part_names)
        panel, hidden = _place(face.box, size, canvas, taken, unit)
        large = hidden == 0 and face.box.width >= _SMALL_FACE * unit
        if not large:
            panel, _ = _place(face.box, _SMALL_PANEL, canvas, taken, unit)
        taken.append(panel)
        _shade(canvas, panel)
        ranked = sorted(zip(face.probabilities.tolist(), labels, strict=True), reverse=True)
        (_draw_panel if large else _draw_small_panel)(canvas, panel, face, ranked, unit)
        if large:
            _draw_parts(canvas, panel, dict(zip(face.part_names, face.part_confidences.tolist(), strict=True)), unit)
    return canvas


def colour_bgr(expression: str) -> tuple[int, int, int]:
    """The label's colour as OpenCV wants it; white for a label without one."""
    code = EXPRESSION_COLOURS.get(expression, "#ffffff")
    return int(code[5:7], 16), int(code[3:5], 16), int(code[1:3], 16)


def _place(box: Box, size: tuple[float, float], canvas: Image, taken: Sequence[Box], unit: float) -> tuple[Box, float]:
    """Where the panel of a face hides least inside the picture, and how many square pixels of `taken` it hides."""
    image_height, image_width = canvas.shape[:2]
    width, height, gap = size[0] * unit, size[1] * unit, _GAP * unit
    middle = box.x + (box.width - width) / 2
    corners = (
        (middle, box.y - gap - height),
        (middle, box.y + box.height + gap),
        (box.x + box.width + gap, box.y),
        (box.x - gap - width, box.y),
        (box.x + box.width + gap, box.y + box.height - height),
        (box.x - gap - width, box.y + box.height - height),
    )
    places = [
        Box(
            min(max(x, 0.0), max(image_width - width, 0.0)), min(max(y, 0.0), max(image_height - height, 0.0)),
            width, height,
        )
        for x, y in corners
    ]  # fmt: skip
    hidden = [sum(_shared_area(place, other) for other in taken) for place in places]
    best = int(np.argmin(hidden))
    return places[best], hidden[best]


def _shared_area(a: Box, b: Box) -> float:
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return max(width, 0.0) * max(height, 0.0)


def _draw_box(canvas: Image, box: Box, colour: tuple[int, int, int], unit: float) -> None:
    """A thin rectangle with strong corners."""
    left, top = round(box.x), round(box.y)
    right, bottom = round(box.x + box.width), round(box.y + box.height)
    thin, thick = max(round(unit), 1), max(round(2.5 * unit), 2)
    cv2.rectangle(canvas, (left, top), (right, bottom), colour, thin)
    arm = round(min(box.width, box.height) * 0.18)
    for x, inwards_x in ((left, 1), (right, -1)):
        for y, inwards_y in ((top, 1), (bottom, -1)):
            cv2.line(canvas, (x, y), (x + inwards_x * arm, y), colour, thick)
            cv2.line(canvas, (x, y), (x, y + inwards_y * arm), colour, thick)


def _draw_dots(canvas: Image, points: NDArray[np.float32], unit: float) -> None:
    """Landmarks inside the picture, small and antialiased, so that the face stays readable."""
    height, width = canvas.shape[:2]
    inside = points[((points >= 0) & (points <= (width, height))).all(axis=1)]
    radius = round(_DOT_RADIUS * unit * (1 << _SUBPIXEL_BITS))
    for x, y in np.round(inside * (1 << _SUBPIXEL_BITS)).astype(int).tolist():
        cv2.circle(canvas, (x, y), radius, _INK, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


def _shade(canvas: Image, panel: Box) -> None:
    """Darken the picture under a panel, so that text is readable on anything."""
    area = canvas[round(panel.y) : round(panel.y + panel.height), round(panel.x) : round(panel.x + panel.width)]
    if area.size:
        cv2.addWeighted(area, 1 - _SHADE_OPACITY, np.full_like(area, _SHADE), _SHADE_OPACITY, 0, dst=area)


def _draw_panel(canvas: Image, panel: Box, face: FaceAffect, ranked: _Ranked, unit: float) -> None:
    height = _PANEL[1] * unit
    _draw_affect(canvas, (panel.x + height / 2, panel.y + height / 2), height / 2 - 4 * unit, face, unit)
    left, right = panel.x + height + unit, panel.x + panel.width - 6 * unit
    if not ranked:
        for row, text in enumerate((f"valence {face.valence:+.2f}", f"arousal {face.arousal:+.2f}")):
            _text(canvas, text, left, panel.y + (12 + 11 * row) * unit, 0.36 * unit, _INK)
        _text(canvas, _short(face.face_id), left, panel.y + 34 * unit, 0.3 * unit, _FAINT)
        return
    _text(canvas, face.expression, left, panel.y + 16 * unit, 0.46 * unit, _INK)
    below = panel.y + 31 * unit
    name_end = left + _text(canvas, _short(face.face_id), left, below, 0.34 * unit, _FAINT)
    percent = f"{face.confidence:.0%}"
    _text(canvas, percent, right - _text_width(percent, 0.34 * unit), below, 0.34 * unit, _INK)
    bar_end = right - _text_width("100%", 0.34 * unit) - 5 * unit
    _draw_bar(canvas, name_end + 5 * unit, bar_end, panel.y + 27 * unit, 6 * unit, ranked)


def _draw_parts(canvas: Image, panel: Box, confidences: dict[str, float], unit: float) -> None:
    """A row for each part: its name, and a bar as long as its own highest probability."""
    left, right = panel.x + 6 * unit, panel.x + panel.width - 6 * unit
    start = panel.x + (_PANEL[1] + 1) * unit
    for row, (name, confidence) in enumerate(confidences.items()):
        middle = panel.y + (_PANEL[1] + _PART_ROW * (row + 0.3)) * unit
        _text(canvas, name, left, middle + 2.5 * unit, 0.24 * unit, _FAINT)
        _draw_bar(canvas, start, right, middle, 4 * unit, [(confidence, ""), (1 - confidence, "none")])


def _short(face_id: str) -> str:
    """The end of a long id; Hershey fonts know ASCII only, so no ellipsis."""
    return face_id if len(face_id) <= 6 else ".." + face_id[-4:]


def _draw_small_panel(canvas: Image, panel: Box, face: FaceAffect, ranked: _Ranked, unit: float) -> None:
    left, right = panel.x + 3 * unit, panel.x + panel.width - 3 * unit
    if not ranked:
        _text(canvas, f"{face.valence:+.1f} {face.arousal:+.1f}", left, panel.y + 11 * unit, 0.36 * unit, _INK)
        return
    _text(canvas, face.expression, left, panel.y + 9 * unit, 0.33 * unit, _INK)
    _draw_bar(canvas, left, right, panel.y + 12.5 * unit, 2.5 * unit, ranked)


def _draw_bar(canvas: Image, left: float, right: float, middle: float, height: float, ranked: _Ranked) -> None:
    """All probabilities in one bar; those behind the first are dimmed, so that its length reads as the confidence."""
    top, bottom = round(middle - height / 2), round(middle + height / 2)
    start = left
    for rank, (probability, label) in enumerate(ranked):
        colour = np.array(colour_bgr(label), float)
        mixed = colour if rank == 0 else 0.4 * colour + 0.6 * np.array(_GROOVE)
        end = min(start + probability * (right - left), right)
        cv2.rectangle(canvas, (round(start), top), (round(end), bottom), mixed.tolist(), cv2.FILLED)
        start = end


def _draw_affect(canvas: Image, centre: tuple[float, float], radius: float, face: FaceAffect, unit: float) -> None:
    """The circumplex: valence to the right, arousal upwards. Without a dot where the model gives none."""
    x, y = round(centre[0]), round(centre[1])
    edge = round(radius)
    cv2.circle(canvas, (x, y), edge, _FAINT, max(round(unit), 1), cv2.LINE_AA)
    cv2.line(canvas, (x - edge, y), (x + edge, y), _GROOVE, 1, cv2.LINE_AA)
    cv2.line(canvas, (x, y - edge), (x, y + edge), _GROOVE, 1, cv2.LINE_AA)
    if math.isnan(face.valence) or math.isnan(face.arousal):
        return
    length = max(math.hypot(face.valence, face.arousal), 1.0)
    dot = (round(x + edge * face.valence / length), round(y - edge * face.arousal / length))
    cv2.circle(canvas, dot, max(round(3 * unit), 2), colour_bgr(face.expression), cv2.FILLED, cv2.LINE_AA)
    cv2.circle(canvas, dot, max(round(3 * unit), 2), _INK, 1, cv2.LINE_AA)


def _text(canvas: Image, text: str, left: float, baseline: float, size: float, colour: tuple[int, int, int]) -> int:
    """Write text and return its width in pixels."""
    cv2.putText(canvas, text, (round(left), round(baseline)), _FONT, size, colour, _thickness(size), cv2.LINE_AA)
    return _text_width(text, size)


def _text_width(text: str, size: float) -> int:
    return int(cv2.getTextSize(text, _FONT, size, _thickness(size))[0][0])


def _thickness(size: float) -> int:
    return max(round(size * 1.6 + 0.4), 1)
