"""The recorder node: writes down what the perception node publishes, shows it live, and reports at the end.

Callbacks only translate messages; threads of the session write lines, draw and encode.
"""

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from mien_msgs.msg import FaceAffect as FaceAffectMessage
from mien_msgs.msg import FaceAffectArray, Satisfaction
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from mien.faces.detector import Box
from mien.nodes.images import decode_compressed, decode_image
from mien.nodes.parameters import Parameter, declare
from mien.nodes.running import run
from mien.pipeline import FaceAffect
from mien.recording.lines import Level, RecordedFrame, RecordedSatisfaction
from mien.recording.live import Display, LiveState, show
from mien.recording.session import Result, Session
from mien.recording.summary import node_figures
from mien.records import record_of

PARAMETERS = (
    Parameter("out_dir", "out/run", "Folder for the recording; an earlier one there is removed."),
    Parameter("source", "", "What is read, for people; empty: the topic of each image."),
    Parameter("source_note", "", "More about the source, for the report."),
    Parameter(
        "record_video",
        False,
        "Store pictures: annotated.mp4 and samples in the report. Only with the consent of whoever they show.",
    ),
    Parameter("image_topic", "image_raw", "Images for the video; /compressed at the end means CompressedImage."),
)
READY = "Receiving emotions"
QUIET_S, LONGEST_DRAIN_S = 0.3, 3.0
_LEVELS: dict[int, Level] = {
    Satisfaction.UNKNOWN: "unknown",
    Satisfaction.DISSATISFIED: "dissatisfied",
    Satisfaction.NEUTRAL: "neutral",
    Satisfaction.SATISFIED: "satisfied",
}


