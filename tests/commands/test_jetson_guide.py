"""docs/jetson.md says what is so: its commands and options exist, its links lead somewhere, its messages are ours."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mien.cli import app
from mien.runtime.backend import BACKENDS

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "jetson.md"
TEXT = GUIDE.read_text("utf-8")
MIEN = ROOT / "ros2_ws/src/mien/mien"
SOURCES = "\n".join(path.read_text("utf-8") for path in MIEN.rglob("*.py"))


def commands() -> list[str]:
    """Every call of `mien` in the guide, in its blocks and between backticks."""
    blocks = re.findall(r"^```\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0].partition(">")[0] for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`(mien [^`…]+)`", TEXT)
    return sorted({line.strip() for line in [*lines, *inline] if line.startswith("mien ")})


@pytest.mark.parametrize("command", commands())
def test_commands_and_their_options_exist(command: str) -> None:
    _, name, *rest = shlex.split(command)
    parameters = {flag for argument in app[name].assemble_argument_collection() for flag in argument.names}
    assert {word for word in rest if word.startswith("--")} <= parameters


def test_the_guide_has_commands() -> None:
    assert {"mien engine", "mien bench --backend tensorrt --no-dds"} <= set(commands())


def test_backends_exist() -> None:
    named = set(re.findall(r"(?:backend:=|--backend )([a-z]+(?:-[a-z]+)?)", TEXT)) | set(
        re.findall(r"`(onnxruntime-[a-z]+)`", TEXT)
    )
    assert named - {"onnxruntime-gpu"} <= set(BACKENDS)
    assert {"tensorrt", "onnxruntime-openvino"} <= named


def test_links_lead_somewhere() -> None:
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", TEXT)]
    assert [link for link in links if link and not (GUIDE.parent / link).exists()] == []


def test_messages_are_those_of_the_code() -> None:
    table = TEXT.rpartition("| what `/diagnostics`")[2]
    messages = re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)
    assert len(messages) == 7
    for message in messages:
        for part in message.replace("tensorrt", "…").split("…"):
            assert part.strip() in SOURCES or part.strip() == "SIGKILL", part
