"""docs/export.md says what is so: its commands are understood, its files are those of a bundle."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from export import bundle
from export.__main__ import app

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/export.md").read_text("utf-8")
COMMANDS = re.findall(r"^mien-export (.*)$", GUIDE, re.MULTILINE)


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_are_understood(words: str) -> None:
    command, bound, _ = app.parse_args(shlex.split(words, comments=True), exit_on_error=False)
    assert command.__name__ == words.split()[0]
    assert bound.args or bound.kwargs


def test_the_readme_lists_the_commands() -> None:
    listed = re.findall(r"^\| `mien-export ([a-z]+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(name for name in app if not name.startswith("-"))


def test_every_option_of_the_command_is_shown() -> None:
    options = set(re.findall(r"--[a-z][a-z-]+|-o", " ".join(COMMANDS) + GUIDE))
    assert {"-o", "--precision", "--feature-map"} <= options


def test_the_python_example_names_what_there_is() -> None:
    example = GUIDE.partition("```python\n")[2].partition("```")[0]
    imported = [node for node in ast.walk(ast.parse(example)) if isinstance(node, ast.ImportFrom)]
    assert ("export.bundle", "export_bundle") in [(node.module, node.names[0].name) for node in imported]
    (call,) = [
        node
        for node in ast.walk(ast.parse(example))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "export_bundle"
    ]
    known = bundle.export_bundle.__annotations__
    assert {keyword.arg for keyword in call.keywords} <= set(known)
