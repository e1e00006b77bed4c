"""From a face in an image to a network's input. Host evaluation and robot inference both go through here.

A crop is cut in whole pixels. Where it reaches beyond the image, the border pixels are repeated. It is enlarged
bilinearly; when it shrinks to less than half, it is sampled bilinearly at twice the wanted size, then averaged
(INTER_AREA): within one grey level of averaging every pixel, at a cost that does not grow with the face (0.07 ms
instead of 0.6 ms for a face of 400 pixels at 64×64).
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.bundle import CropSpec, InputSpec
from mien.errors import MienError
from mien.faces.detector import Box, Image

CLIP_LIMIT = 2.0
TILES = 8
"""Of `enhance_contrast`, as OpenCV's own example has them; paper 004 does not print its own."""
CONTOUR_POINTS = 17
"""The first 17 of the 68 landmarks run along the jaw: the face contour, which the inner crop leaves out."""

_WITHOUT_LANDMARKS = {"outer": (0.83, 0.11), "inner": (0.65, 0.03)}
"""Side of the square around the landmarks and how much lower than the box's its middle is, in longer sides of the box:
medians of 600 renders up to 60 degrees from the side (domains wild and identity_a), boxes by YuNet."""
_FARTHEST = 1e9


def crop_square(
    spec: CropSpec, box: Box, landmarks: NDArray[np.float32] | None, image_width: int, image_height: int
) -> Box:
    """The part of the image that a crop shows, in pixels; it may reach beyond the image.

    Args:
        spec: kind and margin.
        box: the face's box, pixels.
        landmarks: float (68, 2), pixels, for `outer` and `inner`. None: where they lie in most faces with such a box.
        image_width: pixels; needed for `uncropped` only.
        image_height: pixels.

    Returns:
        A square with its middle in the middle of the box or landmarks. For `uncropped` the whole image, which `cut`
        then stretches. A box or landmarks that are not finite give a square that is not finite.
    """
    if spec.kind == "uncropped":
        return Box(0, 0, image_width, image_height)
    if spec.kind != "box":
        box = _around(landmarks, spec.kind) if landmarks is not None else _without_landmarks(box, spec.kind)
    side = (1 + spec.margin) * max(box.width, box.height)
    x, y = box.center
    return Box(x - side / 2, y - side / 2, side, side)


def _around(landmarks: NDArray[np.float32], kind: str) -> Box:
    points = landmarks if kind == "outer" else landmarks[CONTOUR_POINTS:]
    x0, y0 = points.min(axis=0).tolist()
    x1, y1 = points.max(axis=0).tolist()
    return Box(x0, y0, x1 - x0, y1 - y0)


def _without_landmarks(box: Box, kind: str) -> Box:
    side, lower = (share * max(box.width, box.height) for share in _WITHOUT_LANDMARKS[kind])
    x, y = box.center
    return Box(x - side / 2, y + lower - side / 2, side, side)


def cut(image: Image, square: Box, width: int, height: int) -> Image:
    """Cut a part out of an image and resize it.

    Args:
        image: uint8 (H, W, 3) BGR or (H, W) grey.
        square: the part, pixels, rounded to whole ones and at least one wide and high. Entirely outside, it shows the
            nearest border pixels. One that is not finite, or farther than 1e9 pixels, shows the whole image.
        width: of the result, pixels.
        height: of the result, pixels.

    Returns:
        uint8 (height, width, 3) or (height, width), contiguous.

    Raises:
        MienError: the image has no pixels.
    """
    image_height, image_width = image.shape[:2]
    if image_height == 0 or image_width == 0:
        raise MienError(f"The image is empty ({image_width}x{image_height})", "Give an image with pixels")
    if not all(abs(value) < _FARTHEST for value in (square.x, square.y, square.width, square.height)):
        square = Box(0, 0, image_width, image_height)
    x0, x1, left, right = _span(square.x, square.width, image_width, width)
    y0, y1, top, bottom = _span(square.y, square.height, image_height, height)
    inner_width, inner_height = width - left - right, height - top - bottom
    part: NDArray[Any] = image[y0:y1, x0:x1]
    if x1 - x0 > 2 * inner_width and y1 - y0 > 2 * inner_height:
        part = cv2.resize(part, (2 * inner_width, 2 * inner_height), interpolation=cv2.INTER_LINEAR)
        part = cv2.resize(part, (inner_width, inner_height), interpolation=cv2.INTER_AREA)
    else:
        part = cv2.resize(part, (inner_width, inner_height), interpolation=cv2.INTER_LINEAR)
    if left or right or top or bottom:
        part = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return np.asarray(part, np.uint8)


