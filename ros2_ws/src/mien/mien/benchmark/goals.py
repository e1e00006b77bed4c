"""What the pipeline must reach, and whether it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mien.benchmark.results import BesideDetector, Case, Goal, Law, Learning, Memory, NewFaces, OverDds, WhileLearning

_REFERENCE = Case(faces=1, width=640, height=480, detection_interval_frames=1)


def goals(
    beside: BesideDetector,
    over_dds: Sequence[OverDds],
    laws: Sequence[Law],
    new_faces: Sequence[NewFaces],
    recall: float,
    memory: Mapping[str, Memory],
    start_ms: float,
) -> list[Goal]:
    """Every goal for which something was measured."""
    pipeline = beside.pipeline_ms
    found = [
        _at_most("one face, 640x480, detecting on every frame: median", "ms", 6.0, pipeline.median),
        _at_most("the same: 99th percentile over median", "", 2.0, pipeline.p99 / pipeline.median),
        _at_most("the same over the bare cv2.FaceDetectorYN at 320x240", "", 0.8, beside.ratio),
        _at_most("of it the landmarks", "ms", 1.0, beside.landmarks_ms.median),
        _at_most("a new face is reported within", "ms", 200.0, max(new.worst_ms for new in new_faces)),
        _at_most("opening the bundle, loading and warming up, after imports", "ms", 1000.0, start_ms),
        Goal("faces found at the default rate, of those found on every frame", "", 0.99, recall, recall >= 0.99),
    ]
    for law in laws:
        if (law.width, law.height, law.detection_interval_frames) == (640, 480, 1):
            found.append(_at_most("each further face, 640x480", "ms", 1.0, law.per_face_ms))
    if "perception node" in memory:
        node_mb = memory["perception node"].without_dds_mb
        found.append(_at_most("memory of the perception node without DDS segments", "MB", 200.0, node_mb))
    for result in over_dds:
        if result.case == _REFERENCE:
            found.append(_at_most("over DDS, more than in-process: one face, 640x480", "ms", 8.0, result.more_ms))
    return found


def learning_goals(found: Learning, frames: WhileLearning | None) -> list[Goal]:
    """What learning must reach."""
    over_dds = []
    if frames is not None:
        over_dds = [
            _at_most("p99 of frames while sgd trains, over that without", "×", 1.1, frames.p99_ratio),
            _at_most("label to changed output at 30 Hz", "ms", 100.0, frames.label_to_output_ms.median),
        ]
    return [
        _at_most("one more label", "ms", 2.0, found.update_ms.median),
        _at_most(f"learning {found.samples} samples afresh", "ms", 10.0, found.refit_ms.median),
        _at_most(f"GSx chooses {found.samples} of {found.pool}", "ms", 1000.0, found.gsx_ms.median),
        _at_most(f"memory of {found.people} people", "MB", 30.0, found.memory_mb),
        *over_dds,
    ]


def _at_most(name: str, unit: str, limit: float, measured: float) -> Goal:
    return Goal(name, unit, limit, round(measured, 3), measured <= limit)
