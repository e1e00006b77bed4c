"""A camera that measures: publishes scenes, waits for their emotions, and prints how long that took.

Reads a `mien.benchmark.over_dds.Request` from its standard input and writes one `OverDds` per case as a line of JSON.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec
import rclpy
from mien_msgs.msg import FaceAffectArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image as ImageMessage

from mien.benchmark.in_process import finish, warm_pipeline
from mien.benchmark.over_dds import Request
from mien.benchmark.results import Case, OverDds, summarise
from mien.benchmark.scenes import RATE_HZ, FaceVideo, Scene
from mien.bundle import open_bundle
from mien.faces.detector import Image
from mien.nodes.images import encode_image
from mien.nodes.memory import keep_large_blocks
from mien.pipeline import Frame, Pipeline

WARM_UP_FRAMES = 10
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 1.0
MOST_LOST_IN_A_ROW = 10


class BenchCamera:
    """Publishes one image at a time at the camera's rate and catches the answer to it.

    Attributes:
        node: of this process; it is served while an answer is waited for.
    """

    def __init__(self) -> None:
        self.node = rclpy.create_node("bench_camera")
        self._images = self.node.create_publisher(ImageMessage, "image_raw", qos_profile_sensor_data)
        self.node.create_subscription(FaceAffectArray, "emotions", self._receive, 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._answer: tuple[FaceAffectArray, float] | None = None
        self._next_s = 0.0
        self._lost_in_a_row = 0

    def wait_for_node(self) -> bool:
        """Wait until somebody subscribes to the images; returns whether that happened in time."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._images.get_subscription_count() == 0 or self.node.count_publishers("emotions") == 0:
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(timeout_sec=0.05)
        return True

    def measure(self, case: Case, frames: int, scene: Scene, pipeline: Pipeline) -> OverDds:
        """Publish one case, frame by frame, and give each frame to a pipeline of this process as well."""
        round_trip_ms, node_ms, in_process_ms, faces_found = [], [], [], []
        for index in range(WARM_UP_FRAMES + frames):
            image = scene.frame(index)
            answer = self.exchange(image)
            started_s = time.perf_counter()
            pipeline.process([Frame(image, str(case), index / RATE_HZ)])
            computing_ms = (time.perf_counter() - started_s) * 1e3
            if index < WARM_UP_FRAMES or answer is None:
                continue
            message, trip_ms = answer
            round_trip_ms.append(trip_ms)
            node_ms.append(message.latency_ms)
            in_process_ms.append(computing_ms)
            faces_found.append(len(message.faces))
        trip, here = summarise(round_trip_ms), summarise(in_process_ms)
        return OverDds(
            case=case,
            frames=len(round_trip_ms),
            frames_lost=frames - len(round_trip_ms),
            faces_found=round(sum(faces_found) / len(faces_found), 3),
            round_trip_ms=trip,
            node_ms=summarise(node_ms),
            in_process_ms=here,
            more_ms=round(trip.median - here.median, 3),
        )

    def close(self) -> None:
        """End the node."""
        self._executor.shutdown()
        self.node.destroy_node()

    def exchange(self, image: Image) -> tuple[FaceAffectArray, float] | None:
        """Publish a frame when it is due; returns its emotions and the round trip in ms, None when none came."""
        while (rest_s := self._next_s - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=rest_s)
        self._next_s = time.monotonic() + 1 / RATE_HZ
        message = encode_image(image, self.node.get_clock().now().to_msg(), "camera")
        self._answer = None
        started_s = time.perf_counter()
        self._images.publish(message)
        while time.perf_counter() < started_s + ANSWER_TIMEOUT_S:
            self._executor.spin_once(timeout_sec=0.1)
            if self._answer is not None and self._answer[0].header.stamp == message.header.stamp:
                self._lost_in_a_row = 0
                return self._answer[0], (self._answer[1] - started_s) * 1e3
        self._lost_in_a_row += 1
        if self._lost_in_a_row == MOST_LOST_IN_A_ROW:
            sys.exit(f"The perception node has not answered {MOST_LOST_IN_A_ROW} images in a row")
        return None

    def _receive(self, message: FaceAffectArray) -> None:
        self._answer = message, time.perf_counter()


def main() -> None:
    """Do what the request on standard input says."""
    keep_large_blocks()  # as mien's own camera node does
    rclpy.init(args=sys.argv)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    camera = BenchCamera()
    if not camera.wait_for_node():
        sys.exit(f"No perception node subscribed within {START_TIMEOUT_S:g} s")
    video = FaceVideo()
    bundle = open_bundle(Path(request.bundle))
    for case in request.cases:
        scene = Scene(video, case.faces, case.width, case.height)
        pipeline = warm_pipeline(bundle, request.backend, case.detection_interval_frames)
        result = camera.measure(case, request.frames, scene, pipeline)
        finish(pipeline, request.backend)
        print(msgspec.json.encode(result).decode(), flush=True)
    camera.close()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
