"""A bundle that tells valence and arousal only, through node, REP-155 and recorder: nothing is made up."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from mien_msgs.msg import Satisfaction

from tests.ros.driver import Driver, perception
from tests.ros.harness import Collector, node_environment, wait_for
from tests.ros.humans_messages import hri_msgs_environment
from tests.ros.people import People
from tests.ros.pictures import demo_frame

# The first run builds the messages.
pytestmark = pytest.mark.timeout(300)


def records(text: str) -> list[dict[str, Any]]:
    """The JSON objects among whole lines."""
    return [
        json.loads(line) for line in text.splitlines(keepends=True) if line.startswith("{") and line.endswith("}\n")
    ]


def valence_and_arousal_are_learned(robot: Driver) -> None:
    people = People(robot)
    (before,) = robot.read(demo_frame()).faces
    assert people.enroll("anna", before.face_id).success
    for i in range(12):
        robot.read(demo_frame(260 + 4 * i))
        response = people.label(person="anna", has_valence_arousal=True, valence=-1.0, arousal=-0.5)
        # The head ends in tanh, for which there is no closed form.
        assert (response.success, response.samples, "sgd" in response.message) == (True, i + 1, True), response.message
    refused = people.label("happiness", person="anna")
    assert (refused.success, "happiness" in refused.message) == (False, True)
    learned = people.learn("anna", "sgd").result
    assert (learned.success, learned.samples) == (True, 12), learned.message
    (after,) = robot.read(demo_frame()).faces
    assert (after.person_id, after.head_version) == ("anna", learned.head_version)
    assert abs(after.valence + 1) < abs(before.valence + 1) - 0.1
    assert abs(after.arousal + 0.5) < abs(before.arousal + 0.5)


def test_valence_and_arousal_are_all_that_is_told(
    start_process, start_node, tmp_path: Path, ros_domain_id: int, affect_bundle: Path
) -> None:
    hri = hri_msgs_environment()
    out = tmp_path / "out"
    parameters = {
        "bundle": str(affect_bundle),
        "smoothing_time_constant_s": 0.0,
        "satisfaction_rate_hz": 50.0,
        "people_folder": str(tmp_path / "people"),
        "identity": "off",
    }
    with perception(tmp_path / "node", ros_domain_id, parameters=parameters, environment=hri) as robot:
        robot.connect()  # before the recorder listens as well
        published = Collector(robot.node, "/satisfaction", Satisfaction, 1000)
        script = Path(__file__).with_name("humans_listener.py")
        humans = start_process("listener", [sys.executable, str(script)], {**node_environment(), **hri})
        recorder = start_node("recorder", parameters={"out_dir": str(out), "record_video": True})
        humans.wait_for_output("listening")
        recorder.wait_for_output("Receiving emotions")
        answers = []

        def all_heard() -> bool:
            answers.append(robot.read(demo_frame(300 + 4 * (len(answers) % 6))))
            shown = (out / ".annotated.mp4.part").exists() and '"topic": "expression"' in humans.output
            return shown and any(message.observed_s > 1 for message in published.messages)

        wait_for(all_heard, 60, "satisfaction, REP-155 and a picture in the video")
        recorder.stop()
        humans.stop()
        valence_and_arousal_are_learned(robot)

    assert all(answer.labels == [] for answer in answers)
    (face,) = answers[-1].faces
    assert (face.expression, list(face.probabilities), list(face.probabilities_raw)) == ("", [], [])
    assert math.isnan(face.confidence)
    valences = [answer.faces[0].valence for answer in answers]
    assert -1 <= min(valences) < max(valences) <= 1

    last = next(message for message in reversed(published.messages) if message.observed_s > 1)
    assert min(valences) <= last.score <= max(valences)
    assert 0 < last.confidence <= 1 - math.exp(-last.observed_s / 5) + 1e-6

    heard = [one for one in records(humans.output.replace("NaN", "null")) if one["topic"] == "expression"]
    assert {one["expression"] for one in heard} == {""}
    assert {one["confidence"] for one in heard} == {None}
    assert all(any(math.isclose(one["valence"], valence, abs_tol=1e-6) for valence in valences) for one in heard)

    recorded = [face for frame in records((out / "emotions.jsonl").read_text()) for face in frame["faces"]]
    assert recorded
    assert {(one["expression"], one["confidence"], len(one["probabilities"])) for one in recorded} == {("", None, 0)}
    summary = json.loads((out / "summary.json").read_text())
    assert summary["recorder"]["messages_unreadable"] == summary["recorder"]["pictures_failed"] == 0
    assert summary["recorder"]["pictures_written"] > 0
    report = (out / "report.html").read_text()
    assert "annotated.mp4" in report
    assert "nan" not in report
