"""Glasses as a mesh: two rings, a bridge, two temples and two lenses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_AROUND = 28  # corners of a ring
_ACROSS = 5  # corners of its section
PART_FRAME, PART_LENS = 7.0, 8.0


class Glasses(NamedTuple):
    """A mesh: float32 (n, 3) positions and normals, float32 (n,) part numbers, int32 (m, 3) triangles, lenses last."""

    positions: Floats
    normals: Floats
    parts: Floats
    triangles: NDArray[np.int32]


def make_glasses(
    left_eye: Floats,
    right_eye: Floats,
    ear_z: float,
    roundness: float,
    thickness: float,
    scale: tuple[float, float] = (1.0, 1.0),
) -> Glasses:
    """Glasses that fit a head.

    Args:
        left_eye: float32 (3,), middle of the person's left eyeball, decimetres.
        right_eye: likewise.
        ear_z: where the temples end.
        roundness: 0 rectangular … 1 round.
        thickness: of the frame, decimetres.
        scale: width and height of the lenses, 1 as usual.
    """
    gap = float(left_eye[0] - right_eye[0])
    width, height = 0.40 * gap * scale[0], 0.30 * gap * (1 + 0.25 * roundness) * scale[1]
    paths: list[tuple[Floats, bool]] = []
    lenses: list[Floats] = []
    for eye in (left_eye, right_eye):
        ring = _ring(eye + _vector([0, -0.02, 0.30]), width, height, roundness)
        paths.append((ring, True))
        lenses.append(ring)
    inner = [lens[np.abs(lens[:, 0] - (left_eye[0] + right_eye[0]) / 2).argmin()] for lens in lenses]
    paths.append((np.linspace(inner[0], inner[1], 5, dtype=np.float32) + _vector([0, 0.06, 0.03]), False))
    for lens, side in zip(lenses, (1, -1), strict=True):
        hinge = lens[(side * lens[:, 0]).argmax()] + _vector([0, 0.08, 0])
        end = _vector([hinge[0] + side * 0.16, hinge[1] + 0.02, ear_z])
        paths.append((np.linspace(hinge, end, 6, dtype=np.float32), False))
    return _assemble(paths, lenses, thickness)


def _vector(values: object) -> Floats:
    return np.asarray(values, np.float32)


def _ring(middle: Floats, width: float, height: float, roundness: float) -> Floats:
    """A superellipse, float32 (_AROUND, 3), bent a little around the face."""
    angle = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    power = 2 / (5 - 3 * roundness)
    x = width * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    y = height * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    outward = np.maximum(x * np.sign(middle[0]), 0)
    return np.asarray(middle + np.stack([x, y, -0.35 * outward], axis=1), np.float32)


def _assemble(paths: list[tuple[Floats, bool]], lenses: list[Floats], thickness: float) -> Glasses:
    positions: list[Floats] = []
    normals: list[Floats] = []
    triangles: list[NDArray[np.int64]] = []
    count = 0
    for path, closed in paths:
        tube, outward, faces = _tube(path, closed, thickness)
        positions.append(tube)
        normals.append(outward)
        triangles.append(faces + count)
        count += len(tube)
    frame_corners = count
    for ring in lenses:
        positions += [ring, ring.mean(axis=0, keepdims=True)]
        normals.append(np.tile(_vector([0, 0, 1]), (len(ring) + 1, 1)))
        rim = np.arange(len(ring))
        triangles.append(np.stack([rim, np.roll(rim, -1), np.full_like(rim, len(ring))], axis=1) + count)
        count += len(ring) + 1
    parts = np.full(count, PART_LENS, np.float32)
    parts[:frame_corners] = PART_FRAME
    return Glasses(
        np.concatenate(positions), np.concatenate(normals), parts, np.concatenate(triangles).astype(np.int32)
    )


def _tube(path: Floats, closed: bool, thickness: float) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """A tube around a path: corners, normals and triangles."""
    ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0) if closed else np.gradient(path, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    helper = np.where(np.abs(ahead[:, 2:]) < 0.9, _vector([[0, 0, 1]]), _vector([[0, 1, 0]]))
    first = np.cross(ahead, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(ahead, first)
    angle = np.linspace(0, 2 * np.pi, _ACROSS, endpoint=False)[None, :, None]
    normals = np.cos(angle) * first[:, None] + np.sin(angle) * second[:, None]
    tube = path[:, None] + thickness * normals
    along = np.arange(len(path) if closed else len(path) - 1)[:, None]
    across = np.arange(_ACROSS)[None]
    corner = along * _ACROSS + across
    right = along * _ACROSS + (across + 1) % _ACROSS
    ahead_of, ahead_right = ((other + _ACROSS) % (len(path) * _ACROSS) for other in (corner, right))
    quads = [np.stack([corner, right, ahead_of], -1), np.stack([right, ahead_right, ahead_of], -1)]
    faces = np.concatenate([quad.reshape(-1, 3) for quad in quads])
    return tube.reshape(-1, 3).astype(np.float32), normals.reshape(-1, 3).astype(np.float32), faces
