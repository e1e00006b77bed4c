"""Who a face belongs to, as numbers: five points, alignment by them, and the identity network."""

from __future__ import annotations

from contextlib import ExitStack

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.bundle import IdentitySpec
from mien.errors import MienError
from mien.faces.crop import write_pixels
from mien.faces.detector import Image
from mien.networks import identity_model
from mien.runtime.backend import Array, BackendOptions, load_network

_OF_68 = ((36, 42), (42, 48), (30, 31), (48, 49), (54, 55))
"""Which of 68 landmarks (iBUG 300-W) are, on average, right eye, left eye, nose tip, right and left mouth corner."""


def five_points(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Right eye, left eye, nose tip, right and left mouth corner, float32 (5, 2), of landmarks (5, 2) or (68, 2)."""
    if len(landmarks) == len(_OF_68):
        return landmarks
    return np.stack([landmarks[first:end].mean(axis=0) for first, end in _OF_68])


def placement(landmarks: NDArray[np.float32], spec: IdentitySpec) -> NDArray[np.float64]:
    """How a face is turned, scaled and moved into the network's input: the best fit of five points, least squares.

    Args:
        landmarks: float32 (5, 2) or (68, 2), finite, pixels of the image.
        spec: where the points are to be.

    Returns:
        float64 (2, 3): pixels of the image to pixels of the input. Not finite where the points are one.
    """
    # As complex numbers a turn with a scale is one factor: w ≈ a·z + b.
    points, wanted = five_points(landmarks).astype(np.float64), np.array(spec.points)
    source, target = points[:, 0] + 1j * points[:, 1], wanted[:, 0] + 1j * wanted[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        centered = source - source.mean()
        factor = (centered.conj() @ target) / np.square(np.abs(centered)).sum()
        moved = target.mean() - factor * source.mean()
    return np.array([[factor.real, -factor.imag, moved.real], [factor.imag, factor.real, moved.imag]])


def align(image: Image, landmarks: NDArray[np.float32], spec: IdentitySpec) -> Image:
    """A face as the network sees it.

    Beyond the image its border pixels are repeated. A face that shrinks to less than half is sampled at twice the
    wanted size, then averaged, like every crop.

    Args:
        image: uint8 (H, W, 3) BGR or (H, W) grey.
        landmarks: float32 (5, 2) or (68, 2), pixels of the image.
        spec: size of the input, and where the points are to be.

    Returns:
        uint8 (height, width, 3) or (height, width).

    Raises:
        MienError: the image has no pixels, or the landmarks are not finite or all the same point.
    """
    is_finite = image.size > 0 and np.isfinite(landmarks).all()
    matrix = placement(landmarks, spec) if is_finite else np.full((2, 3), np.nan)
    if not np.isfinite(matrix).all():
        raise MienError("A face cannot be aligned: its image or its landmarks are empty", "Leave it out")
    fine = 2 if np.hypot(matrix[0, 0], matrix[1, 0]) < 0.5 else 1
    size = spec.input.width, spec.input.height
    fine_size = fine * size[0], fine * size[1]
    if fine > 1:  # pixel centres: those of the fine picture lie half a pixel farther in
        matrix = fine * matrix + [[0, 0, (fine - 1) / 2]] * 2
    face = cv2.warpAffine(image, matrix, fine_size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(face, size, interpolation=cv2.INTER_AREA) if fine > 1 else face, np.uint8)


class IdentityNetwork:
    """Turns faces into identity embeddings; used by one thread at a time, off the camera path (about 14 ms a face).

    Args:
        model: bytes of the ONNX file.
        spec: its input, output and where a face's points are to be.
        options: what runs it.

    Attributes:
        spec: as given.

    Raises:
        MienError: the network cannot be loaded, or does not fit its spec.
    """

    def __init__(self, model: bytes, spec: IdentitySpec, options: BackendOptions) -> None:
        self.spec = spec
        self._network = load_network(identity_model(model, spec), options)
        self._batch = np.zeros((1, spec.input.depth, spec.input.height, spec.input.width), np.float32)
        with ExitStack() as on_error:
            on_error.callback(self._network.close)
            self._check()
            on_error.pop_all()

    @property
    def id(self) -> str:
        """Which network its embeddings come from: those of different ones cannot be compared."""
        return self.spec.file.sha256

    @property
    def runtime(self) -> str:
        """What runs the network, for people."""
        return self._network.runtime

    @property
    def problem(self) -> str | None:
        """Why it does not run where it should; None when all is well."""
        return self._network.problem

    def embed(self, face: Image) -> Array:
        """The identity of a face.

        Args:
            face: uint8, from `align`.

        Returns:
            float32 (spec.size,) of length 1: the dot product of two is their similarity, −1 to 1.
        """
        write_pixels(face, self.spec.input, self._batch[0])
        embedding = self._network.run(self._batch)[self.spec.output].reshape(-1)
        return np.asarray(embedding / (float(np.linalg.norm(embedding)) or 1.0), np.float32)

    def close(self) -> None:
        """Free the network."""
        self._network.close()

    def _check(self) -> None:
        name, found, wanted = self.spec.file.path, self._network.input_shape, self._batch.shape
        remedy = "Mend identity in the manifest, or export the bundle again"
        if len(found) != 4 or any(size not in (None, want) for size, want in zip(found, wanted, strict=True)):
            raise MienError(f"{name} takes {found}, the manifest says {wanted}", remedy)
        if self.spec.output not in self._network.output_names:
            raise MienError(f"{name} has no output {self.spec.output!r}", remedy)
        numbers = self._network.run(self._batch)[self.spec.output].size
        if numbers != self.spec.size:
            raise MienError(f"{name} gives {numbers} numbers for a face instead of {self.spec.size}", remedy)
