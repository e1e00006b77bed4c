"""What is written beside each picture."""

from __future__ import annotations

import msgspec


class Label(msgspec.Struct, frozen=True, omit_defaults=True):
    """Labels of one picture; all are exact, none is a guess.

    Attributes:
        index: of the picture in its domain.
        file: of the picture, relative to the folder.
        domain: name.
        split: "train", "validation" or "test"; no person is in two of them (in `person`: one stretch of time each).
        person: who; for objects empty.
        label: an expression, or in `objects` the object.
        prototype: variant of the expression.
        intensity: 0 to 1.
        valence: −1 to 1.
        arousal: −1 to 1.
        sequence: pictures of one sequence share it; empty otherwise.
        frame: number in the sequence.
        time_s: since the beginning of the sequence, seconds.
        landmarks: 68 pairs x, y, pixels (the middle of the first pixel is 0); may be outside; empty for objects.
        visible: 68 times 0 or 1: inside the picture and not covered.
        yaw, pitch, roll: of the head, degrees; positive to the person's left, up, and clockwise in the picture.
        gaze: degrees to the person's left and up, relative to the head.
        occlusion: "", "mask", "sunglasses" or "hand".
        talking: the mouth speaks.
        glasses: worn.
        female: of the person.
        age_years: of the person.
    """

    index: int
    file: str
    domain: str
    split: str
    person: str = ""
    label: str = ""
    prototype: str = ""
    intensity: float = 0.0
    valence: float = 0.0
    arousal: float = 0.0
    sequence: str = ""
    frame: int = 0
    time_s: float = 0.0
    landmarks: tuple[tuple[float, float], ...] = ()
    visible: tuple[int, ...] = ()
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)
    occlusion: str = ""
    talking: bool = False
    glasses: bool = False
    female: bool = False
    age_years: float = 0.0
