"""The 68 landmarks where annotators of photographs put them (iBUG 300-W), for renders that landmarks are learned from.

Unlike `landmarks`, whose points are all fixed to the skin, the brows' points lie on the brows as they are drawn, and
the contour (the first 17 but the chin) slides along the visible outline when the head turns: what a picture shows is
there to be found, where the hidden ear is can only be guessed. The brows' points lie on the upper edge. The contour's
places were chosen so that on average over 187 frontal renders they are about where two models that learned from
photographs see them, dlib's regression trees and the package's published network; the other vertices, over 220 renders,
by dlib alone (docs/results/landmarks.md).
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from trainer.data.synthetic.appearance import Appearance
from trainer.data.synthetic.assets import HeadAssets, load_assets
from trainer.data.synthetic.camera import Camera

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

_HALF_CONTOUR = np.array(
    [
        (-0.735, 7.326),
        (-0.700, 7.120),
        (-0.674, 6.943),
        (-0.642, 6.785),
        (-0.558, 6.636),
        (-0.461, 6.509),
        (-0.355, 6.372),
        (-0.187, 6.235),
        (0.0, 6.175),
    ]
)
"""From the person's right ear to the chin at rest, x and y, decimetres: the edge of the jaw, but its corner is cut and
the points beside the chin are nearer to it."""
_NOSE = (132, 135, 164, 294, 344, 313, 317, 7076, 7105)
_EYES = (24, 0, 54, 6769, 47, 41, 13365, 6838, 6784, 6808, 6825, 6831)
_MOUTH = (432, 5351, 450, 466, 7210, 11953, 7192, 7239, 7241, 492, 486, 484, 417, 472, 474, 7228, 7177, 7264, 493, 517)
"""Vertices of MakeHuman's base mesh."""

_EYE = np.array([0.308, 7.284])
"""Middle of the left eye at rest, x and y, decimetres, from which the shader draws the brows."""
_ALONG = np.array([1.15, 0.75, 0.2, -0.35, -0.85])
"""Of the right brow's points, from the temple: −1 is the drawn brow's end at the nose, 1 that at the temple."""
_UPPER_EDGE = 0.5
"""Of half a brow's thickness, which fades out beyond it."""
_MIDDLE = np.array([0.0, 6.95])
"""Of the face at rest, x and y: away from it the contour is looked for, and towards it its points slide."""
_SLIDE = np.linspace(0.06, 0.6, 10)
_CHIN = 8

Blend = tuple[Integers, Floats]
"""Points of the surface: vertices int32 (n, m) of an edge or a triangle each, and their shares float32 (n, m)."""


def annotate(vertices: Floats, appearance: Appearance, camera: Camera, roll: float) -> Floats:
    """Where an annotator would put the landmarks.

    Args:
        vertices: float32 (V, 3), with shape and expression, decimetres.
        appearance: says where the brows are.
        camera: that takes the picture.
        roll: of the head, degrees, clockwise in the picture.

    Returns:
        float32 (68, 3), points of the surface, decimetres.
    """
    contour = _outermost(_blended(vertices, _contour()), _blended(vertices, _slides()), camera, roll)
    brows = _blended(vertices, _brow_points(appearance))
    return np.concatenate([contour, brows, vertices[_numbers((*_NOSE, *_EYES, *_MOUTH))]])


def on_surface(assets: HeadAssets, places: NDArray[np.float64]) -> Blend:
    """The foremost points of the resting skin at places seen from the front.

    Args:
        assets: the head.
        places: float64 (n, 2), x and y, decimetres; where there is no skin, the nearest triangle is prolonged.
    """
    triangles = assets.corner_vertex[assets.triangles_of("skin")]
    corners = assets.positions[triangles].astype(np.float64)
    one, two = corners[:, 1, :2] - corners[:, 0, :2], corners[:, 2, :2] - corners[:, 0, :2]
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    is_front = (area > 1e-6) & (corners[:, :, 2].min(axis=1) > 0.2)
    triangles, corners, one, two, area = (values[is_front] for values in (triangles, corners, one, two, area))
    chosen, shares = [], []
    for place in places:
        x, y = (place - corners[:, 0, :2]).T
        second, third = (x * two[:, 1] - y * two[:, 0]) / area, (one[:, 0] * y - one[:, 1] * x) / area
        share = np.stack([1 - second - third, second, third], axis=1)
        inside = np.minimum(share.min(axis=1), 0)
        depth = (share * corners[:, :, 2]).sum(axis=1)
        best = np.lexsort([-depth, -np.maximum(inside, -1e6)])[0]
        chosen.append(triangles[best])
        shares.append(share[best])
    return np.array(chosen, np.int32), np.array(shares, np.float32)


def _blended(vertices: Floats, points: Blend) -> Floats:
    of, shares = points
    return np.asarray((vertices[of] * shares[:, :, None]).sum(axis=1), np.float32)


@cache
def _numbers(of_source: tuple[int, ...]) -> Integers:
    """Vertices of the base mesh in the reduced one."""
    return np.searchsorted(load_assets().source_vertex, of_source).astype(np.int32)


@cache
def _contour() -> Blend:
    """The contour of a face that is seen from the front, 17 points."""
    return on_surface(load_assets(), np.concatenate([_HALF_CONTOUR, _HALF_CONTOUR[-2::-1] * [-1, 1]]))


@cache
def _slides() -> Blend:
    """Where the contour's points may slide to: for each of the 17, one after the other, points towards the middle."""
    assets = load_assets()
    start = _blended(assets.positions, _contour())[:, :2].astype(np.float64)
    # Nearly level: the outline of a turned cheek runs from the eye to the chin as the jaw does.
    end = np.column_stack([np.zeros(17), 0.8 * start[:, 1] + 0.2 * _MIDDLE[1]])
    places = start[:, None] + _SLIDE[None, :, None] * (end - start)[:, None]
    return on_surface(assets, places.reshape(-1, 2))


@lru_cache(64)
def _brow_points(looks: Appearance) -> Blend:
    """The ten points on the upper edge of the brows that `brows` in skin.glsl draws, the person's right one first."""
    height = 0.215 + looks.brow_height + looks.brow_arch * (1 - _ALONG**2) + 0.018 * _ALONG
    height -= looks.brow_drop * np.maximum(_ALONG - 0.3, 0)
    toward_temple = np.clip((_ALONG + 0.3) / 1.45, 0, 1)
    narrowed = 1 - 0.65 * toward_temple**2 * (3 - 2 * toward_temple)
    height += _UPPER_EDGE * looks.brow_thickness * narrowed
    right = np.column_stack([-(_EYE[0] + 0.21 * _ALONG), _EYE[1] + height])
    return on_surface(load_assets(), np.concatenate([right, right[::-1] * [-1, 1]]))


def _outermost(contour: Floats, slides: Floats, camera: Camera, roll: float) -> Floats:
    """Each contour point, or the one on its way to the middle that the picture shows farther out."""
    candidates = np.concatenate([contour[:, None], slides.reshape(17, -1, 3)], axis=1)
    seen = camera.project(candidates.reshape(-1, 3), 1)[0].reshape(17, -1, 2)
    rest = _blended(load_assets().positions, _contour())[:, :2] - _MIDDLE
    turn = np.radians(roll)
    right, down = rest[:, 0], -rest[:, 1]
    outward = np.column_stack([right * np.cos(turn) - down * np.sin(turn), right * np.sin(turn) + down * np.cos(turn)])
    farthest = (seen * outward[:, None]).sum(axis=2).argmax(axis=1)
    farthest[_CHIN] = 0
    return np.asarray(candidates[np.arange(17), farthest], np.float32)
