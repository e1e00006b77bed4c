"""Scenes with one to eight real, moving faces, made of the demo video."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.detector import Image
from mien.models.fetch import fetch

MAXIMUM_FACES = 8
RATE_HZ = 30.0
"""Rate of the scenes' frames, as of a usual camera."""

_COLUMNS, _ROWS = 4, 2
_FACE_REGION = (slice(0, 360), slice(285, 605))
"""Rows and columns of the demo video that show the face in every frame."""
_WALL_WIDTH = 240
"""So many columns at the left show nothing but a dark wall."""

DESCRIPTION = (
    f"demo video (one woman, 472 frames), its face region pasted once per face into a {_COLUMNS}x{_ROWS} grid over "
    "the blurred wall behind her; every face starts at another time of the video and moves as filmed. "
    "Faces are about 105x150 pixels at 640x480 and 210x300 at 1280x720"
)


class FaceVideo:
    """The face region of the demo video, uint8 (360, 320, 3) BGR per frame, played forwards and backwards for ever.

    Attributes:
        wall: the background, blurred, uint8 (360, 240, 3).

    Raises:
        MienError: the video cannot be fetched or read.
    """

    def __init__(self) -> None:
        path = fetch("demo_video")
        video = cv2.VideoCapture(str(path))
        self._frames: list[Image] = []
        while (read := video.read())[0]:
            frame: NDArray[Any] = read[1]
            self._frames.append(np.ascontiguousarray(frame[_FACE_REGION], np.uint8))
            if len(self._frames) == 1:
                self.wall = np.asarray(cv2.blur(frame[:, :_WALL_WIDTH], (15, 15)), np.uint8)
        if not self._frames:
            raise MienError(
                f"{path} cannot be read as a video", "Install OpenCV with FFmpeg: pip install 'mien[robot]'"
            )

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Image:
        position = index % (2 * len(self._frames) - 2)
        return self._frames[min(position, 2 * len(self._frames) - 2 - position)]


class Scene:
    """A picture whose faces move.

    Args:
        video: the face.
        faces: how many, 0 to `MAXIMUM_FACES`; 0 is the bare background.
        width: pixels.
        height: pixels.
    """

    def __init__(self, video: FaceVideo, faces: int, width: int, height: int) -> None:
        self.faces, self.width, self.height = faces, width, height
        self._video = video
        self._canvas = np.asarray(cv2.resize(video.wall, (width, height)), np.uint8)

    def frame(self, index: int) -> Image:
        """Frame number `index`, uint8 (height, width, 3) BGR; it holds until the next call."""
        cell_width, cell_height = self.width // _COLUMNS, self.height // _ROWS
        for face, (left, top) in enumerate(self._cells(cell_width, cell_height)):
            region = self._video[index + face * len(self._video) // MAXIMUM_FACES]
            scale = min(cell_width / region.shape[1], cell_height / region.shape[0])
            tile = cv2.resize(region, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            self._canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        return self._canvas

    def _cells(self, cell_width: int, cell_height: int) -> Iterator[tuple[int, int]]:
        """Upper left corners; neighbours are filled last, so that few faces stand apart."""
        for cell in (0, 6, 2, 4, 1, 7, 3, 5)[: self.faces]:
            yield cell % _COLUMNS * cell_width, cell // _COLUMNS * cell_height


def check_faces(faces: tuple[int, ...]) -> None:
    """Raise MienError unless scenes can be made with these numbers of faces."""
    for count in faces:
        if not 1 <= count <= MAXIMUM_FACES:
            raise MienError(f"--faces cannot be {count}", f"Give numbers from 1 to {MAXIMUM_FACES}")
