"""The harness itself: processes end as they should, messages and services reach the test's node."""

from __future__ import annotations

import sys

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import GetParameters
from std_msgs.msg import String

from tests.ros.harness import wait_for

TALKER = """
import rclpy
from rclpy.executors import ExternalShutdownException
from std_msgs.msg import String
rclpy.init()
node = rclpy.create_node("talker")
node.declare_parameter("word", "hello")
publisher = node.create_publisher(String, "chatter", 10)
node.create_timer(0.05, lambda: publisher.publish(String(data=node.get_parameter("word").value)))
print("talking")
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    pass
node.destroy_node()
rclpy.try_shutdown()
"""
DEAF = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf'); time.sleep(60)"


def test_messages_and_services_of_another_process_arrive(start_process, collect, call) -> None:
    talker = start_process("talker", [sys.executable, "-c", TALKER])
    messages = collect("chatter", String).wait(3)
    assert {message.data for message in messages} == {"hello"}
    response = call(GetParameters, "/talker/get_parameters", GetParameters.Request(names=["word"]))
    assert response.values[0].string_value == "hello"
    assert "talking" in talker.output
    assert talker.stop() == 0


def test_a_wait_in_vain_says_what_was_missing(collect) -> None:
    with pytest.raises(AssertionError, match="2 messages on nowhere; 0 came from 0 publishers"):
        collect("nowhere", DiagnosticArray).wait(2, timeout_s=0.1)
    with pytest.raises(AssertionError, match=r"0\.05 s in vain for the moon"):
        wait_for(lambda: False, 0.05, "the moon")


def test_a_process_that_ignores_the_interrupt_is_ended_with_its_stacks(start_process, monkeypatch) -> None:
    monkeypatch.setattr("tests.ros.harness.STOP_TIMEOUT_S", 0.2)
    deaf = start_process("deaf", [sys.executable, "-c", DEAF])
    deaf.wait_for_output("deaf")
    with pytest.raises(AssertionError, match="deaf still ran"):
        deaf.stop()
    assert "most recent call first" in deaf.output
    assert not deaf.is_running()
    deaf.expected_exit = None


def test_the_exit_status_is_checked(start_process) -> None:
    failing = start_process("failing", [sys.executable, "-c", "raise SystemExit(3)"])
    assert failing.wait(10) == 3
    with pytest.raises(AssertionError, match="failing ended with status 3, not 0"):
        failing.check_exit()
    failing.expected_exit = 3
