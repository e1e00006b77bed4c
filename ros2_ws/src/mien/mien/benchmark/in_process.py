"""The pipeline's times in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import cv2

from mien.benchmark.results import BesideDetector, Case, InProcess, NewFaces, summarise
from mien.benchmark.scenes import RATE_HZ, FaceVideo, Scene
from mien.bundle import Bundle
from mien.errors import MienError
from mien.faces.detector import Box, Image, intersection_over_union
from mien.models.fetch import fetch
from mien.pipeline import FaceAffect, Frame, Pipeline, PipelineSettings
from mien.runtime.backend import BackendOptions

ROUNDS = 4
"""The cases take turns so often, so that a disturbance of the machine does not hit one case alone."""
WARM_UP_FRAMES = 6
"""Frames at the beginning of each turn that are not counted."""

_NEW_FACE_RATES_HZ = (30.0, 10.0)
_NEW_FACE_TRIALS = 12
_LONGEST_WAIT_FRAMES = 60
_SAME_FACE = 0.5  # intersection over union


def warm_pipeline(bundle: Bundle, backend: BackendOptions, interval: int) -> Pipeline:
    """A pipeline that detects on every n-th frame and has run once."""
    numbers = count()
    settings = PipelineSettings(detection_interval_frames=interval, backend=backend)
    pipeline = Pipeline(bundle, settings, lambda: str(next(numbers)))
    pipeline.warm_up((640, 480))
    return pipeline


def finish(pipeline: Pipeline, backend: BackendOptions) -> None:
    """Close a pipeline that was timed.

    Raises:
        MienError: another backend than the one asked for served, in whole or in part.
    """
    problems = pipeline.problems
    pipeline.close()
    for name, problem in problems.items():
        raise MienError(
            f"The {name} does not run on {backend.name}, so nothing is measured: {problem}",
            "Where the engines are missing, build them first: mien engine",
        )


class Bench:
    """Measures one bundle on one backend.

    Args:
        bundle: the models.
        backend: what runs them, and with how many threads.

    Raises:
        MienError: a model or the demo video cannot be used. Every method: another backend served.
    """

    def __init__(self, bundle: Bundle, backend: BackendOptions) -> None:
        self._bundle, self._backend = bundle, backend
        self._video = FaceVideo()

    def cases(self, cases: list[Case], frames: int, progress: Callable[[], None]) -> list[InProcess]:
        """Time every case over so many frames; `progress` is called after each turn of a case."""
        pipelines = {
            interval: self._pipeline(interval) for interval in {case.detection_interval_frames for case in cases}
        }
        runs = [_Run(case, self._video, pipelines[case.detection_interval_frames]) for case in cases]
        for _ in range(ROUNDS):
            for run in runs:
                run.turn(frames // ROUNDS)
                progress()
        for pipeline in pipelines.values():
            finish(pipeline, self._backend)
        return [run.result() for run in runs]

    def beside_detector(self, frames: int) -> BesideDetector:
        """Pipeline and OpenCV's bare detector in turn, both on one thread, on the same frames."""
        pipeline = self._pipeline(1)
        spec = self._bundle.manifest.detector
        detector = cv2.FaceDetectorYN.create(
            str(fetch("yunet")), "", (320, 240), spec.score_threshold, spec.nms_threshold
        )
        scene = Scene(self._video, 1, 640, 480)
        pipeline_ms, landmarks_ms, detector_ms = [], [], []
        with _one_opencv_thread():
            for index in range(WARM_UP_FRAMES + frames):
                image = scene.frame(index)
                small = cv2.resize(image, (320, 240))
                pipeline_ms.append(_milliseconds(lambda: pipeline.process([_frame(image, "camera", index)])))  # noqa: B023
                landmarks_ms.append(pipeline.times.ms.get("landmarks", 0.0))
                detector_ms.append(_milliseconds(lambda: detector.detect(small)))  # noqa: B023
        finish(pipeline, self._backend)
        others_ms = [whole - part for whole, part in zip(pipeline_ms, landmarks_ms, strict=True)]
        every = (summarise(series[WARM_UP_FRAMES:]) for series in (pipeline_ms, landmarks_ms, detector_ms, others_ms))
        ours, landmarks, bare, others = every
        return BesideDetector(
            frames, ours, landmarks, bare, *(round(times.median / bare.median, 3) for times in (ours, others))
        )

    def new_faces(self) -> list[NewFaces]:
        """How long a face that appears waits for its first report, over all phases of the default interval."""
        pipeline = self._pipeline(PipelineSettings().detection_interval_frames)
        empty, scene = (Scene(self._video, faces, 640, 480) for faces in (0, 1))
        results = []
        for rate_hz in _NEW_FACE_RATES_HZ:
            delays_ms = []
            for trial in range(_NEW_FACE_TRIALS):
                camera, appears = f"{rate_hz} {trial}", WARM_UP_FRAMES + trial
                for index in range(appears + _LONGEST_WAIT_FRAMES):
                    image = (empty if index < appears else scene).frame(index)
                    frame = Frame(image, camera, index / rate_hz)
                    started = time.perf_counter()
                    (faces,) = pipeline.process([frame])
                    computing_ms = (time.perf_counter() - started) * 1e3
                    if index >= appears and faces:
                        break
                delays_ms.append((index - appears) / rate_hz * 1e3 + computing_ms)
            summary = summarise(delays_ms)
            results.append(NewFaces(rate_hz, summary.mean, round(max(delays_ms), 3)))
        finish(pipeline, self._backend)
        return results

    def default_rate_recall(self, faces: int, frames: int) -> float:
        """Share of the faces found by detecting on every frame that the default interval finds, too."""
        often, seldom = self._pipeline(1), self._pipeline(PipelineSettings().detection_interval_frames)
        scene = Scene(self._video, faces, 640, 480)
        found = expected = 0
        for index in range(frames):
            frame = _frame(scene.frame(index), "camera", index)
            (wanted,), (given,) = often.process([frame]), seldom.process([frame])
            expected += len(wanted)
            found += sum(_is_among(face.box, given) for face in wanted)
        finish(often, self._backend)
        finish(seldom, self._backend)
        return round(found / max(expected, 1), 4)

    def _pipeline(self, interval: int) -> Pipeline:
        return warm_pipeline(self._bundle, self._backend, interval)


