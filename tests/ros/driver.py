"""A perception node in another process, and what a test does with it: send images, read answers and diagnostics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from mien_msgs.msg import FaceAffectArray
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from mien.faces.detector import Image
from mien.nodes.images import encode_compressed, encode_image
from tests.ros.harness import (
    Collector,
    NodeProcess,
    SpinningNode,
    node_command,
    node_environment,
    wait_for,
)

FRAME_PERIOD_NS = 40_000_000
FIRST_STAMP_NS = 1_700_000_000_123_456_789
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


def stamp_ns(message: Any) -> int:
    """The stamp of a message or header in ns."""
    header = getattr(message, "header", message)
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def to_stamp(nanoseconds: int) -> Time:
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


class Driver:
    """Drives one perception node; made by `perception`."""

    def __init__(self, node: Node, process: NodeProcess, namespace: str) -> None:
        self.node, self.process = node, process
        self.name = f"{namespace}/perception"
        self.emotions = Collector(node, f"{namespace}/emotions", FaceAffectArray, 1000)
        self._diagnostics = Collector(node, "/diagnostics", DiagnosticArray, 100)
        self._publishers: dict[str, Publisher] = {}
        self._clients: dict[str, Client] = {}
        self._next_stamp_ns = FIRST_STAMP_NS

    # Lifecycle and parameters

    @property
    def state(self) -> str:
        """Its lifecycle state."""
        return self._state(timeout_s=20.0)

    def _state(self, timeout_s: float) -> str:
        return str(self.call(GetState, "get_state", GetState.Request(), timeout_s).current_state.label)

    def wait_for_state(self, state: str) -> None:
        """Wait until it has a lifecycle state; the first start may have to fetch the default bundle.

        An answer may get lost while the processes still get to know each other: it is asked again.
        """

        def reached() -> bool:
            assert self.process.is_running(), "perception has ended"
            with contextlib.suppress(AssertionError):
                return self._state(timeout_s=3.0) == state
            return False

        wait_for(reached, 120.0, f"perception to be {state}")

    def change_state(self, transition: str) -> bool:
        """Ask for "configure", "activate", "deactivate", "cleanup" …; returns whether it succeeded."""
        request = ChangeState.Request(transition=Transition(id=getattr(Transition, f"TRANSITION_{transition.upper()}")))
        return bool(self.call(ChangeState, "change_state", request, 60.0).success)

    def set_parameters(self, **values: Any) -> Any:
        """Set parameters together; returns the result with `successful` and `reason`."""
        messages: list[ParameterMessage] = [
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
        ]
        request = SetParametersAtomically.Request(parameters=messages)
        return self.call(SetParametersAtomically, "set_parameters_atomically", request).result

    def call(self, service_type: type, name: str, request: Any, timeout_s: float = 20.0) -> Any:
        """Call one of the node's own services (relative to it), or one with an absolute name."""
        full = name if name.startswith("/") else f"{self.name}/{name}"
        if full not in self._clients:
            self._clients[full] = self.node.create_client(service_type, full)
        client = self._clients[full]
        assert client.wait_for_service(timeout_s), f"Waited {timeout_s:g} s in vain for service {full}"
        future = client.call_async(request)
        wait_for(future.done, timeout_s, f"the answer of {full}")
        return future.result()

    # Images

    def connect(self, topic: str = "/image_raw", qos: QoSProfile = RELIABLE) -> Publisher:
        """A publisher on a camera topic, once the node listens to it with the same reliability."""
        if topic not in self._publishers:
            kind = CompressedImage if topic.endswith("/compressed") else ImageMessage
            self._publishers[topic] = self.node.create_publisher(kind, topic, qos)
            self.wait_until_connected(topic, qos)
        return self._publishers[topic]

    def wait_until_connected(self, topic: str, qos: QoSProfile = RELIABLE) -> None:
        """Wait until the one subscription of the topic has this reliability."""

        def connected() -> bool:
            found = self.node.get_subscriptions_info_by_topic(topic)
            return [one.qos_profile.reliability for one in found] == [qos.reliability]

        wait_for(connected, 20.0, f"a subscription of {topic} with reliability {qos.reliability.name}")

    def disconnect(self, topic: str = "/image_raw") -> None:
        """Take the camera away."""
        self.node.destroy_publisher(self._publishers.pop(topic))

    def new_stamp(self) -> Time:
        """The next stamp, 40 ms after the last one."""
        self._next_stamp_ns += FRAME_PERIOD_NS
        return to_stamp(self._next_stamp_ns)

    def let_pass(self, seconds: float) -> None:
        """Let the stamps jump ahead; by more than 9 s at once, the node would take it for a clock that was set."""
        assert seconds <= 9
        self._next_stamp_ns += round(seconds * 1e9)

    def message(self, image: Image, frame_id: str = "camera_link") -> ImageMessage:
        """An image message with the next stamp."""
        return encode_image(image, self.new_stamp(), frame_id)

    def compressed(self, image: Image, frame_id: str = "camera_link") -> CompressedImage:
        """A JPEG message with the next stamp."""
        return encode_compressed(image, self.new_stamp(), frame_id, 95)

    def send(self, message: ImageMessage | CompressedImage, topic: str = "/image_raw") -> None:
        self.connect(topic).publish(message)

    def read(self, image: Image | ImageMessage | CompressedImage, topic: str = "/image_raw") -> FaceAffectArray:
        """Send an image and wait for its answer."""
        message = image if hasattr(image, "header") else self.message(image)
        self.send(message, topic)
        return self.answer(message)

    def answer(self, message: ImageMessage | CompressedImage, timeout_s: float = 20.0) -> FaceAffectArray:
        """Wait for the answer to a message that was sent."""
        asked = stamp_ns(message)
        found = self.emotions.wait_until(
            lambda answers: any(stamp_ns(answer) == asked for answer in answers), timeout_s, "the answer to an image"
        )
        return next(answer for answer in found if stamp_ns(answer) == asked)

    # Diagnostics

    def diagnostics(self) -> dict[str, tuple[int, str, dict[str, str]]]:
        """The next report that the node makes: part → (level, message, values)."""
        return self.wait_for_diagnostics(lambda report: True, "a report")

    @property
    def latest_diagnostics(self) -> dict[str, tuple[int, str, dict[str, str]]]:
        """The newest report that has arrived."""
        return next(filter(None, map(self._report, reversed(self._diagnostics.messages))))

    def wait_for_diagnostics(self, enough: Any, what: str, timeout_s: float = 20.0) -> Any:
        """Wait for a report, made after this call, for which `enough(report)` is true."""
        seen = len(self._diagnostics.messages)

        def found(messages: list[DiagnosticArray]) -> Any:
            return next(filter(enough, filter(None, map(self._report, messages[seen:]))), None)

        return found(self._diagnostics.wait_until(found, timeout_s, f"diagnostics with {what}"))

    def _report(self, message: DiagnosticArray) -> dict[str, tuple[int, str, dict[str, str]]]:
        prefix = f"{self.name}: "
        return {
            status.name[len(prefix) :]: (
                ord(status.level),
                status.message,
                {value.key: value.value for value in status.values},
            )
            for status in message.status
            if status.name.startswith(prefix)
        }

    def counts(self, part: str = "frames") -> dict[str, int]:
        """The counts of a report in which nothing is under way: frames_in = processed + dropped."""

        def settled(report: Any) -> bool:
            values = report[part][2]
            parts = int(values["frames_processed"]) + int(values["frames_dropped"])
            return int(values["frames_in"]) == parts

        values = self.wait_for_diagnostics(settled, "frames_in = processed + dropped")[part][2]
        return {name: int(value) for name, value in values.items() if value.isdigit()}


@contextlib.contextmanager
def perception(
    folder: Path,
    domain_id: int,
    *,
    parameters: Mapping[str, Any] | None = None,
    remaps: Mapping[str, str] | None = None,
    namespace: str = "",
    environment: Mapping[str, str] | None = None,
    wait_for_state: str = "active",
) -> Iterator[Driver]:
    """Run a perception node until the end of the block; it must then end with status 0."""
    folder.mkdir(parents=True, exist_ok=True)
    command = node_command("perception", folder, parameters, remaps, namespace)
    process = NodeProcess(
        "perception", command, {**node_environment(), **(environment or {})}, folder / "perception.log"
    )
    spinning = SpinningNode("driver", domain_id)
    try:
        driver = Driver(spinning.node, process, f"/{namespace}" if namespace else "")
        driver.wait_for_state(wait_for_state)
        yield driver
    finally:
        spinning.close()
        process.interrupt()
        try:
            process.check_exit()
        finally:
            print(f"--- output of perception ---\n{process.output}")
