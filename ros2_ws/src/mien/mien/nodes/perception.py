"""The perception node: camera topics in, emotions and satisfaction out.

Two threads share the work. The executor's thread only puts arriving messages into the inbox, where the newest image of
each camera wins, and answers services. The worker takes what is there, runs the pipeline over the images of all
cameras at once, and publishes. Pictures with drawings are made by a third thread, and only when somebody looks; people
are recognised by another one, and learned from in a process of their own.
"""

from __future__ import annotations

import secrets
import string
import sys
import threading
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from mien_msgs.msg import FaceAffectArray, LabelRequest
from mien_msgs.msg import Satisfaction as SatisfactionMessage
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from mien.bundle import Bundle, open_bundle
from mien.errors import MienError
from mien.expression.head_file import names_embedding
from mien.models.default_bundle import default_bundle
from mien.nodes.annotator import Annotator
from mien.nodes.clock import ImageClock
from mien.nodes.diagnostics import diagnostics
from mien.nodes.images import ImageError, decode_compressed, decode_image
from mien.nodes.inbox import Arrival, Inbox
from mien.nodes.interaction_services import InteractionServices
from mien.nodes.messages import face_affect_array
from mien.nodes.parameters import accept, declare
from mien.nodes.perception_parameters import PARAMETERS, pipeline_settings
from mien.nodes.personal_action import PersonalizeAction
from mien.nodes.personal_services import PersonalServices
from mien.nodes.qos import choose_image_qos
from mien.nodes.rep155 import HumansPublisher
from mien.nodes.running import run
from mien.nodes.statistics import Statistics
from mien.pipeline import FaceAffect, Frame, Pipeline


