"""Reads launch files with minimal recording stand-ins for ROS's `launch`, which pip cannot install."""

from __future__ import annotations

import runpy
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch


@dataclass
class LaunchConfiguration:
    name: str

    def perform(self, context: dict[str, str]) -> str:
        return context[self.name]


@dataclass
class DeclareLaunchArgument:
    name: str
    default_value: str | None = None
    description: str = ""


@dataclass
class IfCondition:
    predicate: LaunchConfiguration


@dataclass
class SetEnvironmentVariable:
    name: str
    value: str
    condition: IfCondition | None = None


@dataclass
class OpaqueFunction:
    function: Any


@dataclass
class ParameterValue:
    value: LaunchConfiguration
    value_type: type


@dataclass
class Node:
    package: str
    executable: str
    name: str
    namespace: LaunchConfiguration | str = ""
    parameters: list[Any] = field(default_factory=list)
    output: str = "log"


@dataclass
class LaunchDescription:
    entities: list[Any]


STAND_INS: dict[str, list[Any]] = {
    "launch": [LaunchDescription],
    "launch.actions": [DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable],
    "launch.conditions": [IfCondition],
    "launch.substitutions": [LaunchConfiguration],
    "launch_ros": [],
    "launch_ros.actions": [Node],
    "launch_ros.parameter_descriptions": [ParameterValue],
}


@dataclass
class Launched:
    """What a launch file would do: its arguments' names, the environment it sets and the nodes it starts.

    The nodes' substitutions are performed: `namespace` is text, `parameters` are paths and tables of values.
    """

    arguments: list[str]
    environment: dict[str, str]
    nodes: list[Node]


def read_launch_file(file: Path, **given: str) -> Launched:
    """Read a launch file as `ros2 launch FILE name:=value …` would."""
    modules = {}
    for module_name, classes in STAND_INS.items():
        modules[module_name] = ModuleType(module_name)
        for entity in classes:
            setattr(modules[module_name], entity.__name__, entity)
    with patch.dict(sys.modules, modules):
        entities = runpy.run_path(str(file))["generate_launch_description"]().entities
    arguments = [entity for entity in entities if isinstance(entity, DeclareLaunchArgument)]
    defaults = {argument.name: argument.default_value for argument in arguments if argument.default_value is not None}
    context = defaults | given
    unknown = set(given) - {argument.name for argument in arguments}
    assert not unknown, f"{file.name} has no argument {unknown}"
    launched = Launched([argument.name for argument in arguments], {}, [])
    for entity in entities:
        if isinstance(entity, SetEnvironmentVariable) and (
            entity.condition is None or entity.condition.predicate.perform(context) == "true"
        ):
            launched.environment[entity.name] = entity.value
        for node in entity.function(context) if isinstance(entity, OpaqueFunction) else [entity]:
            if isinstance(node, Node):
                launched.nodes.append(_performed(node, context))
    return launched


def _performed(node: Node, context: dict[str, str]) -> Node:
    def perform(value: Any) -> Any:
        if isinstance(value, LaunchConfiguration):
            return value.perform(context)
        if isinstance(value, ParameterValue):
            text = value.value.perform(context)
            return {"true": True, "false": False}[text] if value.value_type is bool else value.value_type(text)
        if isinstance(value, dict):
            return {name: perform(part) for name, part in value.items()}
        return value

    parameters = [perform(entry) for entry in node.parameters]
    return Node(node.package, node.executable, node.name, perform(node.namespace), parameters, node.output)
