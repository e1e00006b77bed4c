"""Sheets of faces with what in them spoke for an answer (Grad-CAM), for stages and ensembles of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.detector import Image
from trainer.data.face_parts import PARTS
from trainer.evaluate.predictions import Predictions, short_name
from trainer.evaluate.report.gallery import Answers, is_listed, to_jpeg
from trainer.evaluate.report.tables import Runs
from trainer.explain.explanation import Explanation, Floats, scaled
from trainer.explain.overlay import overlay
from trainer.stages.recipe import Recipe

Looked = tuple[Image, Explanation]
"""What was seen, uint8 (H, W, 3) BGR, and why it was answered."""

LookOf = Callable[[str, int, str, int, str, str], Looked | None]
"""Given stage or ensemble, seed, source, fold, short name of a picture and class: what was seen and what spoke for the
class; None where that is not to be had."""

_EACH = 3
"""Faces that are taken for what they are, and as many that are not."""
_TOGETHER = 3
"""Faces that are shown through all ensembles, as in paper 004's Fig. 11."""
_SIDE = 96
"""Of the pictures, pixels."""

_OF_STAGE = (
    "The warmer the colour, the more that place spoke for the answer (Grad-CAM); where a face stays grey, nothing did. "
    "Below each part stands what it says alone, but its map is of what all say together. Of the first seed, the surest "
    "right and the surest wrong answers about different classes."
)
_OF_ENSEMBLES = (
    "As paper 004's Fig. 11: what spoke for the true class in each ensemble, in the union of its networks' maps (the "
    "pixelwise maximum, each divided by its own before), and in each part's own map. Of the first seed, the faces of "
    "different classes that all ensembles got right and the first one was surest of."
)


class Panel(NamedTuple):
    """A picture and two lines about it; `answer` as "surprise 97 %", or empty."""

    title: str
    answer: str
    jpeg: str


class Look(NamedTuple):
    """One face in several panels."""

    name: str
    truth: str
    is_right: bool
    panels: list[Panel]


class Sheet(NamedTuple):
    """Faces of one source; `note` says which."""

    source: str
    note: str
    looks: list[Look]


def sheet_of(stage: str, runs: Runs, answers: Answers, look: LookOf | None) -> Sheet | None:
    """Faces of its own source that a stage or ensemble took for what they are, and others that it did not.

    None where there are no such answers, or none of the faces is to be had.
    """
    run = runs[stage][0]
    source = next((source for source, test in run.tests.items() if is_listed(test)), "")
    found = answers.predictions.get((stage, run.seed, source))
    if look is None or found is None:
        return None
    is_right = found.predicted == found.truth
    looks = []
    for place in (*_surest(found, is_right, _EACH), *_surest(found, ~is_right & (found.truth >= 0), _EACH)):
        name, answered = short_name(str(found.names[place])), found.labels[found.predicted[place]]
        if seen := look(stage, run.seed, source, int(found.fold[place]), name, answered):
            panels = [_face(seen), _together("what spoke for it", seen), *_parts(seen)]
            looks.append(Look(name, found.labels[found.truth[place]], bool(is_right[place]), panels))
    return Sheet(source, _OF_STAGE, looks) if looks else None


def sheet_of_ensembles(recipe: Recipe, runs: Runs, answers: Answers, look: LookOf | None) -> Sheet | None:
    """The same faces through all ensembles, and through each part of those whose networks learned parts of the face.

    Of several data sets the first one is shown. None where there are fewer than two ensembles of it, or none of the
    faces is to be had.
    """
    seeds = {name: runs[name][0].seed for name in recipe.ensembles if name in runs}
    if look is None or not seeds:
        return None
    source = next(iter(runs[next(iter(seeds))][0].tests), "")
    told = {name: answers.predictions.get((name, seed, source)) for name, seed in seeds.items()}
    first = next(iter(told.values()))
    found = {} if first is None else {name: one for name, one in told.items() if one and _are_alike(one, first)}
    if first is None or len(found) < 2:
        return None
    is_right = np.all([one.predicted == one.truth for one in found.values()], axis=0)
    looks = []
    for place in _surest(first, is_right, _TOGETHER):
        name, truth, panels = short_name(str(first.names[place])), first.labels[first.truth[place]], list[Panel]()
        in_parts: set[tuple[str, ...]] = set()  # whatever rule combines them, networks look where they look
        for ensemble in found:
            members = recipe.ensembles[ensemble].members
            if seen := look(ensemble, seeds[ensemble], source, int(first.fold[place]), name, truth):
                panels += [*([] if panels else [_face(seen)]), _together(ensemble, seen)]
                if _has_parts(seen[1]) and members not in in_parts:
                    panels += _parts(seen)
                    in_parts.add(members)
        if panels:
            looks.append(Look(name, truth, True, panels))
    return Sheet(source, _OF_ENSEMBLES, looks) if looks else None


def _are_alike(one: Predictions, other: Predictions) -> bool:
    return np.array_equal(one.names, other.names)


def _surest(found: Predictions, which: NDArray[np.bool_], count: int) -> list[int]:
    """Places of the surest answers about different true classes."""
    places: dict[int, int] = {}
    for place in np.argsort(-found.confidence, kind="stable").tolist():
        if which[place]:
            places.setdefault(int(found.truth[place]), place)
    return list(places.values())[:count]


def _face(seen: Looked) -> Panel:
    return Panel("the face", "", to_jpeg(_large(seen[0])))


def _together(title: str, seen: Looked) -> Panel:
    face, explanation = seen
    return _panel(title, face, explanation.heat, explanation.labels, explanation.probabilities)


def _parts(seen: Looked) -> list[Panel]:
    """Of each part alone, where there are several."""
    face, explanation = seen
    parts = explanation.parts if len(explanation.parts) > 1 else ()
    return [_panel(part.name, face, part.heat, explanation.labels, part.probabilities) for part in parts]


def _has_parts(explanation: Explanation) -> bool:
    return {part.name for part in explanation.parts} <= PARTS.keys()


def _panel(title: str, face: Image, heat: Floats, labels: tuple[str, ...], probabilities: Floats) -> Panel:
    best = int(probabilities.argmax())
    answer = f"{labels[best]} {100 * probabilities[best]:.0f}\N{NO-BREAK SPACE}%"
    return Panel(title, answer, to_jpeg(overlay(_large(face), scaled(heat))))


def _large(face: Image) -> Image:
    """As large as it is shown; networks see smaller pictures."""
    return np.asarray(cv2.resize(face, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)
