"""Prints, one JSON object a line, what is published below /humans; runs as a process that finds hri_msgs."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from hri_msgs.msg import Expression, FacialLandmarks, IdsList, NormalizedRegionOfInterest2D
from rclpy.node import Node
from sensor_msgs.msg import Image

from mien.nodes.running import run


def say(topic: str, message: Any, **fields: Any) -> None:
    stamp = message.header.stamp
    header = {"stamp": [stamp.sec, stamp.nanosec], "frame_id": message.header.frame_id}
    print(json.dumps({"topic": topic, **header, **fields}), flush=True)


class Listener(Node):
    """Listens to every face from when it is tracked first."""

    def __init__(self) -> None:
        super().__init__("humans_listener")
        self.known: set[str] = set()
        self.create_subscription(IdsList, "/humans/faces/tracked", self.on_tracked, 10)
        print("listening", flush=True)

    def on_tracked(self, message: IdsList) -> None:
        say("tracked", message, ids=list(message.ids))
        for face in set(message.ids) - self.known:
            self.known.add(face)
            self.listen(face)

    def listen(self, face: str) -> None:
        def on_roi(message: NormalizedRegionOfInterest2D) -> None:
            say("roi", message, face=face, roi=[message.xmin, message.ymin, message.xmax, message.ymax], c=message.c)

        def on_expression(message: Expression) -> None:
            affect = {"valence": message.valence, "arousal": message.arousal, "confidence": message.confidence}
            say("expression", message, face=face, expression=message.expression, **affect)

        def on_landmarks(message: FacialLandmarks) -> None:
            points = [[round(point.x, 5), round(point.y, 5), point.c] for point in message.landmarks]
            say("landmarks", message, face=face, points=points, size=[message.width, message.height])

        def on_cropped(message: Image) -> None:
            say("cropped", message, face=face, size=[message.width, message.height], encoding=message.encoding)

        folder = f"/humans/faces/{face}"
        self.create_subscription(NormalizedRegionOfInterest2D, f"{folder}/roi", on_roi, 10)
        self.create_subscription(Expression, f"{folder}/expression", on_expression, 10)
        self.create_subscription(FacialLandmarks, f"{folder}/landmarks", on_landmarks, 10)
        self.create_subscription(Image, f"{folder}/cropped", on_cropped, 10)


if __name__ == "__main__":
    sys.exit(run(Listener, start=lambda node: None, stop=lambda node: None, done=threading.Event()))
