"""The services about people of a perception node in another process, for the command line."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from action_msgs.msg import GoalStatus
from mien_msgs.action import Personalize
from mien_msgs.msg import FaceAffectArray, LabelRequest, SampleLabel
from mien_msgs.srv import Enroll, ExportPerson, ForgetPerson, LabelSample, ListPeople, RollbackHead
from rclpy.action import ActionClient
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

from mien.errors import MienError

FOUND_WITHIN_S = 5.0
ANSWERED_WITHIN_S = 60.0
GONE_AFTER_S, ASKED_AGAIN_AFTER = 1.0, 5
_KINDS = {"person": 0, "group": 1, "place": 2}
_SOURCES = {"self": SampleLabel.SELF, "observer": SampleLabel.OBSERVER, "stimulus": SampleLabel.STIMULUS}


class RobotPeople:
    """The people of a running perception node; a context manager, used by one thread.

    Results are dictionaries with the fields of the messages.

    Args:
        namespace: of the node, "" for none.

    Every method raises MienError when no node answers, or when it refuses, with what it says.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace.strip("/")
        self._context = Context()
        self._context.init()
        self._node = Node("mien_people", namespace=self._namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._clients: dict[str, Client[Any, Any]] = {}  # kept: getting to know a service takes longer than its answer
        self._closing = threading.Event()
        self._ending = ExitStack()
        # Beside the main thread, since only a Python wait there lets Ctrl+C through.
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def __enter__(self) -> RobotPeople:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._executor.create_task(lambda: None)  # wakes it
        self._thread.join()
        self._executor.shutdown()
        self._ending.close()
        self._node.destroy_node()
        self._context.try_shutdown()

    def list_people(self) -> list[dict[str, Any]]:
        """Everyone the robot knows."""
        return [_fields(one) for one in self._call(ListPeople, "list_people", ListPeople.Request()).people]

    def enroll(
        self, kind: str, person_id: str, name: str, consent_statement: str, groups: list[str], face_id: str
    ) -> dict[str, Any]:
        """Enroll a "person", "group" or "place"; consent is given where there is a statement of it."""
        request = Enroll.Request(
            kind=_KINDS[kind],
            person_id=person_id,
            display_name=name,
            face_id=face_id,
            consent=bool(consent_statement),
            consent_statement=consent_statement,
            groups=groups,
        )
        return _fields(self._call(Enroll, "enroll", request))

    def label(
        self,
        ids: dict[str, str],
        expression: str,
        affect: tuple[float, float] | None,
        source: str,
        annotator: str = "",
    ) -> dict[str, Any]:
        """Label a moment: `ids` has one of sample_id, face_id and person_id; `affect` is valence and arousal."""
        valence, arousal = affect or (0.0, 0.0)
        label = SampleLabel(
            expression=expression,
            has_valence_arousal=affect is not None,
            valence=valence,
            arousal=arousal,
            source=_SOURCES[source],
            annotator=annotator,
        )
        return _fields(self._call(LabelSample, "label_sample", LabelSample.Request(label=label, **ids)))

    def forget(self, person_id: str) -> dict[str, Any]:
        """Remove every trace of a person."""
        return _fields(self._call(ForgetPerson, "forget_person", ForgetPerson.Request(person_id=person_id)))

    def export(self, person_id: str) -> dict[str, Any]:
        """Write all that is stored about a person to a file on the robot."""
        return _fields(self._call(ExportPerson, "export_person", ExportPerson.Request(person_id=person_id)))

    def rollback(self, person_id: str, version: int) -> dict[str, Any]:
        """Use another version of a person's head."""
        request = RollbackHead.Request(person_id=person_id, version=version)
        return _fields(self._call(RollbackHead, "rollback_head", request))

    def personalize(
        self, person_id: str, learner: str, max_steps: int, tell: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Learn a person's head afresh; Ctrl+C cancels it. `tell` is given the feedback, in another thread."""
        client = ActionClient(self._node, Personalize, "personalize")
        self._ending.callback(client.destroy)  # not before the executor, which would fail
        if not client.wait_for_server(FOUND_WITHIN_S):
            raise self._nobody("action", "personalize")
        goal = Personalize.Goal(person_id=person_id, learner=learner, max_steps=max_steps)
        sent = self._beside(
            lambda: client.send_goal_async(goal, feedback_callback=lambda message: tell(_fields(message.feedback)))
        )
        try:
            handle = self._wait(sent, ANSWERED_WITHIN_S)
            told = self._result(client, handle)
        except KeyboardInterrupt:
            handle = self._wait(sent, ANSWERED_WITHIN_S)
            self._wait(self._beside(handle.cancel_goal_async), ANSWERED_WITHIN_S)
            told = self._result(client, handle)
        if told.status == GoalStatus.STATUS_ABORTED:
            raise MienError(*_split(told.result.message))
        return _fields(told.result)

    def faces_in_view(self) -> list[str]:
        """The ids of the faces in the next image."""
        seen: queue.SimpleQueue[FaceAffectArray] = queue.SimpleQueue()
        subscription = self._node.create_subscription(FaceAffectArray, "emotions", seen.put, 1)
        try:
            return [face.face_id for face in seen.get(timeout=FOUND_WITHIN_S).faces]
        except queue.Empty:
            if not self._node.count_publishers("emotions"):
                raise self._nobody("topic", "emotions") from None
            raise MienError(
                f"No image was read within {FOUND_WITHIN_S:g} s",
                "Start the camera, or see what /diagnostics says of it",
            ) from None
        finally:
            self._node.destroy_subscription(subscription)

    def requests(self) -> Iterator[dict[str, Any]]:
        """What the robot asks for a label of, as it asks; never ends."""
        asked: queue.SimpleQueue[LabelRequest] = queue.SimpleQueue()
        self._node.create_subscription(LabelRequest, "label_requests", asked.put, 10)
        while True:
            yield _fields(asked.get())

    def _call(self, kind: Any, name: str, request: Any) -> Any:
        if name not in self._clients:
            self._clients[name] = self._node.create_client(kind, name)
        client = self._clients[name]
        if not client.wait_for_service(FOUND_WITHIN_S):
            raise self._nobody("service", name)
        response = self._wait(client.call_async(request), ANSWERED_WITHIN_S)
        if not response.success:
            raise MienError(*_split(response.message))
        return response

    def _beside(self, act: Callable[[], Future[Any]]) -> Future[Any]:
        """Do something with an action in the executor's thread: rclpy drops an answer that comes while another asks."""
        task = self._executor.create_task(act)
        self._wait(task, ANSWERED_WITHIN_S)
        future: Future[Any] = task.result()
        return future

    def _wait(self, future: Future[Any], timeout_s: float) -> Any:
        if not _done(future).wait(timeout_s):
            raise MienError(f"The perception node did not answer within {timeout_s:g} s", "Look at its log")
        return future.result()

    def _result(self, client: ActionClient[Any, Any, Any], handle: Any) -> Any:
        """What became of a goal; asked for again, since what a node answers to somebody it has not met yet is lost."""
        while True:
            future = self._beside(handle.get_result_async)
            done = _done(future)
            for _ in range(ASKED_AGAIN_AFTER):
                if done.wait(GONE_AFTER_S):
                    return future.result()
                if not client.server_is_ready():
                    raise MienError("The perception node ended before it answered", "Start it again; look at its log")

    def _nobody(self, what: str, name: str) -> MienError:
        return MienError(
            f"No node offers the {what} {'/' if self._namespace else ''}{self._namespace}/{name}",
            "Start the perception node, or give its --namespace; ROS_DOMAIN_ID must be the node's",
        )

    def _spin(self) -> None:
        while not self._closing.is_set():
            self._executor.spin_once()


def _done(future: Future[Any]) -> threading.Event:
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    return done


def _split(message: str) -> tuple[str, str]:
    """Problem and remedy of a MienError's text, which came as one."""
    problem, _, remedy = message.partition(". ")
    return problem, remedy


def _fields(message: Any) -> dict[str, Any]:
    """A message as plain data."""
    return {name: _plain(getattr(message, name)) for name in message.get_fields_and_field_types()}


def _plain(value: Any) -> Any:
    if hasattr(value, "get_fields_and_field_types"):
        return _fields(value)
    if isinstance(value, (str, bool, int, float)):
        return value
    return [_plain(one) for one in value]
