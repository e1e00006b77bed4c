"""One picture of a domain with its label: a function of (domain, seed, index, side) and of nothing else."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mien.faces.detector import Image
from trainer.data.synthetic.domains import Domain, Planned
from trainer.data.synthetic.labels import Label
from trainer.data.synthetic.objects import OBJECTS, draw_object
from trainer.data.synthetic.studio import Shown, Studio


def make_sample(domain: Domain, seed: int, index: int, side: int) -> tuple[Image, Label]:
    """Make a picture.

    Args:
        domain: which kind.
        seed: of the whole set.
        index: of the picture, from 0.
        side: pixels.

    Returns:
        uint8 (side, side, 3), BGR, and the label; its `file` is empty until the picture is stored.

    Raises:
        MienError: the head cannot be fetched, or OpenGL cannot be had without a screen.
    """
    if domain.plan is None:
        random = domain.random(seed, index)
        label = OBJECTS[int(random.integers(len(OBJECTS)))]
        image = draw_object(label, side, random)
        return image, Label(index, "", domain.name, domain.split(index), label=label)
    planned = domain.plan(domain, seed, index, side)
    shown = studio(side).shoot(planned.scene)
    return shown.image, _label(domain, index, planned, shown)


@lru_cache(maxsize=2)
def studio(side: int) -> Studio:
    """The studio of this process for pictures of that side, pixels."""
    return Studio(side)


def _label(domain: Domain, index: int, planned: Planned, shown: Shown) -> Label:
    person, expression, shot = planned.scene.person, planned.scene.expression, planned.scene.shot
    points = np.round(shown.landmarks.astype(float), 2)
    return Label(
        index=index,
        file="",
        domain=domain.name,
        split=domain.split(index),
        person=person.name,
        label=expression.label,
        prototype=expression.prototype,
        intensity=round(expression.intensity, 4),
        valence=round(expression.valence, 4),
        arousal=round(expression.arousal, 4),
        sequence=planned.sequence,
        frame=planned.frame,
        time_s=round(planned.time_s, 3),
        landmarks=tuple((float(x), float(y)) for x, y in points),
        visible=tuple(int(seen) for seen in shown.visible),
        yaw=round(shot.yaw, 2),
        pitch=round(shot.pitch, 2),
        roll=round(shot.roll, 2),
        gaze=(round(expression.gaze[0], 2), round(expression.gaze[1], 2)),
        occlusion=planned.occlusion,
        talking=expression.talking,
        glasses=planned.scene.worn.glasses,
        female=person.female,
        age_years=round(person.age_years, 1),
    )
