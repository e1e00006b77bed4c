"""Lets faces come and go on the REP-155 topics while the executor is busy; ends with status 1 if that stops it."""

from __future__ import annotations

import sys
import threading

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import Header

from mien.faces.detector import Box
from mien.nodes.rep155 import HumansPublisher
from mien.pipeline import FaceAffect

ROUNDS = 400
IMAGE = np.zeros((360, 640, 3), np.uint8)
NUMBERS = np.full(7, 1 / 7, np.float32)


def face(number: int) -> FaceAffect:
    return FaceAffect(
        face_id=f"f{number}",
        camera="c",
        box=Box(10, 10, 50, 50),
        detection_confidence=0.9,
        box_is_predicted=False,
        landmarks=None,
        probabilities=NUMBERS,
        probabilities_raw=NUMBERS,
        expression="neutral",
        confidence=0.5,
        valence=0.1,
        arousal=0.1,
        part_confidences=np.empty(0, np.float32),
    )


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("churn")
    node.create_timer(0.0005, lambda: None)
    humans = HumansPublisher(node)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    stopping = threading.Event()
    failures: list[Exception] = []

    def spin() -> None:
        try:
            while not stopping.is_set():
                executor.spin_once()
        except Exception as error:  # noqa: BLE001  what it is goes into the output
            failures.append(error)

    thread = threading.Thread(target=spin)
    thread.start()
    for i in range(ROUNDS):
        if failures:
            break
        humans.offer("c", Header(), IMAGE, [face(4 * i + j) for j in range(4)])
        humans.offer("d", Header(), IMAGE, [])
        humans.forget_silent(0.0)
    stopping.set()
    thread.join()
    humans.close()
    rclpy.try_shutdown()
    print(failures or "survived")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
