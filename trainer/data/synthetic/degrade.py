"""What happens to a picture between the face and the network: hands in front of it, lens, sensor and compression."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.detector import Image

Floats = NDArray[np.float32]
Random = np.random.Generator


@dataclass(frozen=True)
class Degradation:
    """Faults of one picture; the defaults change nothing.

    Attributes:
        gain: of the exposure.
        gamma: of the tone curve.
        cast: factors on blue, green, red: the light's colour.
        blur: standard deviation, as a share of the picture's side.
        motion: length of the smear, as a share of the side.
        motion_angle: degrees.
        resolution: the picture is shrunk to this share of its side and enlarged again.
        noise: standard deviation, of 1 for white.
        jpeg_quality: 1 to 100; 0 stores without loss.
        is_grey: no colour.
        darkest_face: the exposure is raised until the face is this bright on average, 0 to 1, as cameras do that meter
            it; 0 leaves it.
    """

    gain: float = 1.0
    gamma: float = 1.0
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur: float = 0.0
    motion: float = 0.0
    motion_angle: float = 0.0
    resolution: float = 1.0
    noise: float = 0.0
    jpeg_quality: int = 0
    is_grey: bool = False
    darkest_face: float = 0.0

    def gain_for(self, face: float) -> float:
        """The exposure for a face of that mean brightness, 0 to 1."""
        if face <= 0:
            return self.gain
        return max(self.gain, float(self.darkest_face ** (1 / self.gamma)) / face)


@dataclass(frozen=True)
class Hand:
    """A hand before the face: a palm and four fingers.

    Attributes:
        x, y: middle of the palm, as shares of the picture's side.
        size: of the palm, likewise.
        angle: of the fingers, degrees.
        colour: BGR, 0 to 1.
    """

    x: float
    y: float
    size: float
    angle: float
    colour: tuple[float, float, float]


def draw_hand(hand: Hand, side: int) -> tuple[Floats, Floats]:
    """The hand's colour, float32 (side, side, 3), and how much it covers, float32 (side, side, 1), 0 to 1."""
    middle = np.array([hand.x, hand.y]) * side
    along = np.array([np.cos(np.radians(hand.angle)), np.sin(np.radians(hand.angle))])
    across = np.array([-along[1], along[0]])
    size = hand.size * side
    cover = np.zeros((side, side), np.float32)
    shade = np.full((side, side), 0.8, np.float32)

    def stroke(start: NDArray[np.float64], end: NDArray[np.float64], width: float, level: float) -> None:
        points = [tuple(int(value) for value in np.rint(point)) for point in (start, end)]
        for layer, value in ((cover, 1.0), (shade, level)):
            cv2.line(layer, points[0], points[1], value, max(1, round(width)), cv2.LINE_AA)

    stroke(middle - 1.6 * size * along, middle, 1.15 * size, 0.85)
    for finger, length in zip((-0.45, -0.15, 0.15, 0.45), (0.9, 1.1, 1.05, 0.8), strict=True):
        root = middle + finger * size * across
        stroke(root, root + length * size * along, 0.27 * size, 0.95 + 0.1 * finger)
    stroke(middle - 0.3 * size * along, middle + size * (0.25 * along - 0.85 * across), 0.28 * size, 0.9)
    smooth = _floats(cv2.GaussianBlur(shade, (0, 0), max(0.3, 0.06 * size)))
    return smooth[:, :, None] * np.array(hand.colour, np.float32), cover[:, :, None]


def degrade(picture: Floats, fault: Degradation, random: Random) -> Image:
    """Apply the faults in the order in which a camera makes them.

    Args:
        picture: float32 (side, side, 3), BGR, 0 to 1.
        fault: which.
        random: draws the noise.

    Returns:
        uint8 (side, side, 3), BGR.
    """
    side = picture.shape[0]
    if fault.motion * side > 1:
        picture = _floats(cv2.filter2D(picture, -1, _smear(fault.motion * side, fault.motion_angle)))
    if fault.blur * side > 0.2:
        picture = _floats(cv2.GaussianBlur(picture, (0, 0), fault.blur * side))
    if fault.resolution < 1:
        small = max(8, round(side * fault.resolution))
        shrunk = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
        picture = _floats(cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_LINEAR))
    exposed = np.clip(picture * (fault.gain * np.array(fault.cast, np.float32)), 0, 1)
    picture = _floats(exposed ** np.float32(fault.gamma))
    if fault.is_grey:
        picture = np.repeat(_floats(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))[:, :, None], 3, axis=2)
    if fault.noise > 0:
        picture = _floats(picture + fault.noise * random.standard_normal(picture.shape, np.float32))
    result = np.asarray(np.clip(picture * 255 + 0.5, 0, 255), np.uint8)
    if fault.jpeg_quality:
        data = cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, fault.jpeg_quality])[1]
        result = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return result


def _smear(length: float, angle: float) -> Floats:
    """A straight line of that length as a filter."""
    side = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    reach = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))]) * length / 2
    start, end = (tuple(int(value) for value in np.rint(side // 2 + sign * reach)) for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0, 1)
    return _floats(kernel / kernel.sum())


def _floats(values: object) -> Floats:
    """OpenCV's answer with its proper type."""
    return np.asarray(values, np.float32)
