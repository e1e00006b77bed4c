"""68 facial landmarks from a bundle's network, each with how sure it is, and whether they are arranged as in a face."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.bundle import LandmarksSpec
from mien.errors import MienError
from mien.faces.crop import crop_square, from_crop, write_crop
from mien.faces.detector import Box, Image
from mien.networks import landmarks_model
from mien.runtime.backend import Array, BackendOptions, load_network

POINTS = 68
TRUSTED_FROM = 0.5
"""A face's landmarks are used and published from this mean confidence on."""


# What follows is in longer sides of the face's box. Of 600 renders up to 60 degrees from the side, with exact landmarks
# and boxes by YuNet, the extremes are 0.68, 0.18, 0.22 and 0.31.
FARTHEST = 1.0
"""Of any landmark from the middle of the box."""
FARTHEST_MIDDLE = 0.3
"""Of the landmarks' mean from the middle of the box: farther, they lie on the face beside it."""
SMALLEST_EYES_APART = 0.15
"""Less shows a face from the side, whose hidden half is guessed."""
LEAST_MOUTH_BELOW = 0.15
"""Of the eyes; leaves room for a head tilted by 60 degrees."""
SMALLEST_EYES_APART_PX = 8.0
"""Pixels: a face of 17. Of a smaller one a landmark model sees nothing but its own mean."""


class Landmarks(NamedTuple):
    """The landmarks of N faces.

    Attributes:
        points: float32 (N, 68, 2), x and y in pixels of the image, in the order of iBUG 300-W: 0–16 contour, 17–26
            eyebrows, 27–35 nose, 36–47 eyes, 48–67 mouth. May lie beyond the image, or be no numbers at all: see
            `trusted`.
        confidences: float32 (N, 68), 0 to 1: as the network gives them, 1 where it gives none; 0 for a point beyond the
            image and for all points of a face that are not arranged as in one.
    """

    points: NDArray[np.float32]
    confidences: NDArray[np.float32]

    def trusted(self) -> list[NDArray[np.float32] | None]:
        """The points of each face, float32 (68, 2), finite; None below a mean confidence of `TRUSTED_FROM`."""
        return [
            points if confidence >= TRUSTED_FROM else None
            for points, confidence in zip(self.points, self.confidences.mean(axis=1), strict=True)
        ]


def arranged_as_face(points: NDArray[np.float32], boxes: Sequence[Box]) -> NDArray[np.bool_]:
    """Which faces' landmarks can be right: near their box, eyes above the mouth, and eyes far enough apart.

    Args:
        points: float32 (N, 68, 2), pixels; anything, also NaN.
        boxes: of the N faces, pixels.

    Returns:
        bool (N,). Profiles, tiny faces, and points that lie on another face are False.
    """
    size = np.array([max(box.width, box.height) for box in boxes], np.float32)
    middle = np.array([box.center for box in boxes], np.float32)
    right_eye, left_eye = points[:, 36], points[:, 45]  # their outer corners
    with np.errstate(invalid="ignore", over="ignore"):  # no comparison with NaN is true
        away = np.abs(points - middle[:, None]).max(axis=(1, 2))
        middle_away = np.abs(points.mean(axis=1) - middle).max(axis=1)
        eyes_apart = np.hypot(*(left_eye - right_eye).T)
        mouth_below = points[:, 48:68, 1].mean(axis=1) - points[:, 36:48, 1].mean(axis=1)
        return np.asarray(
            (away <= FARTHEST * size)
            & (middle_away <= FARTHEST_MIDDLE * size)
            & (eyes_apart >= np.maximum(SMALLEST_EYES_APART * size, SMALLEST_EYES_APART_PX))
            & (mouth_below >= LEAST_MOUTH_BELOW * size)
        )


