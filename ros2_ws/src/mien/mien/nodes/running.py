"""Starting and stopping a node's process cleanly."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import traceback
from collections.abc import Callable

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from mien.errors import MienError
from mien.nodes.memory import keep_large_blocks


def run(
    make_node: Callable[[], Node], *, start: Callable[[Node], None], stop: Callable[[Node], None], done: threading.Event
) -> int:
    """Run one node until it is interrupted (SIGINT, SIGTERM) or `done` is set; returns the exit status.

    rclpy's own signal handlers are left out: they would take the context away before the node could say goodbye.
    The executor spins beside the main thread, since only a Python wait in the main thread lets signals through.

    Args:
        make_node: makes the node; a MienError ends the process with status 2 and a message instead of a traceback.
        start: called once the node spins, beside it.
        stop: called when the node no longer spins, before it is destroyed: it still can publish.
        done: set by the node when it has finished by itself.

    Returns:
        0; 2 when the node could not be made; 1 when a callback failed.
    """
    keep_large_blocks()
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        # In a thread of its own: a handler that interrupts wait() or set() and takes their lock waits for ever.
        signal.signal(number, lambda *_: _thread.start_new_thread(done.set, ()))
    try:
        node = make_node()
    except MienError as error:
        print(f"mien: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    failed = threading.Event()

    def spin() -> None:
        try:
            while not done.is_set():
                executor.spin_once()
        except Exception:  # noqa: BLE001  a node that no longer answers must end, so that it can be started again
            traceback.print_exc()
            failed.set()
            done.set()

    thread = threading.Thread(target=spin, name="executor")
    thread.start()
    try:
        start(node)
        done.wait()
    finally:
        done.set()
        # Shutting the executor down under a thread that spins would now and then leave it waiting for nothing.
        executor.create_task(lambda: None)
        thread.join()
        executor.shutdown()
        try:
            stop(node)
        finally:
            node.destroy_node()
            rclpy.try_shutdown()
    return int(failed.is_set())
