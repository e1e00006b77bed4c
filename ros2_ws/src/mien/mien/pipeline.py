"""One frame in, the affect of its faces out: the main path, to be read from top to bottom.

    image(s) → detect (every few frames) → track → landmarks → crop → backbone (all faces in one batch) → head → smooth

Landmarks are located where the bundle has a model for them. The same path serves the ROS node, `mien read` and the
evaluation on the host.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.bundle import Bundle
from mien.errors import MienError
from mien.expression.recogniser import FaceInImage, HeadsInUse, Recogniser, Recognition
from mien.expression.smoothing import Smoother
from mien.faces.detector import Box, Detector, Image
from mien.faces.detectors import make_detector
from mien.faces.landmark_filter import LandmarkFilter
from mien.faces.landmarks import LandmarkLocator
from mien.faces.tracker import Track, Tracker
from mien.runtime.backend import BackendOptions

NEW_FACE_WITHIN_S = 0.2
"""Slow cameras are searched more often than every `detection_interval_frames`, so that a new face is never missed for
longer than this."""


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """How the pipeline works; every field is a parameter of the perception node.

    Attributes:
        detector: "yunet" (the bundle's), "haar" or "ssd".
        detector_width: image width for the detector in pixels; 0 takes the bundle's. Wider finds smaller faces.
        detection_threshold: lowest detector score, 0 to 1; 0 takes the bundle's.
        detection_interval_frames: search for faces in every n-th frame; between, boxes follow their tracks.
        maximum_faces: per image; the best are kept.
        track_timeout_s: how long a face that is not seen keeps its id, seconds.
        smoothing_time_constant_s: of expression, valence and arousal, seconds; 0 switches smoothing off.
        backend: what runs the networks, and with how many threads.

    Raises:
        MienError: a number is out of its range.
    """

    detector: str = "yunet"
    detector_width: int = 0
    detection_threshold: float = 0.0
    detection_interval_frames: int = 3
    maximum_faces: int = 16
    track_timeout_s: float = 1.5
    smoothing_time_constant_s: float = 0.3
    backend: BackendOptions = field(default_factory=BackendOptions)

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("detector width", self.detector_width, 0, 8192),
            ("detection threshold", self.detection_threshold, 0, 0.99),
            ("detection interval", self.detection_interval_frames, 1, 1000),
            ("maximum number of faces", self.maximum_faces, 1, 1000),
        ):
            if not low <= value <= high:
                raise MienError(f"The {name} is {value}", f"Give a number from {low} to {high}")


@dataclass(frozen=True, slots=True)
class Frame:
    """An image of one camera, taken at `stamp_s` (seconds, any epoch, the same for all frames of that camera)."""

    image: Image
    camera: str
    stamp_s: float


@dataclass(frozen=True, slots=True)
class FaceAffect:
    """One face and what it expresses.

    Attributes:
        face_id: stable while the face is tracked; never used again.
        camera: as in its frame.
        box: pixels of the image, clipped to it.
        detection_confidence: 0 to 1.
        box_is_predicted: the box follows the track; the detector did not run on this image.
        landmarks: None, or float32 (5, 2) or (68, 2), pixels; may lie beyond the image. The 68 of the bundle's model
            are smoothed over time; where they cannot be trusted, the detector's 5 take their place.
        probabilities: float32 (labels,), smoothed over time; empty where the bundle has no classes.
        probabilities_raw: float32 (labels,), of this image alone.
        expression: the label with the highest smoothed probability; empty without classes.
        confidence: that probability, 0 to 1; NaN without classes.
        valence: -1 to 1, smoothed, or NaN.
        arousal: -1 to 1, smoothed, or NaN.
        part_confidences: float32 (parts,), each part's own highest probability, or empty.
        head_version: which head answered, as in HeadInUse.
        head_is_personal: it is the person's own.
        person_id: enrolled person, or empty when unknown.
        part_names: of the parts of the face behind `part_confidences`.
        embedding: float32 (embedding size,): what a head is learned from.
        landmark_confidences: float32 (68,), 0 to 1, in this image alone; empty without the 68 landmarks.
    """

    face_id: str
    camera: str
    box: Box
    detection_confidence: float
    box_is_predicted: bool
    landmarks: NDArray[np.float32] | None
    probabilities: NDArray[np.float32]
    probabilities_raw: NDArray[np.float32]
    expression: str
    confidence: float
    valence: float
    arousal: float
    part_confidences: NDArray[np.float32]
    head_version: int = 0
    head_is_personal: bool = False
    person_id: str = ""
    part_names: tuple[str, ...] = ()
    embedding: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    landmark_confidences: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))


class _Located(NamedTuple):
    """68 landmarks of a face, float32 (68, 2), with confidences (68,); or None and empty."""

    points: NDArray[np.float32] | None
    confidences: NDArray[np.float32]


_NOT_LOCATED = _Located(None, np.empty(0, np.float32))


@dataclass(slots=True)
class _Camera:
    tracker: Tracker
    image_shape: tuple[int, ...]  # tracks are in pixels: with another size they mean nothing
    frames_since_search: int = 0
    last_search_s: float = -np.inf
    last_stamp_s: float = -np.inf


@dataclass(slots=True)
class StageTimes:
    """Milliseconds that the stages of the last `process` call took, all its frames together."""

    ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        started = time.perf_counter()
        yield
        self.ms[stage] = self.ms.get(stage, 0.0) + (time.perf_counter() - started) * 1e3


class Pipeline:
    """Reads faces in the frames of one or more cameras; used by one thread at a time.

    Args:
        bundle: the models.
        settings: how to use them.
        new_id: gives a face id never given before.

    Attributes:
        heads: whose the faces are and which heads answer for them. Any thread may replace it at any time.
        landmark_counts: how many faces' landmarks were "trusted" or "not_trusted"; empty without a model of them.

    Raises:
        MienError: a model or setting cannot be used.
    """

    def __init__(self, bundle: Bundle, settings: PipelineSettings, new_id: Callable[[], str]) -> None:
        self.labels = bundle.manifest.labels
        self.settings = settings
        self.times = StageTimes()
        self.heads = HeadsInUse()
        self._new_id = new_id
        spec = bundle.manifest.landmarks
        with ExitStack() as networks:
            self._detector: Detector = make_detector(
                bundle, settings.detector, settings.detector_width, settings.detection_threshold, settings.backend
            )
            networks.callback(self._detector.close)
            self._landmarks: LandmarkLocator | None = None
            if spec is not None:
                self._landmarks = LandmarkLocator(bundle.read(spec.file), spec, settings.backend)
                networks.callback(self._landmarks.close)
            self.recogniser = Recogniser(bundle, settings.backend)
            networks.callback(self.recogniser.close)
            self._networks = networks.pop_all()
        self._smoother = Smoother(settings.smoothing_time_constant_s)
        self._landmark_filter = LandmarkFilter()
        self.landmark_counts: Counter[str] = Counter()
        self._cameras: dict[str, _Camera] = {}

    def process(self, frames: Sequence[Frame]) -> list[list[FaceAffect]]:
        """Read the faces of one frame per camera; returns a list of faces for each frame, in order."""
        self.times.ms.clear()
        found: list[tuple[Frame, Track]] = []
        with self.times.measure("detect"):
            for frame in frames:
                found.extend((frame, track) for track in self._find(frame))
        if not found:
            return [[] for _ in frames]
        landmarks = self._locate(found)
        with self.times.measure("prepare"):
            faces = [
                FaceInImage(frame.image, track.box, located.points)
                for (frame, track), located in zip(found, landmarks, strict=True)
            ]
            batch = self.recogniser.prepare(faces)
        with self.times.measure("classify"):
            heads = self.heads  # as a whole: one frame is read by one set of heads
            recognition = self.recogniser.classify(batch, [heads.of(track.id) for _, track in found])
        with self.times.measure("smooth"):
            affects: dict[str, list[FaceAffect]] = {frame.camera: [] for frame in frames}
            for i, (frame, track) in enumerate(found):
                affects[frame.camera].append(self._affect(frame, track, landmarks[i], recognition, i))
        return [affects[frame.camera] for frame in frames]

    @property
    def runtimes(self) -> dict[str, str]:
        """What runs each network now, for people, by the network's name. For any thread."""
        return {name: network.runtime for name, network in self._by_name()}

    @property
    def problems(self) -> dict[str, str]:
        """Why a network does not run where it should, with the remedy, by its name; empty when all is well."""
        return {name: network.problem for name, network in self._by_name() if network.problem}

    def apply(self, settings: PipelineSettings) -> None:
        """Change what can be changed while running: interval, number of faces, track timeout, smoothing."""
        self.settings = settings
        self._smoother.time_constant_s = settings.smoothing_time_constant_s
        for camera in list(self._cameras.values()):
            camera.tracker.timeout_s = settings.track_timeout_s

    def forget_camera(self, camera: str) -> None:
        """Drop the tracks of a camera that is gone."""
        self._cameras.pop(camera, None)

    def warm_up(self, image_size: tuple[int, int] | None = None) -> None:
        """Run every network once, so that the first image is not the slow one.

        Args:
            image_size: (width, height) of the images to come, pixels. Without it the detector is left out: it is fitted
                to their size, and an engine for another one would be built for nothing.
        """
        if image_size is not None:
            width, height = image_size
            self._detector.detect(np.zeros((height, width, 3), np.uint8))
        image = np.zeros((64, 64, 3), np.uint8)
        box = Box(0, 0, 64, 64)
        if self._landmarks is not None:
            self._landmarks.locate(image, [box])
        self.recogniser.classify(self.recogniser.prepare([FaceInImage(image, box)]))

    def close(self) -> None:
        """Free the networks."""
        self._networks.close()

    def _by_name(self) -> Iterator[tuple[str, Detector | LandmarkLocator | Recogniser]]:
        yield "detector", self._detector
        if self._landmarks is not None:
            yield "landmarks", self._landmarks
        yield "backbone", self.recogniser

    def _find(self, frame: Frame) -> list[Track]:
        """Tracks of the faces visible in a frame: from the detector when it is due, else moved on by their motion."""
        camera = self._cameras.get(frame.camera)
        if camera is None or camera.image_shape != frame.image.shape[:2]:
            tracker = Tracker(self._new_id, self.settings.track_timeout_s)
            camera = self._cameras[frame.camera] = _Camera(tracker, frame.image.shape[:2])
        since_last_frame_s = frame.stamp_s - camera.last_stamp_s
        since_search_s = frame.stamp_s - camera.last_search_s
        camera.last_stamp_s = frame.stamp_s
        camera.frames_since_search += 1
        due = (
            camera.frames_since_search >= self.settings.detection_interval_frames
            or since_last_frame_s <= 0
            or since_search_s + since_last_frame_s > NEW_FACE_WITHIN_S
        )
        if not due:
            return self._best(camera.tracker.predict(frame.stamp_s))
        camera.frames_since_search = 0
        camera.last_search_s = frame.stamp_s
        detections = self._detector.detect(frame.image)[: self.settings.maximum_faces]
        return self._best(camera.tracker.update(detections, frame.stamp_s))

    def _best(self, tracks: list[Track]) -> list[Track]:
        """No more than asked for, also where a track that was missed once stands beside those detected now."""
        if len(tracks) <= self.settings.maximum_faces:
            return tracks
        return sorted(tracks, key=lambda track: (-track.last_seen_s, -track.score))[: self.settings.maximum_faces]

    def _locate(self, found: Sequence[tuple[Frame, Track]]) -> list[_Located]:
        """68 smoothed landmarks per face, where the bundle has them and its model is sure of them."""
        if self._landmarks is None:
            return [_NOT_LOCATED] * len(found)
        result = []
        with self.times.measure("landmarks"):
            for _, group in groupby(found, key=lambda pair: id(pair[0])):
                pairs = list(group)
                frame, boxes = pairs[0][0], [track.box for _, track in pairs]
                landmarks = self._landmarks.locate(frame.image, boxes)
                for i, points in enumerate(landmarks.trusted()):
                    self.landmark_counts["not_trusted" if points is None else "trusted"] += 1
                    if points is None:
                        result.append(_NOT_LOCATED)
                        continue
                    size_px = max(boxes[i].width, boxes[i].height)
                    smooth = self._landmark_filter.update(pairs[i][1].id, frame.stamp_s, points, size_px)
                    result.append(_Located(smooth, landmarks.confidences[i]))
        return result

    def _affect(self, frame: Frame, track: Track, located: _Located, recognition: Recognition, row: int) -> FaceAffect:
        raw, head = recognition.probabilities[row], recognition.heads[row]
        probabilities, valence, arousal = self._smoother.update(
            track.id, frame.stamp_s, raw, float(recognition.valence[row]), float(recognition.arousal[row])
        )
        best = int(probabilities.argmax()) if self.labels else None
        height, width = frame.image.shape[:2]
        return FaceAffect(
            face_id=track.id,
            camera=frame.camera,
            box=track.box.clipped(width, height),
            detection_confidence=track.score,
            box_is_predicted=track.predicted,
            landmarks=located.points if located.points is not None else track.landmarks,
            probabilities=probabilities,
            probabilities_raw=raw,
            expression="" if best is None else self.labels[best],
            confidence=np.nan if best is None else float(probabilities[best]),
            valence=valence,
            arousal=arousal,
            part_confidences=recognition.part_confidences[row],
            head_version=head.version,
            head_is_personal=head.is_personal,
            person_id=head.person_id,
            part_names=self.recogniser.head.part_names,
            embedding=recognition.embeddings[row].copy(),  # the next batch may reuse its memory
            landmark_confidences=located.confidences,
        )