def to_crop(points: NDArray[np.floating], squares: NDArray[np.floating]) -> NDArray[np.float32]:
    """Where points of an image are across what `cut` shows of squares.

    Args:
        points: (N, K, 2), x and y, pixels of the image; the middle of its first pixel is 0.
        squares: (N, 4), x, y, width and height as they are given to `cut`, finite.

    Returns:
        float32 (N, K, 2): 0 at the left or upper edge of the crop, 1 at the right or lower one; NaN stays NaN.
    """
    corners, sides = _shown(squares)
    return np.asarray((points + 0.5 - corners) / sides, np.float32)


def from_crop(points: NDArray[np.floating], squares: NDArray[np.floating]) -> NDArray[np.float32]:
    """Where points across what `cut` shows of squares are in the image: the inverse of `to_crop`.

    Args:
        points: (N, K, 2), 0 to 1 across the crop.
        squares: (N, 4), as of `to_crop`.

    Returns:
        float32 (N, K, 2), pixels of the image; the middle of its first pixel is 0.
    """
    corners, sides = _shown(squares)
    return np.asarray(points * sides + corners - 0.5, np.float32)


def enhance_contrast(grey: Image, tiles: int = TILES) -> Image:
    """Equalise each part of a picture by its own histogram, but flat parts little (CLAHE: Zuiderveld 1994; paper 004).

    Args:
        grey: uint8 (H, W).
        tiles: parts along each side.

    Returns:
        uint8 (H, W).
    """
    return np.asarray(cv2.createCLAHE(CLIP_LIMIT, (tiles, tiles)).apply(grey), np.uint8)


def write_crop(image: Image, square: Box, spec: InputSpec, out: NDArray[np.float32]) -> None:
    """Cut a face out and write it, normalised, into its slot of a batch.

    Args:
        image: uint8 (H, W, 3) BGR or (H, W) grey.
        square: what to cut, from `crop_square`.
        spec: size, channels, contrast and normalisation.
        out: float32 (channels, height, width), filled here.

    Raises:
        MienError: the image has no pixels.
    """
    write_pixels(cut(image, square, spec.width, spec.height), spec, out)


def write_pixels(crop: Image, spec: InputSpec, out: NDArray[np.float32]) -> None:
    """Write a picture that has the input's size already, normalised, into its slot of a batch.

    Args:
        crop: uint8 (height, width, 3) BGR or (height, width) grey.
        spec: channels, contrast and normalisation.
        out: float32 (channels, height, width), filled here.
    """
    if spec.channels == "grey":
        grey = crop if crop.ndim == 2 else np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), np.uint8)
        planes = [grey if spec.contrast == "none" else enhance_contrast(grey)]
    elif crop.ndim == 2:
        planes = [crop] * 3
    else:
        planes = [crop[:, :, channel] for channel in ((2, 1, 0) if spec.channels == "rgb" else (0, 1, 2))]
    for plane, mean, scale, target in zip(planes, spec.mean, spec.scale, out, strict=True):
        np.subtract(plane, np.float32(mean), out=target)
        np.multiply(target, np.float32(scale), out=target)


def _shown(squares: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The whole pixels that `cut` shows of squares: corners and sides, each (N, 1, 2), as `_span` rounds them."""
    whole = np.floor(squares.astype(np.float64)[:, None] + 0.5)
    return whole[..., :2], np.maximum(whole[..., 2:], 1.0)


def _span(start: float, length: float, limit: int, output: int) -> tuple[int, int, int, int]:
    """One axis of a cut: pixels [first, last) of the image, and output pixels to repeat before and after them."""
    begin, size = math.floor(start + 0.5), max(1, math.floor(length + 0.5))
    end = begin + size
    first = min(max(begin, 0), limit - 1)
    last = max(min(end, limit), first + 1)
    before = min(max(0, round((first - begin) * output / size)), output - 1)
    after = min(max(0, round((end - last) * output / size)), output - 1 - before)
    return first, last, before, after
