"""Faces over time: ids that stay with a face, and boxes for the frames in which the detector does not run.

A face moves on with constant speed between detections. A detection belongs to the face whose predicted place and size
are nearest, all faces together at the lowest total cost. A face that is missed once is still shown, because detectors
blink; missed twice it is hidden, and keeps its id for a while in case it comes back. Boxes are not smoothed: YuNet's
shake by 0.2 % of the face's width, and every filter that was tried moved them away from where the face is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.faces.assignment import assign
from mien.faces.detector import Box, Detection

_SPEED_GAIN = 0.5  # share of a prediction's error that corrects the speed: follows turns, averages jitter
_SHORTEST_STEP_S = 0.01  # stamps closer than this say nothing about speed
_SURE_MOTION_S = 0.35  # a face away for longer may have walked on or may have stopped
_REACH = 0.5, 6.0, 1.5  # how far from its prediction a face may be, in face sizes: at once, more per second, at most
_LARGEST_SIZE_RATIO = 2.0
_MOST_FACES = 64  # remembered at once: a clock that stands still must not fill the memory


@dataclass(frozen=True, slots=True)
class Track:
    """A face that is present in a frame.

    Attributes:
        id: stays with the face, is never used again.
        box: pixels; may reach beyond the image.
        landmarks: None, or float32 (5, 2), pixels; see `Detection`.
        score: of its last detection, 0 to 1.
        predicted: box and landmarks follow from its motion; it was not detected in this frame.
        first_seen_s: stamp of its first detection.
        last_seen_s: stamp of its last detection.
    """

    id: str
    box: Box
    landmarks: NDArray[np.float32] | None
    score: float
    predicted: bool
    first_seen_s: float
    last_seen_s: float


@dataclass(slots=True, eq=False)
class _Face:
    """A face that is remembered, as last detected."""

    id: str
    detection: Detection
    first_seen_s: float
    last_seen_s: float
    speed: tuple[float, float] = (0.0, 0.0)  # pixels per second
    detections: int = 1
    missed: int = 0

    @property
    def visible(self) -> bool:
        """Detected last time, or missed once; what was seen only once may have been a false alarm."""
        return self.missed == 0 or (self.missed == 1 and self.detections > 1)

    def motion(self, stamp_s: float) -> tuple[float, float]:
        """How far it has moved since it was last detected if it kept its speed, pixels."""
        elapsed_s = stamp_s - self.last_seen_s
        return self.speed[0] * elapsed_s, self.speed[1] * elapsed_s

    def distance(self, detection: Detection, stamp_s: float) -> float:
        """How unlike its prediction a detection is: in place (face sizes) plus in size (logarithm).

        Infinite for what cannot be the same face.
        """
        box, other = self.detection.box, detection.box
        size, other_size = _size(box), _size(other)
        growth = abs(math.log(other_size / size))
        (x, y), (other_x, other_y), (dx, dy) = box.center, other.center, self.motion(stamp_s)
        elapsed_s = stamp_s - self.last_seen_s
        pixels = math.hypot(other_x - x - dx, other_y - y - dy)
        if elapsed_s > _SURE_MOTION_S:
            pixels = min(pixels, math.hypot(other_x - x, other_y - y))
        away = pixels / ((size + other_size) / 2)
        at_once, per_second, at_most = _REACH
        reach = min(at_once + per_second * elapsed_s, at_most)
        if away > reach or growth > math.log(_LARGEST_SIZE_RATIO):
            return math.inf
        return away + growth

    def see(self, detection: Detection, stamp_s: float) -> None:
        """Take over a new detection."""
        elapsed_s = stamp_s - self.last_seen_s
        if elapsed_s > 0:
            (x, y), (new_x, new_y), (dx, dy) = self.detection.box.center, detection.box.center, self.motion(stamp_s)
            gain = _SPEED_GAIN / max(elapsed_s, _SHORTEST_STEP_S)
            self.speed = self.speed[0] + gain * (new_x - x - dx), self.speed[1] + gain * (new_y - y - dy)
        self.detection, self.last_seen_s = detection, stamp_s
        self.detections += 1
        self.missed = 0

    def track(self, stamp_s: float, predicted: bool) -> Track:
        """Where it is now."""
        box, landmarks = self.detection.box, self.detection.landmarks
        if predicted:
            dx, dy = self.motion(stamp_s)
            box = Box(box.x + dx, box.y + dy, box.width, box.height)
            landmarks = None if landmarks is None else landmarks + np.array([dx, dy], np.float32)
        return Track(self.id, box, landmarks, self.detection.score, predicted, self.first_seen_s, self.last_seen_s)


class Tracker:
    """Follows the faces of one camera.

    Args:
        new_id: gives an id never given before.
        timeout_s: how long a face that is not seen keeps its id, seconds; may be changed at any time.
    """

    def __init__(self, new_id: Callable[[], str], timeout_s: float = 1.5) -> None:
        self.timeout_s = timeout_s
        self._new_id = new_id
        self._faces: list[_Face] = []
        self._now_s = -math.inf

    def update(self, detections: Sequence[Detection], stamp_s: float) -> list[Track]:
        """Take over the detections of a frame.

        Args:
            detections: in any order; their order changes nothing. Those whose box is not finite or has no size are
                left out.
            stamp_s: when the image was taken, seconds. A stamp before the last one starts the clock anew: the faces
                stay, as if no time had passed.

        Returns:
            The faces present, oldest first.
        """
        self._set_clock(stamp_s)
        # Faces in view come first, so that a hidden one does not take the place of who walks by.
        in_view = [face for face in self._faces if face.visible]
        hidden = [face for face in self._faces if not face.visible]
        for face in self._faces:
            face.missed += 1
        sound = [found for found in detections if _is_sound(found.box)]
        waiting = sorted(sound, key=lambda found: (-found.score, found.box.x, found.box.y, found.box.width))
        for group in (in_view, hidden):
            waiting = _pair(group, waiting, stamp_s)
        self._faces += [_Face(self._new_id(), detection, stamp_s, stamp_s) for detection in waiting]
        return [face.track(stamp_s, predicted=face.missed > 0) for face in self._faces if face.visible]

    def predict(self, stamp_s: float) -> list[Track]:
        """The faces present in a frame in which the detector did not run, oldest first, moved on to its stamp."""
        self._set_clock(stamp_s)
        return [face.track(stamp_s, predicted=True) for face in self._faces if face.visible]

    def _set_clock(self, stamp_s: float) -> None:
        """Advance to a stamp and forget who has been away for too long."""
        back_s = self._now_s - stamp_s
        if back_s > 0:
            for face in self._faces:
                face.first_seen_s -= back_s
                face.last_seen_s -= back_s
        self._now_s = stamp_s
        self._faces = [face for face in self._faces if stamp_s - face.last_seen_s <= self.timeout_s]
        while len(self._faces) > _MOST_FACES:
            self._faces.remove(max(self._faces, key=lambda face: (face.missed, -face.last_seen_s)))


def _pair(faces: list[_Face], detections: list[Detection], stamp_s: float) -> list[Detection]:
    """Give each face its detection; return the detections that remain."""
    if not faces or not detections:
        return detections
    pairs = assign([[face.distance(detection, stamp_s) for detection in detections] for face in faces])
    for i, j in pairs:
        faces[i].see(detections[j], stamp_s)
    taken = {j for _, j in pairs}
    return [detection for j, detection in enumerate(detections) if j not in taken]


def _size(box: Box) -> float:
    return max(1.0, math.sqrt(box.width * box.height))


def _is_sound(box: Box) -> bool:
    return all(map(math.isfinite, (box.x, box.y, box.width, box.height))) and min(box.width, box.height) > 0
