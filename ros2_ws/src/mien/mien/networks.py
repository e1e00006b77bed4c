"""The networks of a bundle as backends take them.

What runs them and what builds their engines ahead both get them from here, so that engines are found again.
"""

from __future__ import annotations

import math
from functools import partial

from mien.bundle import Bundle, IdentitySpec, LandmarksSpec, Precision
from mien.errors import MienError
from mien.runtime.backend import Model

LARGEST_BATCH = 16
"""Faces that go through a network in one call at most."""
_DETECTOR_STEP = 32
"""The detector's largest stride: its input's sides are multiples of it, in pixels."""


def backbone_model(bundle: Bundle, precision: Precision | None) -> Model:
    """The expression network up to its embedding.

    Args:
        bundle: the opened bundle.
        precision: the one that will be asked for, or None.

    Raises:
        MienError: the bundle has no file of that precision.
    """
    spec = bundle.manifest.backbone
    if precision is not None and precision not in spec.files:
        raise MienError(
            f"{bundle.path} has no backbone in {precision}, only in {', '.join(spec.files)}",
            f"Choose one of these, or export the bundle again with --precision {precision}",
        )
    return Model(
        name="backbone",
        path=str(bundle.path / next(iter(spec.files.values())).path),
        files={precision: partial(bundle.read, file) for precision, file in spec.files.items()},
        largest_batch=LARGEST_BATCH,
        preprocessing=spec.input,
    )


def detector_model(onnx: bytes, width: int, height: int) -> Model:
    """The YuNet face detector for images shrunk to one size in pixels, at its lower right padded to whole cells."""
    rows, columns = (math.ceil(side / _DETECTOR_STEP) * _DETECTOR_STEP for side in (height, width))
    return Model("detector", "the YuNet face detector", {"fp32": lambda: onnx}, input_size=(rows, columns))


def landmarks_model(onnx: bytes, spec: LandmarksSpec) -> Model:
    """The network that locates 68 landmarks."""
    return _of_faces("landmarks", onnx, spec)


def identity_model(onnx: bytes, spec: IdentitySpec) -> Model:
    """The network that tells faces apart."""
    return _of_faces("identity", onnx, spec)


def _of_faces(name: str, onnx: bytes, spec: LandmarksSpec | IdentitySpec) -> Model:
    path = f"the {name} model {spec.file.path}"
    return Model(name, path, {"fp32": lambda: onnx}, LARGEST_BATCH, preprocessing=spec.input)
