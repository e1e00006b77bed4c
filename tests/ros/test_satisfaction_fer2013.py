"""An interaction near the edge of a level, with the package's network, through the whole node."""

from __future__ import annotations

from pathlib import Path

from mien_msgs.msg import Satisfaction

from mien.models.default_bundle import built_bundle
from tests.ros.driver import perception
from tests.ros.test_satisfaction import act, begin, end


def test_half_happy_half_angry_is_between(tmp_path: Path, ros_domain_id: int) -> None:
    bundle = str(built_bundle("fer2013"))
    with perception(tmp_path, ros_domain_id, parameters={"bundle": bundle}) as driver:
        begun = begin(driver, "mixed")
        act(driver, ("happy", "angry") * 3)
        (summary,) = end(driver, begun.interaction_id).summaries
    assert abs(summary.score) < 0.3
    assert summary.level == Satisfaction.NEUTRAL
