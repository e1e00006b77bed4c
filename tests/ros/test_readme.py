"""The README's tables of topics, services, parameters and commands equal what the nodes and the command line have."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import cyclopts
import numpy as np
import pytest
import yaml
from rclpy.action import get_action_server_names_and_types_by_node
from rclpy.node import Node

from mien.cli import app
from tests.ros.harness import wait_for

ROOT = Path(__file__).resolve().parents[2]
NODES = ("perception", "camera", "recorder")
# Every node has these.
COMMON_TOPICS = ("/rosout", "/parameter_events")


def section(title: str) -> str:
    """The README's text under a second-level heading."""
    text = (ROOT / "README.md").read_text()
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"README.md has no section {title}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of the first table in a text, without its header."""
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table, f"no table in {text[:80]!r}"
    return [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in table[0].splitlines()[2:]]


def code(cell: str) -> str:
    """The first text between backticks in a cell."""
    found = re.search(r"`([^`]*)`", cell)
    assert found, f"nothing between backticks in {cell!r}"
    return found[1]


@pytest.fixture
def graph(start_node, ros_node, tmp_path) -> Callable[[str, str], dict[str, str]]:
    """What a real node has, names relative to its namespace: `graph("perception", "publisher")` → types by name."""
    picture = tmp_path / "grey.png"
    cv2.imwrite(str(picture), np.full((48, 64, 3), 128, np.uint8))
    start_node("perception", namespace="here")
    # It waits for more subscribers than there will be.
    parameters = {"source": str(picture), "compressed": "both", "wait_for_subscribers": 9}
    start_node("camera", namespace="here", parameters=parameters)
    wait_for(lambda: {"perception", "camera"} <= set(ros_node.get_node_names()), 60, "both nodes")
    for topic in ("image_raw", "emotions"):
        wait_for(lambda topic=topic: ros_node.count_publishers(f"/here/{topic}"), 60, f"a publisher of {topic}")

    def ask(node: str, what: str) -> dict[str, str]:
        found = getattr(ros_node, f"get_{what}_names_and_types_by_node")(node, "/here")
        own = {name: types[0] for name, types in found if name not in COMMON_TOPICS and "/_action/" not in name}
        names = {name: name.removeprefix("/here/") for name in own if not name.startswith(f"/here/{node}/")}
        return {relative: re.sub("/(msg|srv)/", "/", own[name]) for name, relative in names.items()}

    return ask


@pytest.mark.parametrize("node", ["perception", "camera"])
def test_topics(graph, node: Node) -> None:
    listed = {code(cells[0]): code(cells[1]) for cells in rows(section("Topics")) if cells[2] == node}
    # REP-155's come with hri_msgs, which pip has not.
    here = {name: kind for name, kind in listed.items() if not name.startswith("/humans/")}
    eventually(lambda: graph(node, "publisher"), here)


def test_services(graph) -> None:
    listed = {code(cells[0]): code(cells[1]) for cells in rows(section("Services"))}
    eventually(lambda: graph("perception", "service"), listed)
    eventually(lambda: graph("camera", "service"), {})


def test_actions(graph, ros_node) -> None:
    listed = dict(re.findall(r"^The action `(\w+)` \(`mien_msgs/(\w+)`\)", section("Services"), re.MULTILINE))

    def offered() -> dict[str, str]:
        found = dict(get_action_server_names_and_types_by_node(ros_node, "perception", "/here"))
        return {name.removeprefix("/here/"): types[0].rpartition("/")[2] for name, types in found.items()}

    eventually(offered, listed)


def test_parameters() -> None:
    text = section("Parameters")
    for node in NODES:
        title = f"`{node}`"
        assert f"### {title}\n" in text, f"no table of the parameters of {node}"
        listed = {code(cells[0]): code(cells[1]) for cells in rows(text.partition(f"### {title}\n")[2])}
        table = importlib.import_module(f"mien.nodes.{node}").PARAMETERS
        defaults: dict[str, Any] = {
            parameter.name: list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            for parameter in table
        }
        assert {name: yaml.safe_load(default) for name, default in listed.items()} == defaults


def eventually(get: Callable[[], Any], expected: Any) -> None:
    """Assert that what `get` returns is, or within ten seconds becomes, what is expected."""
    with contextlib.suppress(AssertionError):
        wait_for(lambda: get() == expected, 10, "equality")
    assert get() == expected


def leaves(command: cyclopts.App, words: tuple[str, ...]) -> set[str]:
    """Every command that does something, with the words before it."""
    names = [name for name in command if not name.startswith("-")]
    return {" ".join(words)} if not names else set().union(*(leaves(command[name], (*words, name)) for name in names))


def test_commands() -> None:
    listed = {
        word.group()
        for cells in rows(section("Commands"))
        if (word := re.match(r"(mien|make)( [a-z-]+)+", code(cells[0])))
    }
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {command for command in listed if command.startswith("mien ")} == leaves(app, ("mien",))
    assert {"make run", "make test", "make bench"} <= listed - leaves(app, ("mien",)) <= {f"make {t}" for t in targets}
