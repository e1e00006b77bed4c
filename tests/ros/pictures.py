"""Pictures of real faces for the tests, from packages; never used to tune anything."""

from __future__ import annotations

import array
from collections.abc import Callable, Sequence
from functools import cache

import cv2
import numpy as np
from sensor_msgs.msg import Image as ImageMessage

from mien.faces.detector import Image
from mien.models.archives import extract_from_archive
from mien.models.cache import cache_folder
from mien.models.catalogue import Archive
from mien.models.fetch import fetch

HAPPY_FRAME = 324
"""Of the demo video; its face box is HAPPY_BOX: x, y, width, height in pixels."""
HAPPY_BOX = (334, 20, 225, 323)
_PORTRAITS = Archive(
    *("pip", "facetorch", "0.6.2", "886662478e3d1afabf469427f7f96fd355950276133ee7e2fe8bb2c57682a069"), is_source=True
)
_TILES = {
    "neutral": ((0, 0), (4, 2)),
    "happy": ((0, 1), (3, 1), (4, 1)),
    "angry": ((2, 0), (2, 3), (1, 3), (0, 4), (4, 4)),
}


@cache
def demo_frame(index: int = HAPPY_FRAME) -> Image:
    """A frame of the demo video, 640×360: one woman, sad in frames 5 to 85, happy from 252 to 468."""
    video = cv2.VideoCapture(str(fetch("demo_video")))
    video.set(cv2.CAP_PROP_POS_FRAMES, index)
    found, frame = video.read()
    assert found, f"The demo video has no frame {index}"
    return np.asarray(frame, np.uint8)


@cache
def portraits(expression: str) -> tuple[Image, ...]:
    """Portraits of one actress, 374×374, "neutral", "happy" or "angry"."""
    file = cache_folder() / "tests" / "facetorch-0.6.2-test3.jpg"
    if not file.is_file():
        extract_from_archive(_PORTRAITS, {"facetorch-0.6.2/data/input/test3.jpg": file})
    sheet = np.asarray(cv2.imread(str(file)), np.uint8)
    corners = [(18 + 379 * row, 18 + 379 * column) for row, column in _TILES[expression]]
    return tuple(sheet[top : top + 374, left : left + 374] for top, left in corners)


@cache
def face_clip(start: int, count: int, side: int) -> tuple[Image, ...]:
    """The face in successive frames of the demo video, with what is around it, cut out and scaled to side × side."""
    video = cv2.VideoCapture(str(fetch("demo_video")))
    video.set(cv2.CAP_PROP_POS_FRAMES, start)
    frames = [video.read()[1][:, 250:610] for _ in range(count)]
    return tuple(np.asarray(cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA)) for frame in frames)


def face_picture(index: int, side: int) -> Image:
    """The first picture of such a clip."""
    return face_clip(index, 1, side)[0]


def paste(size: tuple[int, int], faces: Sequence[Image], places: Sequence[tuple[int, int]]) -> Image:
    """Faces on a grey canvas of (width, height), their upper left corners at `places`."""
    canvas = np.full((size[1], size[0], 3), 90, np.uint8)
    for face, (left, top) in zip(faces, places, strict=True):
        canvas[top : top + face.shape[0], left : left + face.shape[1]] = face
    return canvas


def _bayer(pattern: str) -> Callable[[Image], Image]:
    def encode(picture: Image) -> Image:
        mosaic = np.empty(picture.shape[:2], np.uint8)
        for i, colour in enumerate(pattern):
            row, column = divmod(i, 2)
            mosaic[row::2, column::2] = picture[row::2, column::2, "bgr".index(colour)]
        return mosaic

    return encode


def _nv12(picture: Image, first: int = 0) -> Image:
    """Grey rows, then rows of alternating U and V (`first` = 1: V and U)."""
    height, width = picture.shape[:2]
    planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
    colours = planes[height:].reshape(2, height // 2, width // 2)
    pairs = np.stack([colours[first], colours[1 - first]], axis=-1)
    return np.vstack([planes[:height], pairs.reshape(height // 2, width)])


def _wide(samples: Image) -> np.ndarray:
    return samples.astype("<u2") * 257


def _alpha(picture: Image) -> Image:
    return np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])


_EIGHT_BIT: dict[str, Callable[[Image], Image]] = {
    "bgr8": lambda picture: picture,
    "rgb8": lambda picture: picture[..., ::-1],
    "bgra8": _alpha,
    "rgba8": lambda picture: _alpha(picture[..., ::-1]),
    "mono8": lambda picture: cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY),
    **{f"bayer_{pattern}8": _bayer(pattern) for pattern in ("rggb", "bggr", "gbrg", "grbg")},
}
ENCODERS: dict[str, Callable[[Image], np.ndarray]] = {
    **_EIGHT_BIT,
    **{f"{name[:-1]}16": lambda picture, encode=encode: _wide(encode(picture)) for name, encode in _EIGHT_BIT.items()},
    "8UC1": _EIGHT_BIT["mono8"],
    "8UC3": _EIGHT_BIT["bgr8"],
    "16UC1": lambda picture: _wide(_EIGHT_BIT["mono8"](picture)),
    "yuv422": lambda picture: cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_UYVY),
    "uyvy": lambda picture: cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_UYVY),
    "yuv422_yuy2": lambda picture: cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_YUYV),
    "yuyv": lambda picture: cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_YUYV),
    "nv12": _nv12,
    "nv21": lambda picture: _nv12(picture, first=1),
}


def encoded(picture: Image, encoding: str) -> ImageMessage:
    """A message that holds the picture in an encoding, its rows padded by 8 bytes; without a stamp."""
    samples = np.ascontiguousarray(ENCODERS[encoding](picture))
    rows = np.pad(samples.reshape(samples.shape[0], -1).view(np.uint8), ((0, 0), (0, 8)))
    return ImageMessage(
        height=picture.shape[0],
        width=picture.shape[1],
        encoding=encoding,
        step=rows.shape[1],
        data=array.array("B", rows.tobytes()),
    )
