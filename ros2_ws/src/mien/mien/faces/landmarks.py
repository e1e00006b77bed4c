"""68 facial landmarks from a bundle's network: what the crops `outer` and `inner` are cut by."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.bundle import LandmarksSpec
from mien.errors import MienError
from mien.faces.crop import crop_square, write_crop
from mien.faces.detector import Box, Image
from mien.networks import landmarks_model
from mien.runtime.backend import Array, BackendOptions, load_network

POINTS = 68
TRUSTED_FROM = 0.5
"""A face's landmarks are used and published from this mean confidence on."""


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
        points = self._run(self._batch[: len(boxes)])
        corners = np.array([(square.x, square.y) for square in squares], np.float32)
        sides = np.array([(square.width, square.height) for square in squares], np.float32)
        points = points * sides[:, None] + corners[:, None]
        return Landmarks(points, np.ones(points.shape[:2], np.float32))

    def _run(self, batch: Array) -> Array:
        """Points 0…1 across each crop, float32 (N, 68, 2)."""
        points = np.empty((len(batch), POINTS, 2), np.float32)
        step = 1 if self._one_by_one else len(batch)
        for i in range(0, len(batch), step):
            part = batch[i : i + step]
            points[i : i + step] = self._network.run(part)[self._spec.output].reshape(len(part), POINTS, 2)
        return points

    def _check(self, shape: tuple[int, ...]) -> None:
        name = self._spec.file.path
        remedy = "Mend landmarks in the manifest, or export the bundle again"
        found = self._network.input_shape
        wanted = (1, *shape)
        if len(found) != 4 or any(size not in (None, want) for size, want in zip(found, wanted, strict=True)):
            raise MienError(f"{name} takes {found}, the manifest says {wanted}", remedy)
        if self._spec.output not in self._network.output_names:
            raise MienError(f"{name} has no output {self._spec.output!r}", remedy)
        numbers = self._network.run(np.zeros((1, *shape), np.float32))[self._spec.output].size
        if numbers != 2 * POINTS:
            raise MienError(f"{name} gives {numbers} numbers for a face instead of {2 * POINTS}", remedy)
        if self._spec.crop.kind in ("outer", "inner"):
            raise MienError(f"landmarks.crop {self._spec.crop.kind!r} would need the landmarks themselves", remedy)
