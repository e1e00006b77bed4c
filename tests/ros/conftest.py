"""Fixtures for tests with real ROS 2 nodes in separate processes; see harness.py for what they hand out."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rclpy.node import Node

from tests.ros.harness import Collector, NodeProcess, SpinningNode, call_service, node_command, node_environment

# Domain 0 is everybody's default; above 101 the ports fall among those that the system hands out.
FIRST_DOMAIN, LAST_DOMAIN = 20, 101


@pytest.fixture(scope="session", autouse=True)
def ros_domain_id() -> Iterator[int]:
    """A ROS domain that no other test session on this machine uses, set for this process and its children."""
    count = LAST_DOMAIN - FIRST_DOMAIN + 1
    for offset in range(count):
        domain = FIRST_DOMAIN + (os.getpid() + offset) % count
        with (Path(tempfile.gettempdir()) / f"mien-ros-domain-{domain}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("ROS_DOMAIN_ID", str(domain))
                patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
                yield domain
            return
    raise RuntimeError("Every ROS domain is taken by another test session")


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Start any command as a process under test: `start_process(name, command, environment)`."""
    processes: list[NodeProcess] = []

    def start(name: str, command: list[str], environment: Mapping[str, str] | None = None) -> NodeProcess:
        log = tmp_path / f"{len(processes)}-{name}.log"
        processes.append(NodeProcess(name, command, environment or node_environment(), log))
        return processes[-1]

    yield start
    for process in processes:
        process.interrupt()
    failures = []
    for process in processes:
        try:
            process.check_exit()
        except AssertionError as error:
            failures.append(str(error))
        # Captured by pytest, which shows it when the test fails.
        print(f"--- output of {process.name} ---\n{process.output}")
    assert not failures, "; ".join(failures)


@pytest.fixture
def start_node(start_process: Callable[..., NodeProcess], tmp_path: Path) -> Callable[..., NodeProcess]:
    """Start mien.nodes.<module>: `start_node(module, parameters={}, remaps={}, namespace="", environment={})`.

    It is interrupted after the test and must then end with status 0 (or its `expected_exit`) within 15 s.
    """
    counts: dict[str, int] = {}

    def start(module: str, environment: Mapping[str, str] | None = None, **options: Any) -> NodeProcess:
        counts[module] = counts.get(module, 0) + 1
        command = node_command(module, tmp_path / f"{module}-{counts[module]}", **options)
        return start_process(module, command, {**node_environment(), **(environment or {})})

    return start


@pytest.fixture
def ros_node(ros_domain_id: int) -> Iterator[Node]:
    """A node of the test's own process, with its own context and a thread that serves it."""
    spinning = SpinningNode("test_node", ros_domain_id)
    yield spinning.node
    spinning.close()


@pytest.fixture
def collect(ros_node: Node) -> Callable[..., Collector]:
    """Subscribe and keep every message: `collect(topic, message_type, qos=10)`."""
    return lambda topic, message_type, qos=10: Collector(ros_node, topic, message_type, qos)


@pytest.fixture
def call(ros_node: Node) -> Callable[..., Any]:
    """Call a service and return its response: `call(service_type, name, request, timeout_s=20)`."""
    return lambda service_type, name, request, timeout_s=20.0: call_service(
        ros_node, service_type, name, request, timeout_s
    )