class Recorder(Node):
    """Node `recorder`; its topics and parameters stand in the README's tables.

    Raises:
        MienError: the folder cannot be written, a parameter is wrong, or the module for videos is missing.
    """

    def __init__(self) -> None:
        super().__init__("recorder")
        values = declare(self, PARAMETERS)
        self._source: str = values["source"]
        self._state = LiveState()
        self._display: Display | None = None
        self._frames = self._received = 0
        self._first_stamp_ns: int | None = None
        title = self._source or self.resolve_topic_name("emotions")
        self._session = Session(Path(values["out_dir"]), title, values["source_note"], values["record_video"])
        self.create_subscription(FaceAffectArray, "emotions", self._guarded(self._on_emotions), 100)
        self.create_subscription(Satisfaction, "satisfaction", self._guarded(self._on_satisfaction), 100)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._guarded(self._on_diagnostics), 10)
        self._camera = self.resolve_topic_name(values["image_topic"])
        if values["record_video"]:
            kind = CompressedImage if self._camera.endswith("/compressed") else ImageMessage
            # Best effort matches every camera, and a slow recorder never holds one up.
            qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
            self.create_subscription(kind, values["image_topic"], self._guarded(self._on_image), qos)

        self._ready_timer = self.create_timer(0.05, self._say_when_ready)

    def start(self) -> None:
        """Show what arrives."""
        self._display = show(self._state, f"mien: {self._source}" if self._source else "mien")

    def stop(self) -> None:
        """Finish the recording."""
        self._take_what_has_arrived()
        self._state.warning = ""  # of a camera that has ended
        if self._display is not None:
            self._display.close()
        self._session.close()

    def _say_when_ready(self) -> None:
        if self.count_publishers(self.resolve_topic_name("emotions")) > 0:
            self._ready_timer.cancel()
            self.get_logger().info(READY)

    def _take_what_has_arrived(self) -> None:
        """Read on until nothing comes any more: whoever stops the nodes wants their last words in the recording."""
        executor = SingleThreadedExecutor()
        executor.add_node(self)
        deadline_s = time.monotonic() + LONGEST_DRAIN_S
        received = -1
        while self._received != received and time.monotonic() < deadline_s:
            received = self._received
            executor.spin_once(timeout_sec=QUIET_S)
        executor.shutdown()

    def _guarded(self, callback: Any) -> Any:
        """The callback, which counts a message that contradicts itself instead of failing on it."""

        def guarded(message: Any) -> None:
            self._received += 1
            try:
                callback(message)
            except (ValueError, KeyError, IndexError) as error:
                self._session.unreadable += 1
                self.get_logger().warning(f"Unreadable {type(message).__name__}: {error}", throttle_duration_sec=5.0)

        return guarded

    def _on_emotions(self, message: FaceAffectArray) -> None:
        stamp_ns = _nanoseconds(message.header.stamp)
        faces = [_face(face) for face in message.faces]
        labels = tuple(message.labels)
        record = RecordedFrame(
            source=self._source or message.camera,
            frame=self._frames,
            time_s=self._since_start_s(stamp_ns),
            faces=[record_of(face, labels) for face in faces],
            stamp=_decimal(message.header.stamp),
            frame_id=message.header.frame_id,
            camera=message.camera,
            latency_ms=round(message.latency_ms, 3),
        )
        self._frames += 1
        self._session.model = {"name": message.model_name, "sha256": message.model_sha256}
        self._session.add_frame(record)
        self._state.add_frame(record)
        if message.camera == self._camera:
            self._session.add_result(stamp_ns, Result(record.time_s, faces, labels))

    def _on_satisfaction(self, message: Satisfaction) -> None:
        record = RecordedSatisfaction(
            stamp=_decimal(message.header.stamp),
            time_s=self._since_start_s(_nanoseconds(message.header.stamp)),
            subject=message.subject,
            face_id=message.face_id,
            person_id=message.person_id,
            score=round(message.score, 4),
            level=_LEVELS[message.level],
            confidence=round(message.confidence, 4),
            trend=round(message.trend, 4),
            duration_s=round(message.duration_s, 3),
            observed_s=round(message.observed_s, 3),
            present=message.present,
        )
        self._session.add_satisfaction(record)
        self._state.add_satisfaction(record)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        """Keep what the perception node says of itself; other nodes' statuses have other names."""
        statuses = {
            status.name.rpartition(": ")[2]: status for status in message.status if status.hardware_id == "mien"
        }
        if "frames" not in statuses:
            return
        tables = {
            name: {pair.key: pair.value for pair in statuses[name].values} if name in statuses else {}
            for name in ("frames", "model")
        }
        self._session.figures = self._state.figures = node_figures(tables["frames"], tables["model"])
        self._state.warning = "; ".join(
            f"{status.name}: {status.message}"
            for status in statuses.values()
            if status.level in (DiagnosticStatus.WARN, DiagnosticStatus.ERROR)
        )

    def _on_image(self, message: ImageMessage | CompressedImage) -> None:
        decode = decode_compressed if isinstance(message, CompressedImage) else decode_image
        self._session.add_image(_nanoseconds(message.header.stamp), partial(decode, message))

    def _since_start_s(self, stamp_ns: int) -> float:
        if self._first_stamp_ns is None:
            self._first_stamp_ns = stamp_ns
        return round((stamp_ns - self._first_stamp_ns) * 1e-9, 6)


def _face(message: FaceAffectMessage) -> FaceAffect:
    """The face as the pipeline gave it."""
    box = message.box
    points = np.array(message.landmarks, np.float32).reshape(-1, 2)
    return FaceAffect(
        face_id=message.face_id,
        camera=message.camera,
        box=Box(float(box.x_offset), float(box.y_offset), float(box.width), float(box.height)),
        detection_confidence=message.detection_confidence,
        box_is_predicted=message.box_is_predicted,
        landmarks=points if len(points) else None,
        probabilities=np.array(message.probabilities, np.float32),
        probabilities_raw=np.array(message.probabilities_raw, np.float32),
        expression=message.expression,
        confidence=message.confidence,
        valence=message.valence,
        arousal=message.arousal,
        part_confidences=np.array(message.part_confidences, np.float32),
        part_names=tuple(message.part_names),
    )


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _decimal(stamp: Any) -> msgspec.Raw:
    """Seconds as a JSON number with all nine decimals, which a float could not hold."""
    return msgspec.Raw(f"{stamp.sec}.{stamp.nanosec:09}".encode())


def main() -> None:
    """Run the node until it is interrupted."""
    sys.exit(run(Recorder, start=Recorder.start, stop=Recorder.stop, done=threading.Event()))


if __name__ == "__main__":
    main()
