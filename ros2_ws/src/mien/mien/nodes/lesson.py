"""The second part of the demo: teaches a perception node the person in a video, and measures what that changes.

It is camera and observer at once. It shows one image at a time and waits for the answer, so that on any computer a
label belongs to the image that it was meant for: the video whole, then its spans to learn, labelling moments of these,
then whole again. In the end it lets the person be forgotten.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mien_msgs.msg import FaceAffect, FaceAffectArray, Person, SampleLabel
from mien_msgs.srv import Enroll, ForgetPerson, LabelSample
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image as ImageMessage

from mien.errors import MienError
from mien.faces.detector import Image
from mien.nodes.images import encode_image
from mien.nodes.parameters import Parameter, declare
from mien.nodes.running import run
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
LOOK_AGAIN_S = 0.05  # for what nobody tells: who is there
PAUSE_S = 2.0
"""Between two showings, in the video's time: longer than a face out of sight is tracked."""


class _StopError(Exception):
    """Somebody wants everything to end."""


class Teacher(Node):
    """Node `lesson`; shows a video to the one perception node of its domain.

    Args:
        done: set when the lesson is over.

    Attributes:
        exit_status: 0 once the lesson was added to the recording, or was stopped; 2 when it could not be held.

    Raises:
        MienError: a parameter is wrong.
    """

    def __init__(self, done: threading.Event) -> None:
        super().__init__("lesson")
        self.exit_status = 1
        self._done, self._stopping = done, False
        values = declare(self, PARAMETERS)
        self._source, self._consent, self._out = values["source"], values["consent_statement"], Path(values["out_dir"])
        self._labels = read_span_labels(Path(values["labels"]))
        self._changed = threading.Condition()  # what is waited for
        self._answer = FaceAffectArray()
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self._images = self.create_publisher(ImageMessage, "image_raw", qos)
        self.create_subscription(FaceAffectArray, "emotions", self._receive, 10)
        self._offered = {
            kind: self.create_client(kind, name)
            for kind, name in ((Enroll, "enroll"), (LabelSample, "label_sample"), (ForgetPerson, "forget_person"))
        }
        self._start, self._shown_s = self.get_clock().now(), 0.0
        self._person_id = ""
        self._thread = threading.Thread(target=self._run, name="lesson")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, also in the middle."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            add_lesson(self._out, self._teach())
            self.exit_status = 0
        except _StopError:
            self.exit_status = 0
        except MienError as error:
            self.get_logger().error(str(error))
            self.exit_status = 2
        finally:
            self._done.set()

    def _teach(self) -> Lesson:
        """The whole lesson."""
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
        future = self._offered[kind].call_async(kind.Request(**fields))
        future.add_done_callback(lambda _: self._tell())
        self._wait_until(future.done, ANSWERED_WITHIN_S)
        response = future.result()
        if not response.success:
            raise MienError(f"The perception node refuses: {response.message}", "Look at its log")
        return response

    def _is_found(self) -> bool:
        """Whether both ends know each other."""
        heard = self._images.get_subscription_count() and self.count_publishers("emotions")
        return bool(heard) and all(client.service_is_ready() for client in self._offered.values())

    def _receive(self, answer: FaceAffectArray) -> None:
        self._answer = answer
        self._tell()

    def _tell(self) -> None:
        """Let who waits look again."""
        with self._changed:
            self._changed.notify_all()

    def _wait_until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                if self._stopping:
                    raise _StopError
                if time.monotonic() > deadline_s:
                    raise MienError(f"The perception node did not answer within {timeout_s:g} s", "Look at its log")
                self._changed.wait(LOOK_AGAIN_S)


def main() -> None:
    """Run the node until the lesson is over or it is interrupted; then nothing is added to the recording."""
    done = threading.Event()
    teachers: list[Teacher] = []

    def make() -> Teacher:
        teachers.append(Teacher(done))
        return teachers[0]

    status = run(make, start=Teacher.start, stop=Teacher.stop, done=done)
    sys.exit(status or teachers[0].exit_status)


if __name__ == "__main__":
    main()
