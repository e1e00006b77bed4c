"""Where the face is in a sample's picture: from the data set's own labels, else from the robot's detector."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.bundle import CropSpec, File, InputSpec, LandmarksSpec, open_bundle
from mien.faces.crop import crop_square
from mien.faces.detector import Box, Detector, Image
from mien.faces.detectors import make_detector
from mien.faces.landmarks import LandmarkLocator
from mien.models.catalogue import find_model
from mien.models.default_bundle import default_bundle
from mien.models.fetch import fetch
from mien.runtime.backend import BackendOptions
from trainer.data import ert
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
    """Says which square of a picture shows the face, and where its landmarks are.

    Several threads may ask; each has networks of its own.

    Args:
        stage: says target, crop, detector and where landmarks come from; pictures of a `category` are used whole.

    Attributes:
        crop: which square.
        is_enhanced: whether it is asked of pictures that `trainer.data.enhanced` has changed, and of labels there.
    """

    def __init__(self, stage: Stage) -> None:
        self.crop = CropSpec("uncropped") if stage.target == "category" else stage.crop
        self._detector, self._landmarks = stage.detector, stage.landmarks
        self.is_enhanced = stage.contrast == "picture"
        self._cuts_by_landmarks = self.crop.kind in ("outer", "inner")
        self._learns_landmarks = stage.target == "landmarks"
        self._own = threading.local()

    @property
    def is_whole(self) -> bool:
        """Whether every picture is used whole."""
        return self.crop.kind == "uncropped"

    @property
    def uses_landmarks_of_data(self) -> bool:
        """Whether the data set's own landmarks say where the face is, or are learned."""
        return self._landmarks == "data" and (self._cuts_by_landmarks or self._learns_landmarks)

    @property
    def settings(self) -> tuple[str | float, ...]:
        """What squares and landmarks depend on, beside the samples."""
        annotated: tuple[str, ...] = (self._landmarks,) if self._learns_landmarks else ()
        if self.is_enhanced:
            annotated += (f"enhanced, OpenCV {cv2.__version__}",)
        if self._needs_no_box:
            return self.crop.kind, self.crop.margin, *annotated
        # The cascades are part of OpenCV.
        file = {"yunet": "yunet", "ssd": "ssd_weights"}.get(self._detector)
        detector = f"OpenCV {cv2.__version__}" if file is None else find_model(file).sha256
        model = ""
        if self._annotates:
            model = find_model(_MODEL).sha256 if self._landmarks == "model" else ert.version()
        return self.crop.kind, self.crop.margin, self._detector, detector, model, *annotated

    def needs_picture(self, sample: Sample) -> bool:
        """Whether the picture itself must be searched, or made another one."""
        return self.is_enhanced or self._annotates or (not self._needs_no_box and sample.box is None)

    def find(self, sample: Sample, image: Image | None) -> Box | Missing:
        """The square that shows the face, pixels; of whole pictures an empty one, because their size may be unknown.

        Args:
            sample: with its labels.
            image: its picture; may be None where `needs_picture` says so.

        Raises:
            MienError: the detector, the landmark model or dlib's regression trees cannot be had.
        """
        if self.is_whole:
            return _NOWHERE
        if self._cuts_by_landmarks:
            points = self.landmarks(sample, image)
            if points is None:
                return NO_LANDMARKS if self._landmarks == "data" else NO_FACE
            return crop_square(self.crop, _NOWHERE, points, 0, 0)
        box = self._box(sample, image)
        return NO_FACE if box is None else crop_square(self.crop, box, None, 0, 0)

    def landmarks(self, sample: Sample, image: Image | None) -> NDArray[np.float32] | None:
        """The face's landmarks as the stage wants them: the data set's own, the landmark model's or dlib's.

        Args:
            sample: with its labels; without a box, the detector's is taken.
            image: its picture; may be None where `needs_picture` says so.

        Returns:
            float32 (68, 2), pixels of the picture, in the order of iBUG 300-W; possibly outside. None where the data
            set has none, or no face is found.

        Raises:
            MienError: the detector, the landmark model or dlib's regression trees cannot be had.
        """
        if self._landmarks == "data":
            return sample.landmarks
        box = self._box(sample, image)
        if box is None or image is None:
            return None
        if self._landmarks == "ert":
            return ert.locate(image, box)
        points: NDArray[np.float32] = self._find_locator().locate(image, [box]).points[0]
        return points

    @property
    def _annotates(self) -> bool:
        """Whether landmarks are found in the picture."""
        return self._landmarks != "data" and (self._cuts_by_landmarks or self._learns_landmarks)

    @property
    def _needs_no_box(self) -> bool:
        """Whether nothing has to be known of where the detector sees the face."""
        is_by_data = self._cuts_by_landmarks and self._landmarks == "data"
        return not self._annotates and (self.is_whole or is_by_data)

    def _box(self, sample: Sample, image: Image | None) -> Box | None:
        """The data set's box, else the detector's."""
        if sample.box is not None or image is None:
            return sample.box
        faces = self._find_detector().detect(image)
        return faces[0].box if faces else None

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