class _Run:
    """One case and its times so far."""

    def __init__(self, case: Case, video: FaceVideo, pipeline: Pipeline) -> None:
        self._case, self._pipeline = case, pipeline
        self._scene = Scene(video, case.faces, case.width, case.height)
        self._index = 0
        self._faces_found: list[int] = []
        self._total_ms: list[float] = []
        self._stages_ms: dict[str, list[float]] = {}

    def turn(self, frames: int) -> None:
        """Go on with the scene for so many frames, after some that are not counted."""
        for number in range(WARM_UP_FRAMES + frames):
            # One camera name per case: each has its own tracker, which sees a continuous video.
            frame = _frame(self._scene.frame(self._index), str(self._case), self._index)
            self._index += 1
            started = time.perf_counter()
            (faces,) = self._pipeline.process([frame])
            total_ms = (time.perf_counter() - started) * 1e3
            if number < WARM_UP_FRAMES:
                continue
            self._faces_found.append(len(faces))
            self._total_ms.append(total_ms)
            for stage, ms in self._pipeline.times.ms.items():
                self._stages_ms.setdefault(stage, []).append(ms)

    def result(self) -> InProcess:
        stages_ms = {stage: summarise(series) for stage, series in self._stages_ms.items()}
        faces_found = sum(self._faces_found) / len(self._faces_found)
        return InProcess(self._case, len(self._total_ms), round(faces_found, 3), stages_ms, summarise(self._total_ms))


def _frame(image: Image, camera: str, index: int) -> Frame:
    return Frame(image, camera, index / RATE_HZ)


def _is_among(box: Box, faces: list[FaceAffect]) -> bool:
    return any(intersection_over_union(box, face.box) >= _SAME_FACE for face in faces)


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
