"""A node's table of parameters decides what is accepted, and says what is allowed."""

from __future__ import annotations

import math

import pytest
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from mien.errors import MienError
from mien.nodes.parameters import Parameter, accept, declare

TABLE = (
    Parameter("rate_hz", 0.0, "Rate, Hz.", 0.0, 240.0, live=True),
    Parameter("count", 1, "Count.", 0, 5, live=True),
    Parameter("source", "", "What to read."),
    Parameter("mode", "auto", "Mode.", choices=("auto", "off"), live=True),
    Parameter("loop", False, "Again.", live=True),
    Parameter("topics", ("eye",), "Topics.", live=True),
)


@pytest.fixture
def make_node():
    """Make a node with parameters from its command line."""
    made = []

    def make(*arguments):
        context = Context()
        context.init(args=[])
        options = [part for argument in arguments for part in ("-p", argument)]
        made.append(
            Node("tested", context=context, use_global_arguments=False, cli_args=["--ros-args", *options, "--"])
        )
        return made[-1]

    yield make
    for node in made:
        node.destroy_node()
        node.context.try_shutdown()


def test_defaults(make_node):
    assert declare(make_node(), TABLE) == {parameter.name: parameter.default for parameter in TABLE}


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("rate_hz:=30", "rate_hz", 30.0),
        ("rate_hz:=240.0", "rate_hz", 240.0),
        ("source:=0", "source", "0"),
        ("source:=a.mp4", "source", "a.mp4"),
        ("topics:=[/a,/b]", "topics", ("/a", "/b")),
        ("topics:=[]", "topics", ()),
        ("topics:=/a", "topics", ("/a",)),
        ("loop:=true", "loop", True),
        ("mode:=off", "mode", "off"),
    ],
)
def test_the_command_line_is_understood(make_node, argument, name, value):
    found = declare(make_node(argument), TABLE)[name]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "argument",
    ["rate_hz:=241.0", "rate_hz:=-1", "rate_hz:=fast", "count:=6", "count:=1.5", "mode:=other", "loop:=1", "topics:=3"],
)
def test_a_bad_start_value_is_refused_with_what_is_allowed(make_node, argument):
    name, value = argument.split(":=")
    with pytest.raises(MienError) as error:
        declare(make_node(argument), TABLE)
    assert f"Parameter {name}" in error.value.problem
    assert value in error.value.problem
    assert error.value.remedy.startswith("Allowed: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate_hz", 500.0),
        ("rate_hz", math.nan),
        ("count", 9),
        ("mode", "x"),
        ("loop", 3),
        ("loop", None),
        ("count", True),
    ],
)
def test_a_bad_change_is_refused_and_the_old_value_stays(make_node, name, value):
    node = make_node()
    declare(node, TABLE)

    values = {}
    node.add_on_set_parameters_callback(lambda changes: accept(TABLE, changes, values))
    before = node.get_parameter(name).value
    (result,) = node.set_parameters([RosParameter(name, value=value)])
    assert not result.successful
    assert name in result.reason
    assert node.get_parameter(name).value == before
    assert values == {}


def test_a_parameter_that_is_not_live_changes_only_while_the_node_does_not_run():
    changes = [RosParameter("source", value="b.mp4")]
    assert "source" in accept(TABLE, changes, {}).reason
    assert accept(TABLE, changes, {}, running=False).successful


def test_good_changes_and_foreign_parameters_pass():
    changes = [RosParameter("rate_hz", value=20), RosParameter("use_sim_time", value=True)]
    values = {}
    assert accept(TABLE, changes, values).successful
    assert values == {"rate_hz": 20.0}


def test_descriptions_and_ranges_can_be_asked_for(make_node):
    node = make_node()
    declare(node, TABLE)
    rate, count, source, mode = node.describe_parameters(["rate_hz", "count", "source", "mode"])
    assert (rate.floating_point_range[0].from_value, rate.floating_point_range[0].to_value) == (0.0, 240.0)
    assert (count.integer_range[0].from_value, count.integer_range[0].to_value) == (0, 5)
    assert (rate.description, source.description) == ("Rate, Hz.", "What to read.")
    assert "'off'" in mode.additional_constraints
    assert "while the node runs" in source.additional_constraints
