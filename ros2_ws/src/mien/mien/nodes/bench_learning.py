"""A camera that teaches: labels what it shows, then measures frames with and without learning going on.

Reads a `mien.benchmark.while_learning.LearningRequest` from its standard input and writes one `WhileLearning` as JSON.
"""

from __future__ import annotations

import statistics
import sys
import time
from itertools import count
from typing import Any

import msgspec
import rclpy
from mien_msgs.action import Personalize
from mien_msgs.msg import FaceAffectArray, SampleLabel
from mien_msgs.srv import Enroll, LabelSample
from rclpy.action import ActionClient
from rclpy.task import Future

from mien.benchmark.results import Times, WhileLearning, summarise
from mien.benchmark.scenes import FaceVideo, Scene
from mien.benchmark.while_learning import LearningRequest
from mien.nodes.bench_camera import START_TIMEOUT_S, WARM_UP_FRAMES, BenchCamera
from mien.nodes.memory import keep_large_blocks

_STEPS = 100_000_000
"""More than a round can do: it is cancelled."""


class _Teacher:
    """Shows one face, and tells the node what to learn of it."""

    def __init__(self, camera: BenchCamera) -> None:
        self._camera = camera
        self._scene, self._numbers = Scene(FaceVideo(), 1, 640, 480), count()
        self._label = camera.node.create_client(LabelSample, "label_sample")
        self._enroll = camera.node.create_client(Enroll, "enroll")
        self._learn = ActionClient(camera.node, Personalize, "personalize")

    def show(self) -> FaceAffectArray:
        """One frame, when it is due, until one has an answer with a face."""
        while True:
            answer = self._camera.exchange(self._scene.frame(next(self._numbers)))
            if answer is not None and answer[0].faces:
                return answer[0]

    def enroll(self) -> str:
        """Let the face be somebody; returns who."""
        for _ in range(WARM_UP_FRAMES):
            face = self.show().faces[0]
        request = Enroll.Request(face_id=face.face_id, consent=True, consent_statement="a benchmark with public video")
        response = self._wait(self._enroll.call_async(request))
        if not response.success:
            sys.exit(response.message)
        return str(response.person_id)

    def label_ms(self, person_id: str) -> float | None:
        """Label the present moment; how long the answer of its head took, None where no new head came of it."""
        before = self.show().faces[0].head_version
        label = SampleLabel(expression="surprise")
        started_s = time.perf_counter()
        asked = self._label.call_async(LabelSample.Request(person_id=person_id, label=label))
        later = 0
        while later < 2:  # after the service's answer the next frame may be one that was under way
            if self.show().faces[0].head_version != before:
                return (time.perf_counter() - started_s) * 1e3
            later += asked.done()
        return None

    def round_ms(self, frames: int) -> Times:
        """The node's times of so many frames."""
        return summarise([self.show().latency_ms for _ in range(frames)])

    def round_while_learning_ms(self, person_id: str, frames: int) -> Times:
        """The same while the node learns."""
        goal = Personalize.Goal(person_id=person_id, learner="sgd", max_steps=_STEPS)
        begun: list[Any] = []
        sent = self._wait(self._learn.send_goal_async(goal, feedback_callback=begun.append))
        answer = sent.get_result_async()
        while not begun and not answer.done():
            self.show()
        found = self.round_ms(frames)
        if answer.done():
            sys.exit(f"Learning ended too early: {answer.result().result.message}")
        sent.cancel_goal_async()
        self._wait(answer)
        return found

    def _wait(self, future: Future[Any]) -> Any:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not future.done():
            if time.monotonic() > deadline:
                sys.exit("The perception node does not answer")
            self.show()
        return future.result()


def _measure(teacher: _Teacher, request: LearningRequest) -> WhileLearning:
    person_id = teacher.enroll()
    labels_ms = [teacher.label_ms(person_id) for _ in range(request.labels)]
    without_ms, with_ms = [], []
    for number in range(request.rounds):
        for learning in (number % 2 == 0, number % 2 == 1):  # neither always goes first
            if learning:
                with_ms.append(teacher.round_while_learning_ms(person_id, request.frames))
            else:
                without_ms.append(teacher.round_ms(request.frames))
    ratios = [one.p99 / other.p99 for one, other in zip(with_ms, without_ms, strict=True)]
    return WhileLearning(
        labels=request.labels,
        frames=request.frames,
        label_to_output_ms=summarise([ms for ms in labels_ms if ms is not None]),
        without_ms=without_ms,
        with_ms=with_ms,
        p99_ratio=round(statistics.median(ratios), 3),
        p99_ratio_range=(round(min(ratios), 3), round(max(ratios), 3)),
    )


def main() -> None:
    """Do what the request on standard input says."""
    keep_large_blocks()
    rclpy.init(args=sys.argv)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=LearningRequest)
    camera = BenchCamera()
    if not camera.wait_for_node():
        sys.exit(f"No perception node subscribed within {START_TIMEOUT_S:g} s")
    print(msgspec.json.encode(_measure(_Teacher(camera), request)).decode(), flush=True)
    camera.close()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
