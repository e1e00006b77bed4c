"""What tests ask a perception node about its people, and a bundle whose head has three layers."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from mien_msgs.action import Personalize
from mien_msgs.msg import FaceAffect, SampleLabel
from mien_msgs.srv import Enroll, ForgetPerson, LabelSample, ListPeople, RollbackHead
from rclpy.action import ActionClient

from mien.models.default_bundle import built_bundle
from tests.ros.driver import Driver
from tests.ros.harness import wait_for
from tests.ros.pictures import face_picture, paste

STEADY = {"detection_interval_frames": 1, "smoothing_time_constant_s": 0.0}
"""Parameters with which the answers to one image are always the same."""
TWO_FACES = paste((640, 360), [face_picture(20, 240), face_picture(300, 240)], [(40, 60), (360, 60)])


def three_layer_bundle(folder: Path) -> Path:
    """The bundle fer2013 with a head of three layers that says the same."""
    shutil.copytree(built_bundle("fer2013"), folder)
    own = safetensors.numpy.load((folder / "head.safetensors").read_bytes())
    weight, bias = own["classes.weight"], own["classes.bias"]
    labels, size = weight.shape
    one = np.eye(labels, dtype=np.float32)
    tensors = {
        "a.weight": np.concatenate([weight, -weight]),
        "a.bias": np.concatenate([bias, -bias]),
        "b.weight": np.eye(2 * labels, dtype=np.float32),
        "b.bias": np.zeros(2 * labels, np.float32),
        "c.weight": np.concatenate([one, -one], axis=1),
        "c.bias": np.zeros(labels, np.float32),
    }
    head = safetensors.numpy.save(tensors)
    (folder / "head.safetensors").write_bytes(head)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["head"]["file"]["sha256"] = hashlib.sha256(head).hexdigest()
    layers = [
        {"weight": f"{name}.weight", "bias": f"{name}.bias", "activation": "relu" if name != "c" else "linear"}
        for name in "abc"
    ]
    parts = [{"name": "face", "start": 0, "stop": size, "layers": layers}]
    manifest["head"]["spec"]["classes"]["parts"] = parts
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


class People:
    """The services of a node, as a person would use them."""

    def __init__(self, robot: Driver, namespace: str = "") -> None:
        self.robot, self._namespace = robot, namespace

    def call(self, service: Any, name: str, **fields: Any) -> Any:
        return self.robot.call(service, f"{self._namespace}/{name}", service.Request(**fields))

    def enroll(self, person_id: str = "", face_id: str = "", **fields: Any) -> Any:
        """Enroll, with consent unless told otherwise."""
        consent = {"consent": True, "consent_statement": "Yes, learn from me"}
        return self.call(Enroll, "enroll", person_id=person_id, face_id=face_id, **{**consent, **fields})

    def label(self, expression: str = "", *, face: str = "", person: str = "", sample: str = "", **fields: Any) -> Any:
        label = SampleLabel(expression=expression, **fields)
        return self.call(LabelSample, "label_sample", sample_id=sample, face_id=face, person_id=person, label=label)

    def list(self) -> dict[str, Any]:
        """Everyone, by id."""
        response = self.call(ListPeople, "list_people")
        assert response.success, response.message
        return {one.person_id: one for one in response.people}

    def forget(self, person_id: str) -> Any:
        return self.call(ForgetPerson, "forget_person", person_id=person_id)

    def rollback(self, person_id: str, version: int) -> Any:
        return self.call(RollbackHead, "rollback_head", person_id=person_id, version=version)

    def learn(
        self, person_id: str, learner: str, cancel: bool = False, feedback: list[Any] | None = None, steps: int = 0
    ) -> Any:
        """Run the action personalize; returns its answer with `status` and `result`. Cancel: at the first feedback."""
        client = ActionClient(self.robot.node, Personalize, f"{self._namespace}/personalize")
        told = [] if feedback is None else feedback

        def beside(act: Callable[[], Any]) -> Any:
            """In the thread that serves the client: rclpy drops an answer that comes while another thread asks."""
            task = self.robot.node.executor.create_task(act)
            wait_for(task.done, 20, "the test's own node")
            return task.result()

        try:
            assert client.wait_for_server(20)
            goal = Personalize.Goal(person_id=person_id, learner=learner, max_steps=steps)
            sent = beside(
                lambda: client.send_goal_async(goal, feedback_callback=lambda message: told.append(message.feedback))
            )
            wait_for(sent.done, 20, "the goal to be accepted")
            answer = beside(sent.result().get_result_async)
            if cancel:
                wait_for(lambda: told, 20, "feedback")
                wait_for(beside(sent.result().cancel_goal_async).done, 20, "the cancel to be accepted")
            wait_for(answer.done, 60, "the result")
            return answer.result()
        finally:
            beside(client.destroy)


def left_to_right(robot: Driver, image: Any = TWO_FACES, topic: str = "/image_raw") -> list[FaceAffect]:
    """The faces of an image that the robot is shown."""
    return sorted(robot.read(image, topic).faces, key=lambda face: face.box.x_offset)
