"""Pictures of simple solid objects: a stand-in for a generic data set such as ImageNet."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.detector import Image
from trainer.data.synthetic import chance
from trainer.data.synthetic.degrade import degrade

OBJECTS = ("ball", "box", "cone", "cylinder", "ring", "star", "cross", "crescent", "ladder", "flower")

_CANVAS = 128
Points = NDArray[np.float64]


def draw_object(label: str, side: int, random: np.random.Generator) -> Image:
    """One object in a random place, size, turn, colour, texture and light, before a random background.

    Args:
        label: one of `OBJECTS`.
        side: of the picture, pixels.
        random: drawn from.

    Returns:
        uint8 (side, side, 3), BGR.
    """
    shape = np.zeros((_CANVAS, _CANVAS), np.float32)
    for outline, value in _outlines(label, random):
        cv2.fillPoly(shape, [np.rint(outline).astype(np.int32)], value)
    turn = cv2.getRotationMatrix2D((_CANVAS / 2, _CANVAS / 2), random.uniform(0, 360), random.uniform(0.6, 1.5))
    turn[0, 2] += random.uniform(-20, 20)
    turn[1, 2] += random.uniform(-20, 20)
    shape = np.asarray(cv2.warpAffine(shape, turn, (_CANVAS, _CANVAS)), np.float32)
    cover = cv2.resize(shape, (side, side), interpolation=cv2.INTER_AREA)[:, :, None]
    # Thickness grows from the edge inwards: its slope is the surface's, which the light shades.
    inside = cv2.distanceTransform((shape > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    height = cv2.GaussianBlur(np.sqrt(inside), (0, 0), 2.0)
    slope_y, slope_x = np.gradient(height)
    angle = random.uniform(0, 2 * np.pi)
    shade = np.clip(0.75 - 0.8 * (np.cos(angle) * slope_x + np.sin(angle) * slope_y), 0.1, 1.3)
    colour = shade[:, :, None] * random.uniform(0.1, 1.0, 3)
    if random.random() < 0.4:
        y, x = np.mgrid[0:_CANVAS, 0:_CANVAS]
        stripes = np.sin((x * random.uniform(-1, 1) + y * random.uniform(-1, 1)) * random.uniform(0.1, 0.8)) > 0
        colour = np.where(stripes[:, :, None], colour, colour * random.uniform(0.2, 0.8, 3))
    small = cv2.resize(colour.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    picture = small * cover + (1 - cover) * chance.wild_background(random, side)
    return degrade(np.asarray(picture, np.float32), chance.camera_faults(random, 0.7), random)


def _outlines(label: str, random: np.random.Generator) -> list[tuple[Points, float]]:
    """Closed lines on the canvas with what they fill in: 1 the object, 0 a hole."""
    middle, size = _CANVAS / 2, 34.0
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    tall = random.uniform(1.0, 1.6)
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    if label == "ball":
        parts = [(circle, 1.0)]
    elif label == "box":
        parts = [(square * [1, 1 / tall], 1.0)]
    elif label == "cone":
        parts = [(np.array([[0, -1.3], [0.9, 1], [-0.9, 1]]), 1.0)]
    elif label == "cylinder":
        caps = [circle * [0.55, 0.25] + np.array([0.0, y]) for y in (-tall, tall)]
        parts = [(square * [0.55, tall], 1.0), *((cap, 1.0) for cap in caps)]
    elif label == "ring":
        parts = [(circle * 1.15, 1.0), (circle * random.uniform(0.5, 0.75), 0.0)]
    elif label == "star":
        rays = int(random.integers(5, 8))
        corner = np.arange(2 * rays) * np.pi / rays
        radius = np.where(np.arange(2 * rays) % 2, 0.5, 1.25)
        parts = [(np.stack([np.cos(corner), np.sin(corner)], axis=1) * radius[:, None], 1.0)]
    elif label == "cross":
        width = random.uniform(0.2, 0.4)
        parts = [(square * [1.2, width], 1.0), (square * [width, 1.2], 1.0)]
    elif label == "crescent":
        parts = [(circle * 1.2, 1.0), (circle + np.array([random.uniform(0.4, 0.8), 0.0]), 0.0)]
    elif label == "ladder":
        parts = [(square * [0.13, 1.3] + np.array([x, 0.0]), 1.0) for x in (-0.6, 0.6)]
        parts += [
            (square * [0.6, 0.09] + np.array([0.0, y]), 1.0) for y in np.linspace(-1, 1, int(random.integers(3, 6)))
        ]
    else:
        petals = int(random.integers(5, 9))
        turns = np.arange(petals) * 2 * np.pi / petals
        parts = [(circle * 0.38 + 0.8 * np.array([np.cos(t), np.sin(t)]), 1.0) for t in turns]
        parts += [(circle * 0.42, 1.0), (circle * 0.2, 0.0)]
    return [(points * size + middle, value) for points, value in parts]
