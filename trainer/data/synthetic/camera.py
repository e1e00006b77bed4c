"""Where the camera stands and how the head is turned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_NEAR, _FAR = 2.0, 60.0
FACE_HEIGHT = 1.5
"""Brows to chin of the base mesh, decimetres: what `share` refers to."""


class Shot(NamedTuple):
    """One view of a head.

    Attributes:
        yaw: degrees, positive turns the face to the person's left, which is the right side of the image.
        pitch: degrees, positive looks up.
        roll: degrees, positive tilts the head towards the person's left shoulder: clockwise in the image.
        distance: of the camera from the face, decimetres; nearer means stronger perspective.
        share: height of the face (brows to chin, of a head of usual size) as a share of the image's side.
        shift_x: where the middle of the face is, from the image's middle to the right, as a share of its side.
        shift_y: likewise, downwards.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    distance: float = 9.0
    share: float = 0.55
    shift_x: float = 0.0
    shift_y: float = 0.0


class Camera(NamedTuple):
    """Matrices as OpenGL takes them: float64 (4, 4), world to view and view to clip coordinates."""

    view: Matrix
    projection: Matrix

    def project(self, points: NDArray[np.float32], side: int) -> tuple[Matrix, NDArray[np.float64]]:
        """Where points are seen.

        Args:
            points: float32 (n, 3), decimetres.
            side: of the image, pixels.

        Returns:
            float64 (n, 2), pixels as OpenCV counts them (the middle of the first pixel is 0), and float64 (n,),
            distance along the axis of view, decimetres.
        """
        seen = points @ self.view[:3, :3].T + self.view[:3, 3]
        clip = np.column_stack([seen, np.ones(len(seen))]) @ self.projection.T
        flat = clip[:, :2] / clip[:, 3:]
        pixels = (flat * [1, -1] + 1) / 2 * side - 0.5
        return pixels, -seen[:, 2]

    def depth_to_distance(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Distance along the axis of view, decimetres, of values of the depth buffer, 0 to 1."""
        return np.asarray(_FAR * _NEAR / (_FAR - depth * (_FAR - _NEAR)), np.float32)


def make_camera(shot: Shot, middle: NDArray[np.float32]) -> Camera:
    """The camera for a shot of a head.

    Args:
        shot: pose and framing.
        middle: float32 (3,), middle of the face, decimetres.
    """
    yaw, pitch, roll = np.radians([shot.yaw, -shot.pitch, -shot.roll])
    around_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    around_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    around_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    view = np.eye(4)
    view[:3, :3] = around_z @ around_x @ around_y
    view[:3, 3] = -view[:3, :3] @ middle - [0, 0, shot.distance]
    focal = 2 * shot.share * shot.distance / FACE_HEIGHT
    projection = np.array(
        [
            [focal, 0, -2 * shot.shift_x, 0],
            [0, focal, 2 * shot.shift_y, 0],
            [0, 0, -(_FAR + _NEAR) / (_FAR - _NEAR), -2 * _FAR * _NEAR / (_FAR - _NEAR)],
            [0, 0, -1, 0],
        ]
    )
    return Camera(view, projection)