class Perception(LifecycleNode):
    """Lifecycle node `perception`; its topics, services and parameters stand in the README's tables."""

    def __init__(self) -> None:
        super().__init__("perception")
        self._people = PersonalServices(self)
        self._personalize = PersonalizeAction(self, self._people)  # first: rclpy destroys a node that fails below, too
        self._values = declare(self, PARAMETERS)
        self._configured = False
        self.add_on_set_parameters_callback(self._set_parameters)
        self._statistics = Statistics()
        self._problem: str | None = None
        self._bundle: Bundle | None = None
        self._pipeline: Pipeline | None = None
        self._humans: HumansPublisher | None = None
        self._worker: threading.Thread | None = None
        self._inbox = Inbox()
        self._fallbacks: dict[str, str] = {}  # why a network does not run where it should
        self._told: set[str] = set()  # those of them that stand in the log
        self._topics: dict[str, str] = {}  # resolved name, which is the camera's, to the name in image_topics
        self._images: dict[str, Subscription] = {}
        # Ids carry a token of this run, so that none is used again after a restart. REP-155: they start with a letter.
        token = "".join(secrets.choice(string.ascii_lowercase) for _ in range(4))
        numbers = count(1)
        self._new_id = lambda: f"{token}{next(numbers)}"
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self.create_timer(1.0, self._look_after)

    def start(self) -> None:
        """Configure and activate, unless a lifecycle manager does."""
        if self._values["autostart"] and self.executor is not None:
            self.executor.create_task(self._configure_and_activate)

    def stop(self) -> None:
        """Stop working, publish the last counts and free everything; called while nothing else of the node runs."""
        self._stop_work()
        self._publish_diagnostics()
        self._free()

    def destroy_node(self) -> None:
        """Destroy the action as well; rclpy leaves it to the garbage collector, which comes too late."""
        self._personalize.close()
        super().destroy_node()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the bundle, warm up, and make the publishers."""
        del state
        try:
            self._configure()
        except Exception as error:  # noqa: BLE001  whatever a model does, another one can still be tried
            self._free()
            return self._failed("configure", error)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and work."""
        try:
            self._activate()
        except Exception as error:  # noqa: BLE001  rclpy would hide it
            self._stop_work()
            return self._failed("activate", error)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and stop working; models stay loaded."""
        self._stop_work()
        self._publish_diagnostics()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything that configuring made."""
        del state
        self._free()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free, from any state."""
        del state
        self.stop()
        return TransitionCallbackReturn.SUCCESS

    def _configure_and_activate(self) -> None:
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _configure(self) -> None:
        self._topics = self._resolve_topics()
        self._statistics = Statistics()
        self._image_clock = ImageClock()
        self._bundle = open_bundle(Path(self._values["bundle"] or default_bundle()))
        self._bundle.verify()
        self._pipeline = Pipeline(self._bundle, pipeline_settings(self._values), self._new_id)
        if self._values["head"]:
            self._exchange_head(self._values["head"])
        self._pipeline.warm_up()
        manifest = self._bundle.manifest
        self._emotions = self.create_lifecycle_publisher(FaceAffectArray, "emotions", 10)
        self._satisfaction = self.create_lifecycle_publisher(SatisfactionMessage, "satisfaction", 10)
        self._annotator = Annotator(self, manifest.labels)
        self._interactions = InteractionServices(
            self,
            manifest.labels,
            self._satisfaction,
            self._values["satisfaction_rate_hz"],
            self._image_clock,
            self._people.remember,
        )
        self._label_requests = self.create_lifecycle_publisher(LabelRequest, "label_requests", 10)
        self._people.open(
            self._values,
            self._bundle,
            self._pipeline,
            self._image_clock,
            self._label_requests,
            self._interactions.forget,
        )
        self._configured = True
        self._problem = None
        self._told.clear()
        self.get_logger().info(f"Bundle {manifest.name} ({self._bundle.sha256[:12]}) is ready")

    def _resolve_topics(self) -> dict[str, str]:
        topics = self._values["image_topics"]
        remedy = "Give the names of the cameras' image topics, such as ['image_raw']"
        if not topics:
            raise MienError("Parameter image_topics is empty", remedy)
        resolved = {}
        for topic in topics:
            try:
                resolved[self.resolve_topic_name(topic)] = topic
            except (RuntimeError, ValueError) as error:
                raise MienError(f"Parameter image_topics: {topic!r} is not the name of a topic", remedy) from error
        return resolved

    def _activate(self) -> None:
        if self._values["rep155"]:
            try:
                self._humans = HumansPublisher(self)
            except MienError as error:
                self.get_logger().info(f"No REP-155 topics: {error}", once=True)
        self._inbox = Inbox()
        self._worker = threading.Thread(target=self._work, name="perception", daemon=True)
        self._worker.start()
        for camera in self._topics:
            self._statistics.add_camera(camera)
            self._subscribe(camera, choose_image_qos(self, camera, self._values["image_qos"]))

    def _failed(self, what: str, error: Exception) -> TransitionCallbackReturn:
        known = isinstance(error, (MienError, OSError))
        self._problem = str(error) if known else f"{type(error).__name__}: {error}"
        self.get_logger().error(f"Cannot {what}: {self._problem}")
        self._publish_diagnostics()
        return TransitionCallbackReturn.FAILURE

    def _set_parameters(self, changes: list[RosParameter]) -> SetParametersResult:
        values = dict(self._values)
        result = accept(PARAMETERS, changes, values, running=self._configured)
        if not result.successful:
            return result
        if self._configured and any(change.name == "head" for change in changes):
            try:
                self._exchange_head(values["head"])
            except MienError as error:
                return SetParametersResult(successful=False, reason=str(error))
        self._values.update(values)
        if self._pipeline is not None and self._configured:
            self._pipeline.apply(pipeline_settings(self._values))
            self._interactions.set_rate(self._values["satisfaction_rate_hz"])
            self._people.set_place(self._values["place"])
        return result

    def _exchange_head(self, path: str) -> None:
        assert self._pipeline is not None  # noqa: S101
        self._pipeline.recogniser.exchange_head(Path(path) if path else None)
        if path and not names_embedding(Path(path)):
            self.get_logger().warning(f"{path} does not say for which backbone it was made: is it this bundle's?")

    def _subscribe(self, camera: str, qos: QoSProfile) -> None:
        kind = CompressedImage if camera.endswith("/compressed") else ImageMessage
        self._images[camera] = self.create_subscription(
            kind, self._topics[camera], lambda message: self._receive(camera, message), qos
        )

    def _receive(self, camera: str, message: Any) -> None:
        arrival = Arrival(camera, message)
        self._statistics.arrived(camera, _seconds(message.header.stamp), arrival.arrived_s)
        if self._inbox.put(arrival):
            self._statistics.dropped(camera, "superseded")

    def _work(self) -> None:
        while arrivals := self._inbox.take():
            try:
                self._read(arrivals)
            except Exception as error:  # noqa: BLE001  a failing engine must not end the node
                for camera in arrivals:
                    self._statistics.dropped(camera, "processing_failed")
                self._problem = f"processing failed: {type(error).__name__}: {error}"
                self.get_logger().error(self._problem, throttle_duration_sec=5.0)

    def _read(self, arrivals: dict[str, Arrival]) -> None:
        """Decode, read and publish the newest image of each camera; what has been counted leaves `arrivals`."""
        assert self._pipeline is not None  # noqa: S101  the worker runs only while configured
        frames = []
        for camera, arrival in list(arrivals.items()):
            frame = self._decode(arrival)
            if frame is None:
                del arrivals[camera]
            else:
                frames.append(frame)
        if not frames:
            return
        results = self._pipeline.process(frames)
        self._problem = None
        self._statistics.stages(self._pipeline.times.ms)
        for frame, faces in zip(frames, results, strict=True):
            header = arrivals[frame.camera].message.header
            self._people.see(faces, frame.stamp_s)  # before anybody can ask about what is published
            self._publish(arrivals[frame.camera], frame, faces)
            del arrivals[frame.camera]
            self._interactions.observe(header, frame.stamp_s, faces)
            self._annotator.offer(frame.camera, header, frame.image, faces)
            self._people.offer(frame.camera, header, frame.image, faces)
            if self._humans is not None:
                self._humans.offer(frame.camera, header, frame.image, faces)

    def _decode(self, arrival: Arrival) -> Frame | None:
        message = arrival.message
        decode = decode_compressed if isinstance(message, CompressedImage) else decode_image
        try:
            image = decode(message)
        except ImageError as error:
            self._statistics.dropped(arrival.camera, error.reason)
            self.get_logger().warning(f"{arrival.camera}: {error}", throttle_duration_sec=5.0)
            return None
        time_s = self._image_clock.time_s(arrival.camera, _seconds(message.header.stamp), arrival.arrived_s)
        return Frame(image, arrival.camera, time_s)

    def _publish(self, arrival: Arrival, frame: Frame, faces: list[FaceAffect]) -> None:
        assert self._bundle is not None  # noqa: S101
        assert self._pipeline is not None  # noqa: S101
        height, width = frame.image.shape[:2]
        message = face_affect_array(arrival.message.header, frame.camera, (width, height), self._bundle, faces)
        message.latency_ms = arrival.age_ms()
        self._emotions.publish(message)
        self._statistics.processed(frame.camera, message.latency_ms)

    def _look_after(self) -> None:
        """Every second: diagnostics, subscriptions that follow a changed publisher, cameras that have gone silent."""
        for camera, subscription in list(self._images.items()):
            current = subscription.qos_profile
            wanted = choose_image_qos(self, camera, self._values["image_qos"], current)
            if wanted.reliability != current.reliability:
                self.destroy_subscription(self._images.pop(camera))
                self._subscribe(camera, wanted)
        if self._humans is not None:
            self._humans.forget_silent(self._values["camera_timeout_s"])
        self._people.look_after()
        self._publish_diagnostics()

    def _publish_diagnostics(self) -> None:
        model = {}
        if self._bundle is not None and self._pipeline is not None:
            manifest = self._bundle.manifest
            runtimes = self._pipeline.runtimes
            self._tell_fallbacks(self._pipeline.problems, runtimes)
            model = {
                "bundle": manifest.name,
                "sha256": self._bundle.sha256,
                "runtime": runtimes.pop("backbone"),
                **{f"runtime.{name}": runtime for name, runtime in runtimes.items()},
                **{f"landmarks.{name}": str(count) for name, count in list(self._pipeline.landmark_counts.items())},
                "detector": self._values["detector"],
                "labels": ", ".join(manifest.labels),
                "head": self._values["head"] or "the bundle's own",
            }
        self._diagnostics.publish(
            diagnostics(
                self.get_fully_qualified_name(),
                self.get_clock().now().to_msg(),
                self._statistics,
                {camera: self.count_publishers(camera) for camera in self._images},
                self._values["camera_timeout_s"],
                model,
                self._problem,
                self._fallbacks,
                self._people.status(),
            )
        )

    def _tell_fallbacks(self, problems: dict[str, str], runtimes: dict[str, str]) -> None:
        """Log each reason once, and when it is gone."""
        for name in self._fallbacks.keys() - problems.keys():
            self.get_logger().info(f"The {name} runs on {runtimes[name]}")
        for problem in set(problems.values()) - self._told:
            self.get_logger().warning(problem)
            self._told.add(problem)
        self._fallbacks = problems

    def _stop_work(self) -> None:
        while self._images:
            self.destroy_subscription(self._images.popitem()[1])
        for camera in self._inbox.close():
            self._statistics.dropped(camera, "stopped")
        if self._worker is not None:
            self._worker.join()
            self._worker = None
        if self._humans is not None:
            self._humans.close()
            self._humans = None

    def _free(self) -> None:
        if self._configured:
            self._configured = False
            self._annotator.close()
            self._interactions.close()
            self._people.close()
            self.destroy_lifecycle_publisher(self._label_requests)
            self.destroy_lifecycle_publisher(self._emotions)
            self.destroy_lifecycle_publisher(self._satisfaction)
        if self._pipeline is not None:
            self._pipeline.close()
        self._pipeline, self._bundle, self._fallbacks = None, None, {}


def _seconds(stamp: Any) -> float:
    return float(stamp.sec + np.float64(stamp.nanosec) * 1e-9)


def main() -> None:
    """Run the node until it is interrupted."""
    sys.exit(run(Perception, start=Perception.start, stop=Perception.stop, done=threading.Event()))


if __name__ == "__main__":
    main()
