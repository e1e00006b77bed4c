"""`mien people` where no ROS is needed: what it does when the robot is slow."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from mien.commands import people


class Clock:
    """A time module whose time passes by sleeping alone."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        """What has been slept so far."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


class SlowRobot:
    """Takes long for its first label."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.labelled: list[str] = []

    def list_people(self) -> None:
        """Nobody."""

    def label(self, ids: dict[str, str], expression: str, affect: object, source: str) -> None:
        if not self.labelled:
            self.clock.sleep(0.5)
        self.labelled.append(expression)


def test_a_stimulus_label_that_would_come_too_late_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    robot = SlowRobot(clock)
    monkeypatch.setattr(people, "time", clock)
    monkeypatch.setattr(people, "_robot", lambda namespace: nullcontext(robot))
    monkeypatch.setattr(people, "_LATEST_S", 0.3)
    film = tmp_path / "film.csv"
    film.write_text("time_s,expression\n0,fear\n0.1,anger\n0.8,sadness\n")
    people.stimulus(film, person="anna", every_s=0, as_json=True)
    assert robot.labelled == ["fear", "sadness"]
    problems = [json.loads(line)["problem"] for line in capsys.readouterr().out.splitlines()]
    assert [bool(one) for one in problems] == [False, True, False]
    assert "late" in problems[1]


@pytest.mark.parametrize(
    ("score", "shown"),
    [(math.nan, "Version 1 is in use; 3 moments. Taken\n"), (0.5, "3 moments, held-out score 0.500 → 0.500. Taken\n")],
)
def test_scores_that_are_not_known_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], score: float, shown: str
) -> None:
    told = {"success": True, "message": "Taken", "head_version": 1, "samples": 3}
    told |= {"score_before": score, "score_after": score}
    robot = SimpleNamespace(personalize=lambda *_: told)
    monkeypatch.setattr(people, "_robot", lambda namespace: nullcontext(robot))
    people.personalize("anna")
    assert capsys.readouterr().out.endswith(shown)
