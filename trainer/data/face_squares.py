"""Where the face is in a sample's picture: from the data set's own labels, else from the robot's detector."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2

from mien.bundle import CropSpec, File, InputSpec, LandmarksSpec, open_bundle
from mien.faces.crop import crop_square
from mien.faces.detector import Box, Detector, Image
from mien.faces.detectors import make_detector
from mien.faces.landmarks import LandmarkLocator
from mien.models.catalogue import find_model
from mien.models.default_bundle import default_bundle
from mien.models.fetch import fetch
from mien.runtime.backend import BackendOptions
from trainer.data.sample import Sample
from trainer.stages.recipe import Stage

_MODEL = "landmarks_68"
_NOWHERE = Box(0, 0, 0, 0)


@dataclass(frozen=True)
class Missing:
    """A face that cannot be had, and why."""

    reason: str


NO_FACE = Missing("no face found")
NO_LANDMARKS = Missing("no landmarks")


def landmarks_model() -> tuple[bytes, LandmarksSpec]:
    """The landmark network that faces are cut by, as an ONNX file, and how it is used.

    Raises:
        MienError: it cannot be fetched.
    """
    model = find_model(_MODEL)
    licence = f"{model.licence}. {model.licence_note}"
    spec = LandmarksSpec(
        File("landmarks.onnx", model.sha256, f"{model.archive}, {model.path}: {model.source}", licence),
        # Grey, divided by 256, as the network's publishers run it.
        InputSpec(64, 64, "grey", (0.0,), (1 / 256,)),
        CropSpec("box", 0.1),
        "output",
    )
    return fetch(_MODEL).read_bytes(), spec


class FaceSquares:
    """Says which square of a picture shows the face. Several threads may ask; each has networks of its own.

    Args:
        stage: says crop, detector and where landmarks come from; pictures of a `category` are used whole.
    """

    def __init__(self, stage: Stage) -> None:
        self.crop = CropSpec("uncropped") if stage.target == "category" else stage.crop
        self._detector, self._landmarks = stage.detector, stage.landmarks
        self._own = threading.local()

    @property
    def is_whole(self) -> bool:
        """Whether every picture is used whole."""
        return self.crop.kind == "uncropped"

    @property
    def uses_landmarks_of_data(self) -> bool:
        """Whether the data set's own landmarks say where the face is."""
        return self.crop.kind in ("outer", "inner") and self._landmarks == "data"

    @property
    def settings(self) -> tuple[str | float, ...]:
        """What the squares depend on, beside the samples."""
        if self.is_whole or self.uses_landmarks_of_data:
            return self.crop.kind, self.crop.margin
        model = find_model(_MODEL).sha256 if self.crop.kind != "box" else ""
        # The cascades are part of OpenCV.
        detector = find_model("yunet").sha256 if self._detector == "yunet" else f"OpenCV {cv2.__version__}"
        return self.crop.kind, self.crop.margin, self._detector, detector, model

    def needs_picture(self, sample: Sample) -> bool:
        """Whether the picture itself must be searched."""
        if self.is_whole or self.uses_landmarks_of_data:
            return False
        return self.crop.kind != "box" or sample.box is None

    def find(self, sample: Sample, image: Image | None) -> Box | Missing:
        """The square that shows the face, pixels; of whole pictures an empty one, because their size may be unknown.

        Args:
            sample: with its labels.
            image: its picture; may be None where `needs_picture` says so.

        Raises:
            MienError: the detector or the landmark model cannot be had.
        """
        if self.is_whole:
            return _NOWHERE
        if self.uses_landmarks_of_data:
            if sample.landmarks is None:
                return NO_LANDMARKS
            return crop_square(self.crop, _NOWHERE, sample.landmarks, 0, 0)
        box = sample.box
        if box is None and image is not None:
            faces = self._find_detector().detect(image)
            box = faces[0].box if faces else None
        if box is None:
            return NO_FACE
        if self.crop.kind == "box" or image is None:
            return crop_square(self.crop, box, None, 0, 0)
        return crop_square(self.crop, box, self._find_locator().locate(image, [box]).points[0], 0, 0)

    def _find_detector(self) -> Detector:
        if not hasattr(self._own, "detector"):
            bundle = open_bundle(default_bundle())
            self._own.detector = make_detector(bundle, self._detector, 0, 0.0, BackendOptions())
        detector: Detector = self._own.detector
        return detector

    def _find_locator(self) -> LandmarkLocator:
        if not hasattr(self._own, "locator"):
            self._own.locator = LandmarkLocator(*landmarks_model(), BackendOptions())
        locator: LandmarkLocator = self._own.locator
        return locator
