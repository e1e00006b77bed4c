"""One picture that shows a person why: the face, the answer, and where in the face it comes from."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from mien.drawing import EXPRESSION_COLOURS
from mien.errors import require
from mien.faces.detector import Image
from trainer.explain.explanation import Explanation, scaled
from trainer.explain.overlay import overlay

_INK, _QUIET, _GROOVE = "#1c2128", "#57606a", "#eceff2"
_OTHER = "#8a94a3"
"""Of a class that has no colour of its own."""
_LETTERS_IN_A_LINE = 145
_LETTERS_OF_A_PART = 21
_DPI = 140

# Inches.
_WIDTH, _MARGIN, _GAP = 11.0, 0.35, 0.3
_HEADLINE, _TITLE, _LEGEND, _LINE = 0.85, 0.32, 0.5, 0.2
_FACE = 3.3
_PARTS_IN_A_ROW = 5
_PART = (_WIDTH - 2 * _MARGIN - (_PARTS_IN_A_ROW - 1) * _GAP) / _PARTS_IN_A_ROW
_ROW = _TITLE + _PART + 0.45


def draw_explanation(face: Image, explanation: Explanation, caption: Sequence[str]) -> bytes:
    """Draw an explanation.

    Args:
        face: what the network sees, uint8 (H, W, 3) BGR, large enough to be looked at.
        explanation: of it.
        caption: paragraphs below.

    Returns:
        A PNG file.

    Raises:
        MienError: matplotlib is not installed.
    """
    lines = [line for paragraph in caption for line in textwrap.wrap(paragraph, _LETTERS_IN_A_LINE)]
    parts = explanation.parts if len(explanation.parts) > 1 else ()
    rows = -(-len(parts) // _PARTS_IN_A_ROW)
    page = _Page(_MARGIN + _HEADLINE + _TITLE + _FACE + _LEGEND + rows * _ROW + _LINE * (len(lines) + 1) + _MARGIN)
    _write_headline(page, explanation)
    top, middle = _MARGIN + _HEADLINE + _TITLE, _MARGIN + _FACE + _GAP
    page.show(_MARGIN, top, _FACE, face, "The face that was cut out")
    target = explanation.labels[explanation.target]
    page.show(middle, top, _FACE, overlay(face, explanation.heat), f"What speaks for {target}")
    _draw_legend(page, middle, top + _FACE + 0.12)
    _draw_bars(page, middle + _FACE + _GAP, top, explanation)
    top += _FACE + _LEGEND
    for number, part in enumerate(parts):
        row, column = divmod(number, _PARTS_IN_A_ROW)
        left, upper = _MARGIN + column * (_PART + _GAP), top + _TITLE + row * _ROW
        page.show(left, upper, _PART, overlay(face, scaled(part.heat)), _short(part.name))
        best = int(part.probabilities.argmax())
        page.write(left, upper + _PART + 0.2, f"{explanation.labels[best]} {part.probabilities[best]:.0%} alone", 9.5)
    for number, line in enumerate(lines):
        page.write(_MARGIN, top + rows * _ROW + _LINE * (number + 1.2), line, 8.5, color=_QUIET)
    return page.png()


class _Page:
    """A figure whose places are in inches from its upper left corner."""

    def __init__(self, height: float) -> None:
        require("matplotlib", "explain")
        from matplotlib.figure import Figure

        self._height = height
        self._figure: Any = Figure((_WIDTH, height), dpi=_DPI, facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float) -> Any:
        """Empty axes without frame, whose upper left corner is there."""
        bottom = self._height - top - height
        axes = self._figure.add_axes(
            (left / _WIDTH, bottom / self._height, width / _WIDTH, height / self._height), xticks=[], yticks=[]
        )
        axes.set_frame_on(False)
        return axes

    def show(self, left: float, top: float, side: float, image: Image, title: str) -> None:
        """A square picture with its title above."""
        self.axes(left, top, side, side).imshow(image[:, :, ::-1], aspect="auto", interpolation="lanczos")
        self.write(left, top - 0.1, title, 10.5, weight="bold")

    def write(self, left: float, baseline: float, text: str, size: float, color: str = _INK, **style: Any) -> None:
        """Text; `size` in points."""
        place = left / _WIDTH, 1 - baseline / self._height
        self._figure.text(*place, text, fontsize=size, color=color, va="baseline", parse_math=False, **style)

    def png(self) -> bytes:
        """The figure as a file, the same bytes for the same content."""
        file = io.BytesIO()
        self._figure.savefig(file, format="png", metadata={"Software": None})
        return file.getvalue()


def _short(name: str) -> str:
    """The end of a long name, which tells more than its beginning."""
    return name if len(name) <= _LETTERS_OF_A_PART else "…" + name[1 - _LETTERS_OF_A_PART :]


def _write_headline(page: _Page, explanation: Explanation) -> None:
    labels, best = explanation.labels, int(explanation.probabilities.argmax())
    page.write(_MARGIN, _MARGIN + 0.3, f"{labels[best]} {explanation.probabilities[best]:.1%}", 20, weight="bold")
    if not explanation.heat.any():
        said = f"No place in this face speaks for {labels[explanation.target]}."
    elif explanation.target == best:
        said = f"The warmer the colour, the more that place speaks for {labels[best]}."
    else:
        target, probability = labels[explanation.target], explanation.probabilities[explanation.target]
        said = f"Asked about {target}, {probability:.1%}: the warmer the colour, the more that place speaks for it."
    page.write(_MARGIN, _MARGIN + 0.62, said, 11, color=_QUIET)


def _draw_legend(page: _Page, left: float, top: float) -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    strip = overlay(np.full((12, 256, 3), 190, np.uint8), ramp)
    page.axes(left, top, _FACE, 0.12).imshow(strip[:, :, ::-1], aspect="auto")
    page.write(left, top + 0.28, "nothing", 8.5, color=_QUIET)
    page.write(left + _FACE, top + 0.28, "most in this face", 8.5, color=_QUIET, ha="right")


def _draw_bars(page: _Page, left: float, top: float, explanation: Explanation) -> None:
    """Probabilities, each in the colour of its expression; the one that is explained is printed bold."""
    page.write(left, top - 0.1, "What it answers", 10.5, weight="bold")
    count = len(explanation.labels)
    step = _FACE / count
    width = _WIDTH - _MARGIN - left
    axes = page.axes(left, top, width, _FACE)
    axes.set_xlim(0, 1)
    axes.set_ylim(_FACE, 0)
    for number, (label, probability) in enumerate(zip(explanation.labels, explanation.probabilities, strict=True)):
        middle, height = (number + 0.72) * step, min(0.34 * step, 0.16)
        axes.barh(middle, 1, height, color=_GROOVE)
        axes.barh(middle, probability, height, color=EXPRESSION_COLOURS.get(label, _OTHER))
        weight = "bold" if number == explanation.target else "normal"
        style = {"fontsize": 10, "color": _INK, "weight": weight, "parse_math": False}
        axes.text(0, middle - height, label, **style)
        axes.text(1, middle - height, f"{probability:.1%}", ha="right", **style)
