"""The camera node: publishes a video, folder of pictures, bag or webcam as a camera would.

Stamps are the time of publishing. Only where frames wait for their consumers do they follow the source's own times
(from the start on), so that what depends on time comes out the same on a slow and on a fast computer.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

from builtin_interfaces.msg import Time
from mien_msgs.msg import FaceAffectArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from mien.errors import MienError
from mien.nodes.images import encode_compressed, encode_image
from mien.nodes.pacing import Pacer
from mien.nodes.parameters import Parameter, accept, declare
from mien.nodes.running import run
from mien.sources import Frame, Source, open_source

PARAMETERS = (
    Parameter(
        "source",
        "",
        "Video, picture, folder of pictures, bag (ROS 1 or 2, sqlite3 or mcap), or webcam (number or /dev/video…).",
    ),
    Parameter("bag_topic", "", "The bag's topic to play; empty: its first one with images."),
    Parameter("frame_id", "camera", "frame_id of the images."),
    Parameter(
        "rate_hz",
        0.0,
        "Images per second; 0: the source's own times (two a second for folders).",
        0.0,
        1000.0,
        live=True,
    ),
    Parameter(
        "pace",
        "realtime",
        "realtime: as the source was recorded. consumers: the next image follows when the topic emotions has the "
        "answer to the last one, or after 5 s.",
        choices=("realtime", "consumers"),
    ),
    Parameter("loop", False, "Begin again at the end of the source.", live=True),
    Parameter(
        "compressed",
        "",
        "Empty: publish image_raw. jpeg: image_raw/compressed instead. both: both.",
        choices=("", "jpeg", "both"),
    ),
    Parameter("jpeg_quality", 80, "Quality of image_raw/compressed: 1 (small) to 100 (best).", 1, 100, live=True),
    Parameter("wait_for_subscribers", 0, "Begin when that many subscribers have connected.", 0, 100),
    Parameter("reliable", True, "Reliable publishing; false: best effort, as many camera drivers do."),
)

_DEPTH = 5  # images kept for reliable subscribers that are behind
_ANSWER_TIMEOUT_S = 5.0
_ACKNOWLEDGE_TIMEOUT_S = 5.0
_LONGEST_RETRY_S = 10.0


class Camera(Node):
    """Node `camera`; its topics and parameters stand in the README's tables.

    Attributes:
        exit_status: 0 once the source has been played, or playing was stopped; 2 if it could not be read.
    """

    def __init__(self, done: threading.Event) -> None:
        super().__init__("camera")
        self.exit_status = 1
        self._done = done
        self._stopping = threading.Event()
        self._answered = threading.Event()
        self._awaited: Time | None = None
        self._published = self._unanswered = self._unreadable = 0
        self._pacer = Pacer(self._stopping.wait)
        self._values = declare(self, PARAMETERS)
        self._source = self._open()
        self._topics = self._make_publishers()
        if self._values["pace"] == "consumers":
            self.create_subscription(FaceAffectArray, "emotions", self._receive_answer, 10)
        self.add_on_set_parameters_callback(self._set_parameters)
        self._thread = threading.Thread(target=self._run, name="camera")

    def start(self) -> None:
        """Begin to play."""
        self._thread.start()

    def stop(self) -> None:
        """Stop playing and wait until that is done."""
        self._stopping.set()
        self._answered.set()
        self._thread.join()

    def _open(self) -> Source:
        values = self._values
        if not values["source"]:
            raise MienError(
                "Parameter source is empty", "Set it to a video, picture, folder, bag or webcam: -p source:=…"
            )
        try:
            return open_source(values["source"], values["bag_topic"], self._report)
        except MienError as error:
            raise MienError(f"Parameter source: {error.problem}", error.remedy) from error

    def _make_publishers(self) -> list[tuple[Any, bool]]:
        """Publishers, and whether each takes JPEG."""
        values = self._values
        reliability = ReliabilityPolicy.RELIABLE if values["reliable"] else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=_DEPTH, reliability=reliability)
        topics = []
        if values["compressed"] != "jpeg":
            topics.append((self.create_publisher(ImageMessage, "image_raw", qos), False))
        if values["compressed"]:
            # By its full name, so that it goes along when image_raw is remapped.
            name = self.resolve_topic_name("image_raw") + "/compressed"
            topics.append((self.create_publisher(CompressedImage, name, qos), True))
        return topics

    def _set_parameters(self, changes: list[RosParameter]) -> SetParametersResult:
        return accept(PARAMETERS, changes, self._values)

    def _report(self, problem: MienError) -> None:
        self._unreadable += 1
        self.get_logger().warning(f"Left out: {problem}")

    def _run(self) -> None:
        try:
            self._wait_for_subscribers()
            self._play()
            if not self._stopping.is_set():
                self._wait_until_acknowledged()
            self.exit_status = 0
        except MienError as error:
            self.get_logger().error(f"Parameter source: {error}")
            self.exit_status = 2
        finally:
            self.get_logger().info(
                f"{self._source.name}: {self._published} frames published, {self._pacer.late} late, "
                f"{self._unanswered} without an answer, {self._unreadable} unreadable"
            )
            self._done.set()

    def _wait_for_subscribers(self) -> None:
        """Wait for subscribers, and with pace consumers for who answers. Humble has no events for this."""
        wanted = self._values["wait_for_subscribers"]
        while not self._stopping.is_set():
            found = sum(publisher.get_subscription_count() for publisher, _ in self._topics)
            answers = self._values["pace"] == "realtime" or self.count_publishers("emotions") > 0
            if found >= wanted and answers:
                return
            self.get_logger().info(
                f"Waiting: {found} of {wanted} subscribers" + ("" if answers else ", nobody publishes emotions yet"),
                throttle_duration_sec=2.0,
            )
            self._stopping.wait(0.02)

    def _play(self) -> None:
        self.get_logger().info(
            f"Playing {self._source.name} at {self._values['rate_hz'] or self._source.rate_hz:.4g} Hz"
        )
        consumers = self._values["pace"] == "consumers"
        start, source_s = self.get_clock().now(), 0.0
        for frame, step_s in self._steps():
            source_s += step_s
            if self._source.live:
                if not self._pacer.is_due(step_s):
                    continue
            elif not consumers:
                self._pacer.wait_for(step_s)
            if self._stopping.is_set():
                return
            follows_source = consumers and not self._source.live
            stamp = start + Duration(nanoseconds=round(source_s * 1e9)) if follows_source else self.get_clock().now()
            self._publish(frame, stamp.to_msg())

    def _steps(self) -> Iterator[tuple[Frame, float]]:
        """The frames, and how long after the one before each is wanted, seconds."""
        before_s: float | None = None
        for frame in self._frames():
            rate_hz = self._values["rate_hz"]
            step_s = 0.0
            if rate_hz:
                step_s = 1 / rate_hz
            elif before_s is not None and not self._source.live:
                # The source's times, and its rate where a loop begins again.
                step_s = frame.time_s - before_s if frame.time_s > before_s else 1 / self._source.rate_hz
            before_s = frame.time_s
            yield frame, step_s

    def _frames(self) -> Iterator[Frame]:
        while not self._stopping.is_set():
            try:
                yield from self._source
            except MienError:
                if not self._source.live:
                    raise
            if self._source.live:
                self._reopen()
            elif not self._values["loop"]:
                return

    def _reopen(self) -> None:
        """Try to open a webcam that is gone, ever less often, until it is back."""
        self.get_logger().warning(f"{self._source.name} is gone; trying to open it again")
        pause_s = 1.0
        while not self._stopping.wait(pause_s):
            try:
                self._source = self._open()
            except MienError:
                pause_s = min(2 * pause_s, _LONGEST_RETRY_S)
            else:
                self.get_logger().info(f"{self._source.name} is back")
                return

    def _publish(self, frame: Frame, stamp: Time) -> None:
        values = self._values
        self._awaited = stamp
        self._answered.clear()
        for publisher, jpeg in self._topics:
            if jpeg:
                publisher.publish(encode_compressed(frame.image, stamp, values["frame_id"], values["jpeg_quality"]))
            else:
                publisher.publish(encode_image(frame.image, stamp, values["frame_id"]))
        self._published += 1
        # `stop` may have come before `clear`: then nothing would end the waiting.
        waits = values["pace"] == "consumers" and not self._stopping.is_set()
        if waits and not self._answered.wait(_ANSWER_TIMEOUT_S):
            self._unanswered += 1
            self.get_logger().warning(
                f"No answer on emotions within {_ANSWER_TIMEOUT_S:g} s; going on", throttle_duration_sec=5.0
            )

    def _receive_answer(self, message: FaceAffectArray) -> None:
        if message.header.stamp == self._awaited:
            self._answered.set()

    def _wait_until_acknowledged(self) -> None:
        """Wait until reliable subscribers have the last images, which would be lost with this process."""
        timeout = Duration(seconds=_ACKNOWLEDGE_TIMEOUT_S)
        if self._values["reliable"] and not all(publisher.wait_for_all_acked(timeout) for publisher, _ in self._topics):
            self.get_logger().warning("A subscriber did not take the last images in time")


def main() -> None:
    """Run the node until the source ends or it is interrupted."""
    done = threading.Event()
    cameras: list[Camera] = []

    def make() -> Camera:
        cameras.append(Camera(done))
        return cameras[0]

    status = run(make, start=Camera.start, stop=Camera.stop, done=done)
    sys.exit(status or cameras[0].exit_status)


if __name__ == "__main__":
    main()