class LandmarkLocator:
    """Locates 68 landmarks in faces; used by one thread at a time.

    Args:
        model: bytes of the ONNX file.
        spec: its crop, input and output.
        options: what runs it.

    Raises:
        MienError: the network cannot be loaded, or does not fit the manifest.
    """

    def __init__(self, model: bytes, spec: LandmarksSpec, options: BackendOptions) -> None:
        self._spec = spec
        self._network = load_network(landmarks_model(model, spec), options)
        shape = (spec.input.depth, spec.input.height, spec.input.width)
        self._batch = np.empty((0, *shape), np.float32)
        with ExitStack() as on_error:
            on_error.callback(self._network.close)
            self._check(shape)
            on_error.pop_all()
        self._one_by_one = self._network.input_shape[0] == 1  # as published networks often are

    @property
    def runtime(self) -> str:
        """What runs the network, for people."""
        return self._network.runtime

    @property
    def problem(self) -> str | None:
        """Why it does not run where it should; None when all is well."""
        return self._network.problem

    def close(self) -> None:
        """Free the network."""
        self._network.close()

    def locate(self, image: Image, boxes: Sequence[Box]) -> Landmarks:
        """Locate the landmarks of faces.

        Args:
            image: uint8 (H, W, 3) BGR or (H, W) grey.
            boxes: of the faces, as the detector gives them, pixels.

        Returns:
            Of the faces, in the order of their boxes.

        Raises:
            MienError: the image has no pixels.
        """
        if not boxes:
            return Landmarks(np.empty((0, POINTS, 2), np.float32), np.empty((0, POINTS), np.float32))
        height, width = image.shape[:2]
        squares = [crop_square(self._spec.crop, box, None, width, height) for box in boxes]
        if len(boxes) > len(self._batch):
            self._batch = np.empty((len(boxes), *self._batch.shape[1:]), np.float32)
        for slot, square in zip(self._batch, squares, strict=False):
            write_crop(image, square, self._spec.input, slot)
        points, confidences = self._run(self._batch[: len(boxes)])
        shown = np.array([(square.x, square.y, square.width, square.height) for square in squares], np.float64)
        with np.errstate(invalid="ignore", over="ignore"):  # of boxes and points that are not finite
            points = from_crop(points, shown)
        is_inside = ((points >= 0) & (points <= (width, height))).all(axis=2)
        return Landmarks(points, confidences * (arranged_as_face(points, boxes)[:, None] & is_inside))

    def _run(self, batch: Array) -> tuple[Array, Array]:
        """Points 0…1 across each crop, float32 (N, 68, 2), and confidences, float32 (N, 68)."""
        points = np.empty((len(batch), POINTS, 2), np.float32)
        confidences = np.ones(points.shape[:2], np.float32)
        step = 1 if self._one_by_one else len(batch)
        for i in range(0, len(batch), step):
            part = batch[i : i + step]
            outputs = self._network.run(part)
            points[i : i + step] = outputs[self._spec.output].reshape(len(part), POINTS, 2)
            if self._spec.confidence_output is not None:
                sure = outputs[self._spec.confidence_output].reshape(len(part), POINTS)
                confidences[i : i + step] = np.fmin(np.fmax(sure, 0), 1)  # of a number and NaN, both take the number
        return points, confidences

    def _check(self, shape: tuple[int, ...]) -> None:
        name = self._spec.file.path
        remedy = "Mend landmarks in the manifest, or export the bundle again"
        found = self._network.input_shape
        wanted = (1, *shape)
        if len(found) != 4 or any(size not in (None, want) for size, want in zip(found, wanted, strict=True)):
            raise MienError(f"{name} takes {found}, the manifest says {wanted}", remedy)
        wanted_sizes = {self._spec.output: 2 * POINTS}
        if self._spec.confidence_output is not None:
            wanted_sizes[self._spec.confidence_output] = POINTS
        for output in wanted_sizes.keys() - set(self._network.output_names):
            raise MienError(f"{name} has no output {output!r}", remedy)
        outputs = self._network.run(np.zeros((1, *shape), np.float32))
        for output, size in wanted_sizes.items():
            if outputs[output].size != size:
                raise MienError(f"{name} gives {outputs[output].size} numbers for a face instead of {size}", remedy)
        if self._spec.crop.kind in ("outer", "inner"):
            raise MienError(f"landmarks.crop {self._spec.crop.kind!r} would need the landmarks themselves", remedy)
