"""The second part of the demo: teaches a perception node the person in a video, and measures what that changes.

It is camera and observer at once. It shows one image at a time and waits for the answer, so that on any computer a
label belongs to the image that it was meant for: the video whole, then its spans to learn, labelling moments of these,
then whole again. In the end it lets the person be forgotten.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rclpy
from mien_msgs.msg import FaceAffect, FaceAffectArray, Person, SampleLabel
from mien_msgs.srv import Enroll, ForgetPerson, LabelSample
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image as ImageMessage

from mien.errors import MienError
from mien.faces.detector import Image
from mien.nodes.images import encode_image
from mien.nodes.memory import keep_large_blocks
from mien.nodes.parameters import Parameter, declare
from mien.recording.lesson import Lesson, read_span_labels
from mien.recording.lesson_report import add_lesson
from mien.sources import open_source

PARAMETERS = (
    Parameter("source", "", "Video of one person."),
    Parameter("labels", "", "JSON file of labelled spans of it."),
    Parameter("consent_statement", "", "What the person agreed to."),
    Parameter("out_dir", "out/run", "Folder of a recording, whose summary and report are added to."),
)
FOUND_WITHIN_S = 60.0
ANSWERED_WITHIN_S = 10.0
PAUSE_S = 2.0
"""Between two showings, in the video's time: longer than a face out of sight is tracked."""


class Teacher:
    """Shows a video to the one perception node of this domain.

    Raises:
        MienError: a parameter is wrong.

    Attributes:
        out: folder of the recording.
    """

    def __init__(self) -> None:
        self._node = Node("lesson")
        values = declare(self._node, PARAMETERS)
        self._source, self._consent = values["source"], values["consent_statement"]
        self._labels = read_span_labels(Path(values["labels"]))
        self.out = Path(values["out_dir"])
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self._images = self._node.create_publisher(ImageMessage, "image_raw", qos)
        self._node.create_subscription(FaceAffectArray, "emotions", self._receive, 10)
        self._services = {
            kind: self._node.create_client(kind, name)
            for kind, name in ((Enroll, "enroll"), (LabelSample, "label_sample"), (ForgetPerson, "forget_person"))
        }
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._answer = FaceAffectArray()
        self._start, self._shown_s = self._node.get_clock().now(), 0.0
        self._person_id = ""

    def teach(self) -> Lesson:
        """The whole lesson.

        Raises:
            MienError: the perception node does not answer, or refuses.
        """
        self._wait_until(self._is_found, FOUND_WITHIN_S)
        lesson = Lesson(self._labels)
        lesson.before = self._look()
        self._label_moments(lesson)
        lesson.after = self._look()
        forgotten = self._call(ForgetPerson, person_id=self._person_id)
        lesson.forgotten_samples, lesson.forgotten_heads = forgotten.samples_removed, forgotten.heads_removed
        return lesson

    def _look(self) -> dict[float, float]:
        """Show everything; returns the probability of the true label by time."""
        told = {}
        for time_s, face in self._show(lambda _: True):
            span = self._labels.span_at(time_s)
            if span is not None:
                told[time_s] = face.probabilities[self._answer.labels.index(span.expression)]
        return told

    def _label_moments(self, lesson: Lesson) -> None:
        """Show the spans to learn, and label their moments."""
        waiting = self._labels.moments_s()
        labelled: tuple[int, float] | None = None  # in the image before: with which head, and when
        for time_s, face in self._show(self._labels.is_to_learn):
            if labelled is not None and face.head_version != labelled[0]:
                lesson.label_to_output_ms.append((time.perf_counter() - labelled[1]) * 1e3)
            labelled = None
            span = self._labels.span_at(time_s)
            if span is not None and waiting and time_s >= waiting[0]:
                labelled = face.head_version, time.perf_counter()
                label = SampleLabel(expression=span.expression, source=SampleLabel.OBSERVER)
                self._call(LabelSample, face_id=face.face_id, label=label)
                lesson.moments_s.append(time_s)
                del waiting[0]

    def _show(self, wanted: Callable[[float], bool]) -> Iterator[tuple[float, FaceAffect]]:
        """Show the frames at wanted times one after the other; gives those in which a face is seen."""
        start_s = self._shown_s + PAUSE_S
        for frame in open_source(self._source):
            if not wanted(frame.time_s):
                continue
            self._shown_s = start_s + frame.time_s
            faces = self._ask(frame.image).faces
            if faces:
                if not faces[0].person_id or faces[0].person_id != self._person_id:
                    self._enroll(faces[0].face_id)
                yield frame.time_s, faces[0]

    def _enroll(self, face_id: str) -> None:
        """Say who has this face: the video shows one person."""
        asked = {"person_id": self._person_id, "face_id": face_id, "consent_statement": self._consent}
        self._person_id = self._call(Enroll, kind=Person.PERSON, consent=True, **asked).person_id

    def _ask(self, image: Image) -> FaceAffectArray:
        """Show one image; returns what it was taken for."""
        stamp = (self._start + Duration(nanoseconds=round(self._shown_s * 1e9))).to_msg()
        self._images.publish(encode_image(image, stamp, "lesson"))
        self._wait_until(lambda: self._answer.header.stamp == stamp, ANSWERED_WITHIN_S)
        return self._answer

    def _call(self, kind: Any, /, **fields: Any) -> Any:
        future = self._services[kind].call_async(kind.Request(**fields))
        self._wait_until(future.done, ANSWERED_WITHIN_S)
        response = future.result()
        if not response.success:
            raise MienError(f"The perception node refuses: {response.message}", "Look at its log")
        return response

    def _is_found(self) -> bool:
        """Whether both ends know each other."""
        heard = self._images.get_subscription_count() and self._node.count_publishers("emotions")
        return bool(heard) and all(client.service_is_ready() for client in self._services.values())

    def _wait_until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise MienError(f"The perception node did not answer within {timeout_s:g} s", "Look at its log")
            self._executor.spin_once(timeout_sec=0.1)

    def _receive(self, answer: FaceAffectArray) -> None:
        self._answer = answer


def main() -> None:
    """Teach, and add what came of it to the recording; interrupted, nothing is added."""
    keep_large_blocks()
    # Ctrl+C shall end Python's waiting, as anywhere.
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    status = 0
    try:
        teacher = Teacher()
        add_lesson(teacher.out, teacher.teach())
    except KeyboardInterrupt:
        pass
    except MienError as error:
        print(f"mien: {error}", file=sys.stderr)
        status = 2
    rclpy.try_shutdown()
    sys.exit(status)


if __name__ == "__main__":
    main()
