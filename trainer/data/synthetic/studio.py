"""A scene becomes a picture with exact labels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mien.faces.detector import Image
from trainer.data.synthetic.annotated import annotate
from trainer.data.synthetic.appearance import Light, Worn
from trainer.data.synthetic.assets import combine, load_assets
from trainer.data.synthetic.camera import Shot, make_camera
from trainer.data.synthetic.degrade import Degradation, Hand, degrade, draw_hand
from trainer.data.synthetic.expression import Expression, creases_of
from trainer.data.synthetic.glasses import Glasses, make_glasses
from trainer.data.synthetic.landmarks import landmark_vertices, locate_landmarks
from trainer.data.synthetic.person import Person
from trainer.data.synthetic.renderer import Renderer

Floats = NDArray[np.float32]

_MIDDLE_OF_FACE = np.array([0, -0.35, -0.3], np.float32)  # from the middle between the eyes, decimetres


@dataclass(frozen=True)
class Scene:
    """Everything that decides what a picture shows.

    Attributes:
        person: who.
        expression: what the face does.
        shot: from where.
        light: in which light.
        worn: glasses, face mask.
        hand: before the face, or None.
        background: float32 (side, side, 3), BGR, 0 to 1.
        degradation: faults of camera and compression.
        noise_seed: of the sensor's noise.
        is_annotated: whether landmarks are where annotators put them (`annotated`), not all fixed to the skin.
    """

    person: Person
    expression: Expression
    shot: Shot
    light: Light
    background: Floats
    worn: Worn = field(default_factory=Worn)
    hand: Hand | None = None
    degradation: Degradation = field(default_factory=Degradation)
    noise_seed: int = 0
    is_annotated: bool = False


@dataclass(frozen=True)
class Shown:
    """A picture and where the face is in it.

    Attributes:
        image: uint8 (side, side, 3), BGR.
        landmarks: float32 (68, 2), pixels; may be outside.
        visible: bool (68,): inside the picture and not covered.
    """

    image: Image
    landmarks: Floats
    visible: NDArray[np.bool_]


class Studio:
    """Makes pictures of scenes; used by one thread at a time.

    Args:
        side: of the pictures, pixels.

    Raises:
        MienError: the head cannot be fetched, or OpenGL cannot be had without a screen.
    """

    def __init__(self, side: int) -> None:
        self.side = side
        self.assets = load_assets()
        self._renderer = Renderer(self.assets, side)
        self._landmarks = landmark_vertices(self.assets)
        self._eyes = [self.assets.vertices_of(f"{which}_eye") for which in ("left", "right")]

    def shoot(self, scene: Scene) -> Shown:
        """Make a picture."""
        vertices = scene.person.vertices + combine(scene.expression.units, self.assets.units)
        left, right = (scene.person.vertices[eye].mean(axis=0) for eye in self._eyes)
        camera = make_camera(scene.shot, (left + right) / 2 + _MIDDLE_OF_FACE)
        glasses = self._glasses(scene, left, right)
        creases = creases_of(scene.expression.units)
        picture = self._renderer.draw(
            vertices, camera, scene.person.appearance, scene.light, creases, scene.worn, glasses
        )
        colour = picture.colour + (1 - picture.cover) * scene.background
        marks = vertices[self._landmarks]
        if scene.is_annotated:
            marks = annotate(vertices, scene.person.appearance, camera, scene.shot.roll)
        points, visible = locate_landmarks(marks, camera, picture.distance, self.side)
        if scene.hand is not None:
            over, cover = draw_hand(scene.hand, self.side)
            colour = over * cover + (1 - cover) * colour
            column, row = np.clip(np.rint(points.T), 0, self.side - 1).astype(int)
            visible &= cover[row, column, 0] < 0.5
        seen = points[visible] if visible.any() else points
        column, row = np.clip(np.rint(seen.T), 0, self.side - 1).astype(int)
        faults = replace(scene.degradation, gain=scene.degradation.gain_for(float(colour[row, column].mean())))
        image = degrade(colour, faults, np.random.default_rng(scene.noise_seed))
        return Shown(image, points, visible)

    def close(self) -> None:
        """Free the graphics memory."""
        self._renderer.close()

    def _glasses(self, scene: Scene, left: Floats, right: Floats) -> Glasses | None:
        if not scene.worn.glasses:
            return None
        worn = scene.worn
        return make_glasses(left, right, float(left[2]) - 0.8, worn.roundness, worn.frame_thickness, worn.lens_scale)
