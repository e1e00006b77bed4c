"""The 68 landmarks of the iBUG scheme as vertices of the mesh, with what hides them.

Scheme: C. Sagonas and others, "300 Faces in-the-Wild Challenge", 2013. Right and left are the person's own; the points
are exact: they are vertices, so they move with shape, expression and pose. The contour (the first 17) is fixed to the
skin too: it does not slide along the visible outline when the head turns, as annotators of photographs let it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.data.synthetic.assets import HeadAssets
from trainer.data.synthetic.camera import Camera

_BY_PART = {
    "jaw": (5566, 269, 5238, 5242, 5240, 893, 891, 914, 747, 7616, 7593, 7595, 11849, 11851, 11847, 7038, 12163),
    "right_brow": (232, 231, 229, 230, 236),
    "left_brow": (7008, 7003, 7002, 7004, 7005),
    "nose_bridge": (133, 131, 164, 5054),
    "nose_base": (286, 314, 343, 7077, 7055),
    "right_eye": (24, 0, 54, 6769, 47, 41),
    "left_eye": (13365, 6838, 6784, 6808, 6825, 6831),
    "outer_lip": (402, 5354, 450, 455, 7210, 11956, 7162, 7130, 7241, 5337, 486, 370),
    "inner_lip": (434, 471, 474, 7227, 7194, 7265, 493, 518),
}
"""Vertices of MakeHuman's base mesh, in the order of the scheme."""

SOURCE_VERTICES = np.array([vertex for part in _BY_PART.values() for vertex in part], np.int32)
LANDMARKS = 68
_TOLERANCE = 0.09  # decimetres: a landmark this little behind what is drawn is still seen


def landmark_vertices(assets: HeadAssets) -> NDArray[np.int32]:
    """The landmarks' vertices in the reduced mesh, int32 (68,)."""
    return np.searchsorted(assets.source_vertex, SOURCE_VERTICES).astype(np.int32)


def locate_landmarks(
    points: NDArray[np.float32], camera: Camera, distance: NDArray[np.float32], side: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where the landmarks are in the picture and which of them can be seen.

    Args:
        points: float32 (68, 3), their positions, decimetres.
        camera: that took the picture.
        distance: float32 (n, n), of what is drawn, decimetres along the axis of view.
        side: of the picture, pixels.

    Returns:
        float32 (68, 2), pixels, possibly outside; and bool (68,): inside, and nothing drawn in front: neither the face
        itself, nor hair, glasses or mask.
    """
    pixels, depth = camera.project(points, side)
    inside = ((pixels > -0.5) & (pixels < side - 0.5)).all(axis=1)
    scale = distance.shape[0] / side
    column, row = np.clip(np.rint((pixels.T + 0.5) * scale - 0.5), 1, distance.shape[0] - 2).astype(int)
    # The farthest of the neighbours: at an outline the point itself may fall on a pixel of the background.
    around = np.stack([distance[row + dy, column + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
    return pixels.astype(np.float32), inside & (depth <= around.max(axis=0) + _TOLERANCE)
