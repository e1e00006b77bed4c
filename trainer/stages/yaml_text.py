"""YAML without its traps: no key twice, no objects, and 1e-3 is a number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from mien.errors import MienError

_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+\Z")


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        found: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in found:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} is there twice", problem_mark=key.start_mark)
            found.add(str(key.value))
        return node


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # Outside double quotes the library writes NEL (U+0085) as it is, and reads it as the end of a line.
        return self.represent_scalar("tag:yaml.org,2002:str", data, style='"' if "\x85" in data else None)


_Dumper.add_representer(str, _Dumper.represent_str)
for _kind in (_Loader, _Dumper):
    # YAML 1.1, which the library reads, takes 1e-3 for text.
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+0123456789"))


def read_yaml(path: Path) -> Any:
    """What a yaml file holds: dicts, lists, texts, numbers, truth values, dates and None.

    Raises:
        MienError: it cannot be read; the line is named where there is one.
    """
    try:
        return yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506  a SafeLoader
    except FileNotFoundError as error:
        raise MienError(f"{path} does not exist", "Name a .yaml file") from error
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror})", "Name a file that this user may read") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise MienError(f"{path}{line}: {error.problem}", "Correct that line") from error
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise MienError(f"{path} is not yaml ({error})", "Write it as text in UTF-8") from error


def write_yaml(value: Any) -> str:
    """Dicts, lists, texts and numbers as yaml, in their order."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))
