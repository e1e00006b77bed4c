"""Starting and stopping a node's process cleanly."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from mien.errors import MienError


def run(
    make_node: Callable[[], Node], *, start: Callable[[Node], None], stop: Callable[[Node], None], done: threading.Event
) -> int:
    """Run one node until it is interrupted (SIGINT, SIGTERM) or `done` is set; returns the exit status.

    rclpy's own signal handlers are left out: they would take the context away before the node could say goodbye.
    The executor spins beside the main thread, since only a Python wait in the main thread lets signals through.

    Args:
        make_node: makes the node; a MienError ends the process with status 2 and a message instead of a traceback.
        start: called once the node spins.
        stop: called before the node is destroyed, while it still can publish.
        done: set by the node when it has finished by itself.
    """
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    try:
        node = make_node()
    except MienError as error:
        print(f"mien: {error}", file=sys.stderr)  # noqa: T201
        rclpy.try_shutdown()
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, name="executor")
    thread.start()
    try:
        start(node)
        done.wait()
    finally:
        stop(node)
        executor.shutdown()
        thread.join()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0
