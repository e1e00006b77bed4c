"""Which faces are fit to be identified or enrolled: what the identity network cannot tell apart is not shown to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.bundle import IdentitySpec
from mien.faces.detector import Image
from mien.faces.identity import align, five_points, placement

# Each limit is where rendered faces begin to resemble their own person much less: docs/results/identity.md.
LOWEST_CONFIDENCE = 0.8
SMALLEST_EYE_DISTANCE_PX = 14.0
FARTHEST_TURN = 0.35
"""Of the nose tip from the middle between the eyes, along the line through them, in eye distances: about 35 degrees."""
TILT = 0.3, 0.8
"""Where the nose tip is between eyes (0) and mouth (1); it is at 0.4 to 0.7 for a head tilted by up to 25 degrees."""
LARGEST_PART_OUTSIDE = 0.2
DARKEST, BRIGHTEST = 30.0, 230.0
LEAST_CONTRAST = 10.0
"""Standard deviation, grey levels."""
LEAST_SHARPNESS = 0.12
"""Standard deviation of the Laplacian in that of the grey levels, on the aligned face."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """A face that is not fit, and why, for people to read."""

    reason: str


def fit_face(
    image: Image, landmarks: NDArray[np.float32] | None, confidence: float, spec: IdentitySpec
) -> Image | Unfit:
    """A face as the identity network takes it, or why it is not fit.

    Args:
        image: uint8 (H, W, 3) BGR or (H, W) grey, with pixels.
        landmarks: float32 (5, 2) or (68, 2), pixels, or None.
        confidence: of the detector, 0 to 1.
        spec: of the network.

    Returns:
        uint8 (height, width, 3) or (height, width), or the reason against it.
    """
    if landmarks is None or not np.isfinite(landmarks).all():
        return Unfit("it has no landmarks")
    if confidence < LOWEST_CONFIDENCE:
        return Unfit(f"the detector is unsure of it ({confidence:.2f})")
    points = five_points(landmarks)
    problem = _shape_problem(points) or _frame_problem(image, points, spec)
    if problem:
        return Unfit(problem)
    face = align(image, points, spec)
    problem = _light_problem(face)
    return Unfit(problem) if problem else face


class Shape(NamedTuple):
    """What five points say of a face: pixels between the eyes, turn (in eye distances) and tilt (0 eyes, 1 mouth)."""

    eye_distance_px: float
    turn: float
    tilt: float


class Light(NamedTuple):
    """Mean and standard deviation of an aligned face's grey levels, and its sharpness in that deviation."""

    brightness: float
    contrast: float
    sharpness: float


def shape_of(points: NDArray[np.float32]) -> Shape:
    """Of float32 (5, 2) points. Turn and tilt are not finite where eyes or mouth are in one place."""
    right, left, nose = points[:3].astype(np.float64)
    between, mouth, eyes = (right + left) / 2, points[3:].mean(axis=0), left - right
    distance = float(np.hypot(*eyes))
    if distance == 0:
        return Shape(0.0, np.inf, np.inf)
    along = eyes / distance
    down = np.array([-along[1], along[0]])
    height = float((mouth - between) @ down)
    tilt = float((nose - between) @ down) / height if height > 0 else np.inf
    return Shape(distance, abs(float((nose - between) @ along)) / distance, tilt)


def light_of(face: Image) -> Light:
    """Of an aligned face: of its middle, without hair and background."""
    grey = face if face.ndim == 2 else cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)
    middle = grey[grey.shape[0] // 4 : -grey.shape[0] // 8, grey.shape[1] // 5 : -grey.shape[1] // 5].astype(np.float32)
    contrast = float(middle.std())
    sharpness = float(cv2.Laplacian(middle, cv2.CV_32F).std()) / contrast if contrast > 0 else 0.0
    return Light(float(middle.mean()), contrast, sharpness)


def _shape_problem(points: NDArray[np.float32]) -> str:
    shape = shape_of(points)
    if shape.eye_distance_px < SMALLEST_EYE_DISTANCE_PX:
        return f"it is too small: {shape.eye_distance_px:.0f} pixels between the eyes"
    return "" if shape.turn <= FARTHEST_TURN and TILT[0] <= shape.tilt <= TILT[1] else "it looks away"


def _frame_problem(image: Image, points: NDArray[np.float32], spec: IdentitySpec) -> str:
    height, width = image.shape[:2]
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    corners = np.array([[[0, 0], [spec.input.width, 0], [spec.input.width, spec.input.height], [0, spec.input.height]]])
    shown = cv2.transform(corners.astype(np.float64), cv2.invertAffineTransform(placement(points, spec)))[0]
    inside, _ = cv2.intersectConvexConvex(shown.astype(np.float32), frame)
    outside = 1 - inside / cv2.contourArea(shown.astype(np.float32))
    return f"{outside:.0%} of it is outside the image" if outside > LARGEST_PART_OUTSIDE else ""


def _light_problem(face: Image) -> str:
    light = light_of(face)
    if not DARKEST <= light.brightness <= BRIGHTEST:
        return f"it is too {'dark' if light.brightness < DARKEST else 'bright'} ({light.brightness:.0f} of 255)"
    if light.contrast < LEAST_CONTRAST:
        return f"it has too little contrast ({light.contrast:.0f} grey levels)"
    return f"it is blurred (sharpness {light.sharpness:.2f})" if light.sharpness < LEAST_SHARPNESS else ""
