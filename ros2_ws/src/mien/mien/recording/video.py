"""annotated.mp4 and the sample pictures of the report: the only part of a recording that shows people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mien.drawing import draw
from mien.errors import require
from mien.faces.detector import Image
from mien.pipeline import FaceAffect

MAXIMUM_WIDTH_PX = 1280
SAMPLE_WIDTH_PX = 480
MAXIMUM_SAMPLES = 6
_TIME_BASE = Fraction(1, 90_000)
# VP9 is in every browser, free, and quick in this mode: 4 ms a frame at 640×360 on one core. OpenCV's own writer offers
# VP9 at ten times that, or MPEG-4, which browsers do not play.
_CODEC = "libvpx-vp9"
_OPTIONS = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "crf": "34", "b": "0", "g": "120"}


@dataclass(frozen=True)
class Sample:
    """A drawn picture worth showing: the surest moment of an expression."""

    time_s: float
    expression: str
    confidence: float
    image: Image


class AnnotatedVideo:
    """Writes drawn frames to a video that appears under its name when it is complete.

    Args:
        path: of the .mp4 file.

    Raises:
        MienError: the module av is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._av = require("av", "ros")
        self._unfinished = path.with_name(f".{path.name}.part")
        self._container: Any = None
        self._stream: Any = None
        self._samples: dict[str, Sample] = {}
        self._position_s = self._last_time_s = 0.0

    @property
    def samples(self) -> list[Sample]:
        """One picture for each of the most confident expressions, in order of time."""
        best = sorted(self._samples.values(), key=lambda sample: -sample.confidence)[:MAXIMUM_SAMPLES]
        return sorted(best, key=lambda sample: sample.time_s)

    def write(self, time_s: float, image: Image, faces: Sequence[FaceAffect], labels: Sequence[str]) -> None:
        """Draw the faces into a frame and append it; `time_s` is seconds since the start of the recording."""
        drawn = draw(image, faces, labels)
        if self._container is None:
            self._open(drawn)
            self._last_time_s = time_s
        else:
            # Frames last 1 ms to 1 s, whatever the clock of the camera does.
            self._position_s += min(max(time_s - self._last_time_s, 0.001), 1.0)
            self._last_time_s = time_s
        size = (self._stream.width, self._stream.height)
        if size != (drawn.shape[1], drawn.shape[0]):
            drawn = _resized(drawn, size)
        frame = self._av.VideoFrame.from_ndarray(drawn, format="bgr24")
        frame.pts, frame.time_base = round(self._position_s / _TIME_BASE), _TIME_BASE
        self._container.mux(self._stream.encode(frame))
        for face in faces:
            if face.expression:
                self._consider(time_s, face, drawn)

    def close(self) -> bool:
        """Finish the video; returns whether there is one."""
        if self._container is None:
            return False
        self._container.mux(self._stream.encode())
        self._container.close()
        self._unfinished.replace(self.path)
        return True

    def _open(self, drawn: Image) -> None:
        height, width = drawn.shape[:2]
        scale = min(MAXIMUM_WIDTH_PX / width, 1.0)
        self._container = self._av.open(str(self._unfinished), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream(_CODEC, options=_OPTIONS)
        self._stream.time_base = self._stream.codec_context.time_base = _TIME_BASE
        # Colour is stored for two by two pixels: odd sizes lose a row or column.
        self._stream.width = max(round(width * scale) // 2 * 2, 2)
        self._stream.height = max(round(height * scale) // 2 * 2, 2)
        self._stream.pix_fmt = "yuv420p"

    def _consider(self, time_s: float, face: FaceAffect, drawn: Image) -> None:
        best = self._samples.get(face.expression)
        if best is None or face.confidence > best.confidence + 0.01:
            height, width = drawn.shape[:2]
            scale = min(SAMPLE_WIDTH_PX / width, 1.0)
            small = _resized(drawn, (max(round(width * scale), 1), max(round(height * scale), 1)))
            self._samples[face.expression] = Sample(time_s, face.expression, face.confidence, small)


def _resized(image: Image, size: tuple[int, int]) -> Image:
    """The image at another (width, height)."""
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
