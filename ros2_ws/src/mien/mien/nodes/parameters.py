"""Parameters of nodes: one table per node says name, default, meaning and range; declaring and checking follow it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Union

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from mien.errors import MienError

Value = Union[bool, int, float, str, "tuple[str, ...]"]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a node; the type of the default is its type.

    Attributes:
        name: as in `-p name:=value`.
        default: bool, int, float, str, or a tuple of str.
        description: what it does, with its unit; shown by `ros2 param describe`.
        minimum: least allowed number; given together with `maximum`.
        maximum: greatest allowed number.
        choices: the allowed texts, if not every text is.
        live: whether a change takes effect while the node runs; others are refused then.
    """

    name: str
    default: Value
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values, for people."""
        if self.choices:
            return "one of " + ", ".join(repr(choice) for choice in self.choices)
        if self.minimum is not None:
            return f"{type(self.default).__name__} from {self.minimum} to {self.maximum}"
        return {bool: "true or false", int: "int", float: "float", str: "text"}.get(type(self.default), "list of texts")

    def convert(self, value: Any) -> Any:
        """The value as the type of the default.

        A whole number will do for a float and any number for a text, because the command line turns `rate_hz:=30` and
        `source:=0` into integers; one text will do for a list, because launch files join lists of substitutions, and
        so will nothing, which is how an empty list arrives. False will do for the choice "off": YAML takes it so.

        Raises:
            MienError: it has another type, or is outside the range or choices.
        """
        kind = type(self.default)
        if kind is tuple and (value is None or isinstance(value, str)):
            value = [] if value is None else [value]
        if value is False and "off" in self.choices:
            value = "off"
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
        if kind is tuple and isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value):
            value = tuple(value)
        elif (kind is float and number) or (kind is str and number):
            value = kind(value)
        elif not fits:
            raise self._refusal(value)
        if kind in (int, float) and not self._in_range(value):
            raise self._refusal(value)
        if self.choices and value not in self.choices:
            raise self._refusal(value)
        return value

    def _in_range(self, value: float) -> bool:
        if self.minimum is None or self.maximum is None:
            return math.isfinite(value)
        return self.minimum <= value <= self.maximum

    def _refusal(self, value: Any) -> MienError:
        return MienError(f"Parameter {self.name} cannot be {value!r}", f"Allowed: {self.allowed}")

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` shows.

        Typing is dynamic so that `convert` decides what fits, and says so with the allowed values.
        """
        constraints = [self.allowed] if self.choices else []
        constraints += [] if self.live else ["cannot be changed while the node runs"]
        descriptor = ParameterDescriptor(
            description=self.description, additional_constraints="; ".join(constraints), dynamic_typing=True
        )
        if self.minimum is not None and isinstance(self.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=self.minimum, to_value=self.maximum)]
        elif self.minimum is not None:
            descriptor.integer_range = [IntegerRange(from_value=int(self.minimum), to_value=int(self.maximum or 0))]
        return descriptor


def declare(node: Node, parameters: Iterable[Parameter]) -> dict[str, Any]:
    """Declare all parameters on a node and return their values by name, each of its default's type.

    Raises:
        MienError: a value given by file or command line is not allowed.
    """
    values = {}
    for parameter in parameters:
        default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        # Without ranges at first: rclpy's own refusal of a bad start value does not say what is allowed.
        value = node.declare_parameter(parameter.name, default, ParameterDescriptor(dynamic_typing=True)).value
        values[parameter.name] = parameter.convert(value)
        node.set_descriptor(parameter.name, parameter.descriptor())
    return values


def accept(
    parameters: Iterable[Parameter], changes: Iterable[RosParameter], values: dict[str, Any], running: bool = True
) -> SetParametersResult:
    """Take over changes in add_on_set_parameters_callback: all of them, or none and the reason why.

    Args:
        parameters: the node's table; names outside it (use_sim_time) are none of our business.
        changes: what the callback was given.
        values: the node's values by name; changed in place.
        running: whether parameters that are not live are refused.

    Returns:
        What the callback returns; a reason names parameter, value and allowed values.
    """
    table = {parameter.name: parameter for parameter in parameters}
    accepted = {}
    for change in changes:
        parameter = table.get(change.name)
        if parameter is None:
            continue
        if running and not parameter.live:
            reason = f"Parameter {change.name} cannot be changed while the node runs. Set it before the node starts"
            return SetParametersResult(successful=False, reason=reason)
        try:
            accepted[change.name] = parameter.convert(change.value)
        except MienError as error:
            return SetParametersResult(successful=False, reason=str(error))
    values.update(accepted)
    return SetParametersResult(successful=True)
