"""Real nodes in separate processes for the tests, and the waiting that goes with them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

STOP_TIMEOUT_S = 15.0


def wait_for(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Return the condition's first true value; after `timeout_s` fail, saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {timeout_s:g} s in vain for {what}")
        time.sleep(0.01)
    return value


class NodeProcess:
    """A process under test. Its output goes to a file; `expected_exit` is the status it must end with (None: any)."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.expected_exit: int | None = 0
        self._interrupted = False
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace")

    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait(self, timeout_s: float) -> int:
        """Wait until it ends by itself; return its exit status."""
        wait_for(lambda: not self.is_running(), timeout_s, f"{self.name} to end by itself")
        return self._process.returncode

    def wait_for_output(self, text: str, timeout_s: float = 20.0) -> None:
        wait_for(lambda: text in self.output, timeout_s, f"{self.name} to print {text!r}")

    def interrupt(self) -> None:
        """Do what Ctrl+C does, once: a second one may meet an interpreter that has put its own handlers away."""
        if self.is_running() and not self._interrupted:
            self._interrupted = True
            self._process.send_signal(signal.SIGINT)

    def stop(self) -> int:
        """Interrupt it and return its exit status; one that hangs prints the stacks of its threads and is killed."""
        self.interrupt()
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            raise AssertionError(f"{self.name} still ran {STOP_TIMEOUT_S:g} s after Ctrl+C") from None

    def check_exit(self) -> None:
        """Stop it and fail unless it ended with the expected status."""
        status = self.stop()
        expected = self.expected_exit
        assert expected is None or status == expected, f"{self.name} ended with status {status}, not {expected}"


def node_command(
    module: str,
    folder: Path,
    parameters: Mapping[str, Any] | None = None,
    remaps: Mapping[str, str] | None = None,
    namespace: str = "",
) -> list[str]:
    """The command line of mien.nodes.<module>; its parameters go through a file in `folder` and so keep their types."""
    command = [sys.executable, "-m", f"mien.nodes.{module}", "--ros-args"]
    if parameters:
        # JSON is YAML; "/**" stands for every node of the process.
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "parameters.yaml"
        file.write_text(json.dumps({"/**": {"ros__parameters": dict(parameters)}}))
        command += ["--params-file", str(file)]
    for name, target in (remaps or {}).items():
        command += ["-r", f"{name}:={target}"]
    if namespace:
        command += ["-r", f"__ns:=/{namespace.strip('/')}"]
    return command


def node_environment() -> dict[str, str]:
    """The environment of a node under test.

    The ROS wheels restart Python once to set LD_LIBRARY_PATH, and mark that in another variable: both are passed on.
    """
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}


class Collector:
    """Every message of one topic, in the order of arrival."""

    def __init__(self, node: Node, topic: str, message_type: type, qos: Any) -> None:
        self._topic = topic
        self._messages: list[Any] = []
        self._arrival = threading.Condition()
        self._node = node
        self._subscription = node.create_subscription(message_type, topic, self._on_message, qos)

    def _on_message(self, message: Any) -> None:
        with self._arrival:
            self._messages.append(message)
            self._arrival.notify_all()

    @property
    def messages(self) -> list[Any]:
        """A copy of what has arrived so far."""
        with self._arrival:
            return list(self._messages)

    def clear(self) -> None:
        with self._arrival:
            self._messages.clear()

    def wait(self, count: int = 1, timeout_s: float = 20.0) -> list[Any]:
        """Wait until `count` messages are there and return all."""
        return self.wait_until(lambda messages: len(messages) >= count, timeout_s, f"{count} messages")

    def wait_until(self, enough: Callable[[list[Any]], Any], timeout_s: float = 20.0, what: str = "") -> list[Any]:
        """Wait until `enough(messages)` is true and return the messages."""
        with self._arrival:
            if not self._arrival.wait_for(lambda: enough(self._messages), timeout_s):
                raise AssertionError(
                    f"Waited {timeout_s:g} s in vain for {what or 'messages'} on {self._topic}; "
                    f"{len(self._messages)} came from {self._node.count_publishers(self._topic)} publishers"
                )
            return list(self._messages)


class SpinningNode:
    """A node of the test itself, with its own context, served by a thread."""

    def __init__(self, name: str, domain_id: int) -> None:
        self._context = Context()
        self._context.init(domain_id=domain_id)
        self.node = Node(name, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._spin, name=name)
        self._thread.start()

    def _spin(self) -> None:
        while not self._closing.is_set():
            self._executor.spin_once()

    def close(self) -> None:
        """Stop; any other order aborts the process or leaves threads behind."""
        self._closing.set()
        self._executor.create_task(lambda: None)  # wakes it
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()


def call_service(node: Node, service_type: type, name: str, request: Any, timeout_s: float = 20.0) -> Any:
    """Call a service as soon as it exists and return its response."""
    client = node.create_client(service_type, name)
    try:
        assert client.wait_for_service(timeout_s), f"Waited {timeout_s:g} s in vain for service {name}"
        future = client.call_async(request)
        wait_for(future.done, timeout_s, f"the answer of {name}")
        return future.result()
    finally:
        node.destroy_client(client)
