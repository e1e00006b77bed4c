"""Scripted interactions of real faces through the whole node: who was pleased is told from who was not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from mien_msgs.msg import Satisfaction
from mien_msgs.srv import BeginInteraction, EndInteraction

from tests.ros.driver import Driver, perception, stamp_ns
from tests.ros.harness import Collector
from tests.ros.pictures import paste, portraits

SIZE = (640, 400)
SCRIPTS = {
    "happy": ("happy",) * 6,
    "neutral": ("neutral",) * 6,
    "angry": ("angry",) * 6,
    "mixed": ("happy", "angry") * 3,
}
"""What the face shows, each for 1.2 seconds."""
EMPTY = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory, ros_domain_id: int) -> Iterator[Driver]:
    """A node with default parameters, but for the rate of the topic."""
    folder = tmp_path_factory.mktemp("satisfaction")
    with perception(folder, ros_domain_id, parameters={"satisfaction_rate_hz": 50.0}) as driver:
        yield driver


@pytest.fixture(scope="module")
def published(robot: Driver) -> Collector:
    return Collector(robot.node, "/satisfaction", Satisfaction, 1000)


@pytest.fixture(autouse=True)
def empty_stage(robot: Driver) -> None:
    """The people of earlier tests have been gone for so long that they are forgotten."""
    clear_the_stage(robot)


def clear_the_stage(robot: Driver) -> None:
    for _ in range(3):
        robot.let_pass(8)
        answer = robot.read(EMPTY)
    assert answer.faces == []


def act(robot: Driver, script: Sequence[str], place: int = 100) -> int:
    """Show one face at 12.5 images per second; returns the stamp of the last image, ns."""
    last_ns = 0
    for scene, expression in enumerate(script):
        choice = portraits(expression)
        for step in range(15):
            face = choice[scene % len(choice)]
            robot.let_pass(0.04)
            answer = robot.read(paste(SIZE, [face], [(place + step % 3, 10 + step % 2)]))
            assert len(answer.faces) == 1 or (scene == 0 and step < 3), "a new face is found within 200 ms"
            last_ns = stamp_ns(answer)
    return last_ns


def begin(robot: Driver, subject: str, ids: Sequence[str] = ()) -> BeginInteraction.Response:
    request = BeginInteraction.Request(subject=subject, person_ids=list(ids))
    return robot.call(BeginInteraction, "/begin_interaction", request)


def end(robot: Driver, interaction_id: str) -> EndInteraction.Response:
    return robot.call(EndInteraction, "/end_interaction", EndInteraction.Request(interaction_id=interaction_id))


@pytest.fixture(scope="module")
def summaries(robot: Driver, published: Collector) -> dict[str, Satisfaction]:
    """How each scripted interaction was summed up."""
    found = {}
    for name, script in SCRIPTS.items():
        clear_the_stage(robot)
        begun = begin(robot, name)
        assert begun.success
        act(robot, script)
        summary = end(robot, begun.interaction_id)
        assert (summary.success, summary.subject) == (True, name)
        (found[name],) = summary.summaries
    return found


def test_interactions_rank_by_how_they_went(summaries: dict[str, Satisfaction]) -> None:
    score = {name: summary.score for name, summary in summaries.items()}
    assert all(-1 <= value <= 1 for value in score.values())
    for between in ("neutral", "mixed"):
        assert score["happy"] - score[between] > 0.5
        assert score[between] - score["angry"] > 0.3
        assert abs(score[between]) < 0.3
    levels = {name: summary.level for name, summary in summaries.items()}
    assert levels == {
        "happy": Satisfaction.SATISFIED,
        "neutral": Satisfaction.NEUTRAL,
        "mixed": Satisfaction.NEUTRAL,
        "angry": Satisfaction.DISSATISFIED,
    }


def test_a_summary_says_how_long_the_face_was_seen(summaries: dict[str, Satisfaction]) -> None:
    for summary in summaries.values():
        assert summary.observed_s == pytest.approx(7.2, abs=0.4)
        assert summary.duration_s >= summary.observed_s
        assert summary.present
        assert 0.3 < summary.confidence <= 1
        assert summary.face_id


def test_what_is_published_stays_in_its_ranges(summaries: dict[str, Satisfaction], published: Collector) -> None:
    messages = published.messages
    assert {message.subject for message in messages} == {"", *summaries}
    assert all(-1 <= message.score <= 1 and 0 <= message.confidence <= 1 for message in messages)
    assert all(0 <= message.observed_s <= message.duration_s + 1e-3 for message in messages)


@pytest.mark.parametrize("expression", ["happy", "angry"])
def test_a_face_that_leaves_lowers_the_confidence_but_not_the_score(
    robot: Driver, published: Collector, expression: str
) -> None:
    interaction = begin(robot, f"leaving {expression}").interaction_id
    last_ns = act(robot, (expression,) * 4)

    def newest(condition: Callable[[Satisfaction], bool], what: str) -> Satisfaction:
        def fits(message: Satisfaction) -> bool:
            return message.subject == f"leaving {expression}" and condition(message)

        published.clear()
        messages = published.wait_until(lambda messages: any(map(fits, messages)), 10, what)
        return next(filter(fits, messages))

    seen = newest(lambda message: stamp_ns(message) == last_ns, "the state after the last image")
    assert seen.present
    while (answer := robot.read(EMPTY)).faces:
        last_ns = stamp_ns(answer)
    states = [seen]
    for _ in range(3):
        robot.let_pass(5)
        robot.read(EMPTY)
        states.append(newest(lambda message: message.duration_s > states[-1].duration_s + 4, "a later state"))
    assert [state.present for state in states] == [True, False, False, False]
    # A missed face is still shown for a few images, which count a little.
    assert [state.score for state in states[1:]] == [pytest.approx(seen.score, abs=0.02)] * 3
    assert len({state.score for state in states[1:]}) == 1
    confidences = [state.confidence for state in states]
    assert all(later < 0.9 * earlier for earlier, later in pairwise(confidences))
    assert {stamp_ns(state) for state in states[1:]} == {last_ns}, "the newest image that counted"
    (summary,) = end(robot, interaction).summaries
    assert summary.score == pytest.approx(states[-1].score)
    assert not summary.present


def test_several_subjects_are_measured_at_once_for_whom_they_concern(robot: Driver) -> None:
    whole = begin(robot, "the whole visit").interaction_id
    act(robot, ["happy", "happy"])
    (face,) = robot.read(paste(SIZE, [portraits("happy")[0]], [(100, 10)])).faces
    second_half = begin(robot, "the second half").interaction_id
    theirs = begin(robot, "for this face", [face.face_id]).interaction_id
    nobodys = begin(robot, "for somebody else", ["zzzz1"]).interaction_id
    act(robot, ["angry", "angry"])
    ended = {name: end(robot, name) for name in (whole, second_half, theirs, nobodys)}
    assert all(summary.success for summary in ended.values())
    assert [len(ended[name].summaries) for name in ended] == [1, 1, 1, 0]
    score = {name: ended[name].summaries[0].score for name in (whole, second_half, theirs)}
    assert score[whole] > score[second_half] + 0.3
    assert score[theirs] == pytest.approx(score[second_half], abs=0.01)
    assert ended[whole].duration_s > ended[second_half].duration_s + 2
    assert len({whole, second_half, theirs, nobodys}) == 4


@pytest.mark.parametrize("subject", ["", "   "])
def test_an_interaction_needs_a_subject(robot: Driver, subject: str) -> None:
    response = begin(robot, subject)
    assert not response.success
    assert response.interaction_id == ""
    assert "Name the product or service" in response.message


def test_an_unknown_or_ended_interaction_cannot_be_ended(robot: Driver) -> None:
    interaction = begin(robot, "short").interaction_id
    assert end(robot, interaction).success
    for unknown in (interaction, "nonsense", ""):
        response = end(robot, unknown)
        assert not response.success
        assert repr(unknown) in response.message
        assert "Give the id that beginning it returned" in response.message
        assert list(response.summaries) == []
