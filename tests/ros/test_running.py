"""Ending a node's process from outside."""

from __future__ import annotations

import os
import signal
import sys

import pytest

NODE = """
import sys, threading, time
from rclpy.node import Node
from mien.nodes.running import run
def stop(node):
    print("stopped")
    time.sleep(1)  # the last signal comes while the interpreter is whole
sys.exit(run(lambda: Node("idle"), start=lambda node: print("ready"), stop=stop, done=threading.Event()))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_impatient_interrupts_end_a_node_cleanly(start_process, number) -> None:
    for _ in range(2):
        node = start_process("idle", [sys.executable, "-c", NODE])
        node.wait_for_output("ready")
        for _ in range(2000):
            if "stopped" in node.output:
                break
            os.kill(node.pid, number)
        assert node.wait(10) == 0
        assert "stopped" in node.output


FAILING = """
import sys, threading
from rclpy.node import Node
from mien.nodes.running import run
class Failing(Node):
    def __init__(self):
        super().__init__("failing")
        self.create_timer(0.01, self.fail)
    def fail(self):
        raise ValueError("as the test wants")
sys.exit(run(Failing, start=lambda node: None, stop=lambda node: print("stopped"), done=threading.Event()))
"""


def test_a_node_whose_callback_fails_ends_and_says_why(start_process) -> None:
    node = start_process("failing", [sys.executable, "-c", FAILING])
    node.expected_exit = 1
    assert node.wait(20) == 1
    assert "ValueError: as the test wants" in node.output
    assert "stopped" in node.output
