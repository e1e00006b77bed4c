"""The face of a picture that is explained, found and cut out as the robot does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.bundle import CropSpec, InputSpec
from mien.errors import MienError
from mien.faces.crop import crop_square, cut, write_crop
from mien.faces.detector import Box, Detector, Image
from mien.faces.landmarks import LandmarkLocator
from trainer.data.enhanced import enhance_picture
from trainer.data.pictures import PictureFile
from trainer.data.sample import Sample
from trainer.explain.explanation import Floats


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a picture.

    Attributes:
        picture: its file.
        image: uint8 (H, W, 3) BGR, the whole picture as faces are found in it.
        square: what the network sees of it, pixels of the image; may reach beyond it.
        place: the same in pixels of the picture; no square where the picture was made one.
        faces: number of faces in the picture; 0 where none was searched, because the network sees whole pictures.
    """

    picture: Path
    image: Image
    square: Box
    place: Box
    faces: int

    def seen(self, side: int) -> Image:
        """What the network sees, at another size: uint8 (side, side, 3) BGR."""
        return cut(self.image, self.square, side, side)

    def prepared(self, spec: InputSpec) -> Floats:
        """What the network is given: float32 (C, H, W), normalised."""
        out = np.empty((spec.depth, spec.height, spec.width), np.float32)
        write_crop(self.image, self.square, spec, out)
        return out


def find_face(
    picture: Path, crop: CropSpec, detector: Detector, locator: LandmarkLocator | None, is_enhanced: bool = False
) -> Face:
    """Find the largest face of a picture.

    Args:
        picture: file.
        crop: of the network.
        detector: of faces.
        locator: of landmarks, for crops by them.
        is_enhanced: whether the network has learned from what `trainer.data.enhanced` makes of pictures.

    Raises:
        MienError: the picture is not there, cannot be read, or shows no face.
    """
    if not picture.is_file():
        raise MienError(f"{picture} is no file", "Give the path of a picture")
    file = PictureFile(picture)
    image = file.read()
    wide, high = image.shape[1], image.shape[0]
    if is_enhanced:
        image = enhance_picture(Sample(file, "all"), image)[1]
    height, width = image.shape[:2]
    across, down = wide / width, high / height

    def found_in(square: Box, faces: int) -> Face:
        place = Box(square.x * across, square.y * down, square.width * across, square.height * down)
        return Face(picture, image, square, place, faces)

    if crop.kind == "uncropped":
        return found_in(crop_square(crop, Box(0, 0, width, height), None, width, height), 0)
    found = detector.detect(image)
    if not found:
        raise MienError(f"{picture} shows no face that can be found", "Give a picture with a face, larger or sharper")
    box = max((face.box for face in found), key=lambda box: box.width * box.height)
    points = None if locator is None else locator.locate(image, [box]).trusted()[0]
    return found_in(crop_square(crop, box, points, width, height), len(found))
