"""Who a face belongs to, as numbers: a quality gate, alignment by five points and the identity network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.bundle import IdentitySpec
from mien.faces.detector import Box, Image
from mien.runtime.backend import Array, BackendOptions


def quality_problem(image: Image, box: Box, landmarks: NDArray[np.float32] | None, confidence: float) -> str:
    """Why a face is not fit to be identified or enrolled, for people to read; empty when it is.

    Args:
        image: uint8 (H, W, 3) BGR or (H, W) grey.
        box: of the face, pixels.
        landmarks: float32 (5, 2) or (68, 2), pixels, or None: without them no face is fit.
        confidence: of the detector, 0 to 1.
    """
    raise NotImplementedError


class IdentityNetwork:
    """Turns faces into identity embeddings; used by one thread at a time, off the camera path (about 14 ms a face).

    Args:
        model: bytes of the ONNX file.
        spec: its input, output and crop.
        options: what runs it.

    Raises:
        MienError: the network cannot be loaded, or does not fit its spec.
    """

    def __init__(self, model: bytes, spec: IdentitySpec, options: BackendOptions) -> None:
        raise NotImplementedError

    @property
    def size(self) -> int:
        """Length of an embedding."""
        raise NotImplementedError

    @property
    def runtime(self) -> str:
        """What runs the network, for people."""
        raise NotImplementedError

    @property
    def problem(self) -> str | None:
        """Why it does not run where it should; None when all is well."""
        raise NotImplementedError

    def embed(self, image: Image, box: Box, landmarks: NDArray[np.float32]) -> Array:
        """The identity of a face that passed `quality_problem`.

        Args:
            image: uint8 (H, W, 3) BGR or (H, W) grey.
            box: of the face, pixels.
            landmarks: float32 (5, 2) or (68, 2), pixels.

        Returns:
            float32 (size,) of length 1: the dot product of two is their similarity, −1 to 1.

        Raises:
            MienError: the image has no pixels.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Free the network."""
        raise NotImplementedError
