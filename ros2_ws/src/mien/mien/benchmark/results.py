"""What a benchmark found; `mien bench --json` writes it with these field names. All times are in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np


class Times(msgspec.Struct, frozen=True):
    """Mean, median and 99th percentile of a series, ms."""

    mean: float
    median: float
    p99: float


def summarise(series_ms: Sequence[float]) -> Times:
    """The summary of one or more times in ms, to a microsecond."""
    mean, median, p99 = np.mean(series_ms), np.median(series_ms), np.percentile(series_ms, 99)
    return Times(round(float(mean), 3), round(float(median), 3), round(float(p99), 3))


class Case(msgspec.Struct, frozen=True):
    """What is looked at: how many faces, in how large an image (pixels), with detection on every n-th frame."""

    faces: int
    width: int
    height: int
    detection_interval_frames: int


class InProcess(msgspec.Struct, frozen=True):
    """One case in this process.

    Attributes:
        case: what was looked at.
        frames: how many were timed.
        faces_found: mean number of faces per frame.
        stages_ms: by stage of the pipeline.
        total_ms: the whole call.
    """

    case: Case
    frames: int
    faces_found: float
    stages_ms: dict[str, Times]
    total_ms: Times


class OverDds(msgspec.Struct, frozen=True):
    """One case with camera and perception node in separate processes, 30 frames a second.

    Attributes:
        case: what was looked at.
        frames: how many were timed.
        frames_lost: how many got no answer within a second.
        faces_found: mean number of faces per answer.
        round_trip_ms: from before `publish` of the image to the callback with its emotions.
        node_ms: of that, from the image's arrival in the node to the publishing of the emotions.
        in_process_ms: the pipeline in the camera's process on the same frames, each right after its answer.
        more_ms: what DDS and the node add: difference of the medians.
    """

    case: Case
    frames: int
    frames_lost: int
    faces_found: float
    round_trip_ms: Times
    node_ms: Times
    in_process_ms: Times
    more_ms: float


class Law(msgspec.Struct, frozen=True):
    """time = detect + M · per_face, in ms, fitted over M by least squares.

    Fitted to the medians where every frame is searched, else to the means, since the median frame is not searched.

    Attributes:
        width: of the image, pixels.
        height: of the image, pixels.
        detection_interval_frames: as in `Case`.
        detect_ms: what does not depend on the number of faces.
        per_face_ms: of each face.
        worst_error_ms: largest distance of a measured time from the law.
    """

    width: int
    height: int
    detection_interval_frames: int
    detect_ms: float
    per_face_ms: float
    worst_error_ms: float


class PaperCost(msgspec.Struct, frozen=True):
    """What a paper prints of its own system: ms per frame (detect) and per face (prepare, classify), and on what."""

    detect_ms: float
    prepare_ms: float
    classify_ms: float
    hardware: str


class NewFaces(msgspec.Struct, frozen=True):
    """How long after the first frame that shows it a face is reported, at the default detection interval.

    Attributes:
        rate_hz: of the camera.
        mean_ms: frames waited for times the camera's period, plus the computing time of the last.
        worst_ms: the same, worst of all phases between face and detection.
    """

    rate_hz: float
    mean_ms: float
    worst_ms: float


class Memory(msgspec.Struct, frozen=True):
    """Resident memory of a process, in MB (10⁶ bytes).

    Attributes:
        resident_mb: all of it, as `top` shows it.
        dds_segments_mb: Fast DDS segments in shared memory, which several processes map and each is charged for.
        without_dds_mb: resident_mb − dds_segments_mb.
        private_mb: what no other process shares.
    """

    resident_mb: float
    dds_segments_mb: float
    without_dds_mb: float
    private_mb: float


class BesideDetector(msgspec.Struct, frozen=True):
    """The whole pipeline on one face at 640×480, detecting on every frame, beside OpenCV's bare detector call.

    Attributes:
        frames: pairs timed, one after the other in turn.
        pipeline_ms: the whole pipeline.
        landmarks_ms: of it, the landmarks; 0 where the bundle has no network for them.
        detector_ms: cv2.FaceDetectorYN.detect on the same picture, already resized to 320×240.
        ratio: of the medians.
        ratio_without_landmarks: likewise, of what the pipeline does beside them.
    """

    frames: int
    pipeline_ms: Times
    landmarks_ms: Times
    detector_ms: Times
    ratio: float
    ratio_without_landmarks: float


class Goal(msgspec.Struct, frozen=True):
    """One goal and what was measured."""

    name: str
    unit: str
    limit: float
    measured: float
    met: bool


class Learning(msgspec.Struct, frozen=True):
    """Learning a person on one thread, with the learner ridge and a head of one layer.

    Attributes:
        embedding_size: length of the embedding.
        classes: number of class labels.
        samples: labelled moments of the person.
        pool: moments that a sampler chooses `samples` from.
        people: so many are learned and held in memory.
        update_ms: one more label comes in and changes the head.
        refit_ms: the head is learned afresh from all samples.
        gate_ms: the new head is judged on held-out folds.
        gsx_ms: GSx chooses from the pool.
        memory_mb: what is allocated and kept for all those people, MB (10⁶ bytes).
    """

    embedding_size: int
    classes: int
    samples: int
    pool: int
    people: int
    update_ms: Times
    refit_ms: Times
    gate_ms: Times
    gsx_ms: Times
    memory_mb: float


class WhileLearning(msgspec.Struct, frozen=True):
    """What a perception node's frames notice of learning: one face at 640x480, 30 frames a second, over DDS.

    Rounds with and without learning take turns. A round with learning trains with sgd from its first frame to its last.

    Attributes:
        labels: stored by then.
        frames: of each round.
        label_to_output_ms: from the call of label_sample to the first emotions by the head that learned from it.
        without_ms: from the arrival of an image at the node to its emotions, in each round without learning.
        with_ms: the same in each round with learning.
        p99_ratio: the 99th percentile with over that without learning, the median over the pairs of rounds.
        p99_ratio_range: lowest and highest of the pairs.
    """

    labels: int
    frames: int
    label_to_output_ms: Times
    without_ms: list[Times]
    with_ms: list[Times]
    p99_ratio: float
    p99_ratio_range: tuple[float, float]


class LearningReport(msgspec.Struct, frozen=True):
    """What `mien bench --learning` finds; `while_learning` only with DDS, other fields as in `Report`."""

    created: str
    command: str
    machine: dict[str, str]
    learning: Learning
    while_learning: WhileLearning | None
    goals: list[Goal]


class Report(msgspec.Struct, frozen=True):
    """Everything; see the classes of its parts.

    Attributes:
        created: UTC, ISO 8601.
        command: what made it.
        machine: facts about hardware and versions, by name.
        bundle: its name and checksum.
        runtime: what ran the networks.
        start_ms: opening the bundle, loading its networks and running each once, in a process that has imported them.
        scene: what the pictures show.
        pipeline_over_detector: `beside_detector.ratio`.
        default_rate_recall: share of the faces found when detecting on every frame that are also found (intersection
            over union ≥ 0.5) at the default interval, 0 to 1.
        memory: by process.
    """

    created: str
    command: str
    machine: dict[str, str]
    bundle: str
    runtime: str
    start_ms: float
    scene: str
    pipeline_over_detector: float
    beside_detector: BesideDetector
    in_process: list[InProcess]
    over_dds: list[OverDds]
    laws: list[Law]
    paper_003: PaperCost
    new_faces: list[NewFaces]
    default_rate_recall: float
    memory: dict[str, Memory]
    goals: list[Goal]
