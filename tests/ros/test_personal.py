"""People in a real node: who is known, labels that change the next answers, forgetting, learning afresh."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from mien_msgs.msg import LabelRequest, Person, SampleLabel
from mien_msgs.srv import BeginInteraction, EndInteraction, ExportPerson, LabelSample

from mien.bundle import open_bundle
from mien.pipeline import Frame, Pipeline, PipelineSettings
from tests.ros.driver import Driver, perception
from tests.ros.harness import Collector, wait_for
from tests.ros.people import STEADY, People, left_to_right, three_layer_bundle
from tests.ros.pictures import demo_frame

EMPTY = np.full((360, 640, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds all that the node reads and writes."""
    return tmp_path_factory.mktemp("personal")


@pytest.fixture(scope="module")
def robot(folder: Path, ros_domain_id: int) -> Iterator[Driver]:
    """A node that learns people, whose head has three layers and whom nobody helps to recognise people."""
    parameters = {
        "bundle": str(three_layer_bundle(folder / "bundle")),
        "people_folder": str(folder / "people"),
        "identity": "off",
        "questions_per_hour": 3600.0,
        "satisfaction_rate_hz": 50.0,
        **STEADY,
    }
    with perception(folder, ros_domain_id, parameters=parameters) as driver:
        yield driver


@pytest.fixture
def people(robot: Driver) -> Iterator[People]:
    """Nobody is known or in view, before and after the test."""
    people = People(robot)
    leave(robot)
    yield people
    for person_id in people.list():
        assert people.forget(person_id).success
    assert robot.set_parameters(place="").successful


def leave(robot: Driver) -> None:
    """The faces go for so long that they have other ids when they come back."""
    robot.let_pass(5)
    while robot.read(EMPTY).faces:
        pass
    robot.let_pass(5)


def raw(face: Any) -> np.ndarray:
    return np.array(face.probabilities_raw)


def test_a_label_changes_that_persons_output_while_the_camera_goes_on(robot: Driver, people: People) -> None:
    (face,) = robot.read(demo_frame()).faces
    assert people.enroll("anna", face.face_id).success
    ended = threading.Event()

    def film() -> None:
        while not ended.wait(1 / 30):
            robot.send(robot.message(demo_frame()))

    camera = threading.Thread(target=film)
    camera.start()
    times_ms = []
    try:
        for version in range(1, 9):
            robot.emotions.clear()
            started = time.perf_counter()
            response = people.label("sadness", person="anna")
            answered = time.perf_counter()
            assert (response.success, response.samples) == (True, version), response.message
            robot.emotions.wait_until(lambda seen, v=version: [one for one in seen if v in versions(one)], 5)
            times_ms.append((1e3 * (answered - started), 1e3 * (time.perf_counter() - started)))
    finally:
        ended.set()
        camera.join()
    (after,) = robot.read(demo_frame()).faces
    answers, outputs = zip(*times_ms, strict=True)
    print("label → answer, ms:", [round(one) for one in answers], "→ emotions:", [round(one) for one in outputs])
    assert raw(after)[labels(robot).index("sadness")] > 0.3 + raw(face)[labels(robot).index("sadness")]


def versions(message: Any) -> list[int]:
    return [face.head_version for face in message.faces]


def labels(robot: Driver) -> list[str]:
    return list(robot.emotions.messages[-1].labels)


def test_two_people_in_view_keep_their_own_heads(robot: Driver, people: People) -> None:
    before = left_to_right(robot)
    for person_id, face in zip(("anna", "ben"), before, strict=True):
        assert people.enroll(person_id, face.face_id).success
    for _ in range(3):
        assert people.label("fear", person="anna").success
        left_to_right(robot)
    assert people.label("anger", face=before[1].face_id).success
    anna, ben = left_to_right(robot)
    told = [(face.person_id, face.head_version, face.head_is_personal) for face in (anna, ben)]
    assert told == [("anna", 3, True), ("ben", 1, True)]
    fear, anger = labels(robot).index("fear"), labels(robot).index("anger")
    assert raw(anna)[fear] - raw(before[0])[fear] > 0.2
    assert raw(ben)[anger] - raw(before[1])[anger] > 0.1
    assert abs(raw(ben)[fear] - raw(before[1])[fear]) < 0.1
    assert people.rollback("ben", 0).success
    anna_now, ben_now = left_to_right(robot)
    np.testing.assert_allclose(raw(anna_now), raw(anna), atol=1e-4)
    np.testing.assert_allclose(raw(ben_now), raw(before[1]), atol=1e-4)
    assert (ben_now.person_id, ben_now.head_version, ben_now.head_is_personal) == ("ben", 0, False)


def test_nobody_is_learned_without_consent(robot: Driver, people: People) -> None:
    (face,) = robot.read(demo_frame()).faces
    for refused in ({"consent": False}, {"consent_statement": "  "}):
        response = people.enroll("anna", face.face_id, **refused)
        assert not response.success
        assert "consent" in response.message
    response = people.label("fear", face=face.face_id)
    assert not response.success
    assert all(word in response.message for word in (face.face_id, "Enroll", "consent")), response.message
    assert people.list() == {}
    (after,) = robot.read(demo_frame()).faces
    assert (after.person_id, after.head_version) == ("", 0)


@pytest.mark.parametrize(
    ("ids", "label", "words"),
    [
        ({"face": "gone1"}, {"expression": "fear"}, ["gone1", "not in view"]),
        ({"person": "nobody"}, {"expression": "fear"}, ["nobody", "not in view"]),
        ({"sample": "s0"}, {"expression": "fear"}, ["s0", "not kept"]),
        ({}, {"expression": "fear"}, ["sample_id, face_id or person_id"]),
        ({"person": "anna"}, {"expression": "boredom"}, ["boredom", "happiness"]),
        ({"person": "anna"}, {}, ["says nothing"]),
        ({"person": "anna"}, {"has_valence_arousal": True, "valence": 1.5}, ["1.5", "-1 to 1"]),
        ({"person": "anna"}, {"has_valence_arousal": True, "valence": math.nan}, ["nan", "-1 to 1"]),
        ({"person": "anna"}, {"has_valence_arousal": True, "arousal": -math.inf}, ["-inf", "-1 to 1"]),
        ({"person": "anna"}, {"expression": "fear", "source": 9}, ["source 9"]),
        ({"person": "anna"}, {"expression": "fear", "annotator": "a" * 99}, ["annotator"]),
    ],
)
def test_a_wrong_label_is_refused_with_the_reason(
    robot: Driver, people: People, ids: dict[str, str], label: dict[str, Any], words: list[str]
) -> None:
    (face,) = robot.read(demo_frame()).faces
    assert people.enroll("anna", face.face_id).success
    robot.read(demo_frame())
    response = people.label(**ids, **label)
    assert not response.success
    assert all(word in response.message for word in words), response.message
    assert people.list()["anna"].samples == 0


@pytest.mark.parametrize("person_id", ["../../etc", "a/b", "", "a" * 64, "ä", "x.y", "con sent"])
def test_ids_are_never_paths(robot: Driver, people: People, person_id: str) -> None:
    response = people.enroll(person_id, display_name="../../../tmp/name\n; DROP TABLE people")
    fits = person_id in ("", "a" * 64)
    assert response.success == fits, response.message
    for name in (person_id, "nobody"):
        exported = people.call(ExportPerson, "export_person", person_id=name)
        assert exported.success == (fits and name == "a" * 64)
        if exported.success:
            path = Path(exported.path)
            assert path.is_file()
            assert path.resolve().is_relative_to(path.parents[1].resolve())


def test_who_left_is_labelled_for_a_moment_and_then_no_more(robot: Driver, people: People) -> None:
    (face,) = robot.read(demo_frame()).faces
    assert people.enroll("anna", face.face_id).success
    robot.read(demo_frame())
    robot.let_pass(2)
    robot.read(EMPTY)
    assert people.label("fear", person="anna").success
    robot.let_pass(8)
    robot.read(EMPTY)
    response = people.label("fear", person="anna")
    assert not response.success
    assert "left" in response.message


def test_after_forgetting_the_base_head_answers_at_once(robot: Driver, people: People) -> None:
    (before,) = robot.read(demo_frame()).faces
    assert people.enroll("anna", before.face_id, display_name="Anna Example").success
    robot.read(demo_frame())
    for _ in range(2):
        assert people.label("anger", person="anna").success
        robot.read(demo_frame())
    forgotten = people.forget("anna")
    assert (forgotten.success, forgotten.samples_removed, forgotten.heads_removed) == (True, 2, 2)
    (after,) = robot.read(demo_frame()).faces
    assert (after.face_id, after.person_id, after.head_version) == (before.face_id, "", 0)
    np.testing.assert_allclose(raw(after), raw(before), atol=1e-4)
    assert people.list() == {}
    assert not people.label("anger", person="anna").success
    again = people.forget("anna")
    assert not again.success
    assert "anna" in again.message
    assert "anna" not in robot.process.output.lower()


def test_nothing_of_a_forgotten_person_is_left_in_any_file(robot: Driver, people: People, folder: Path) -> None:
    pipeline = Pipeline(open_bundle(folder / "bundle"), PipelineSettings(detection_interval_frames=1), lambda: "f1")
    (shown,) = pipeline.process([Frame(demo_frame(), "", 0.0)])[0]
    pipeline.close()
    (face,) = robot.read(demo_frame()).faces
    statement = "My own words of consent"
    assert people.enroll("zoe42", face.face_id, display_name="Zoe Example", consent_statement=statement).success
    robot.read(demo_frame())
    assert people.label("anger", person="zoe42", annotator="watcher7").success
    exported = people.call(ExportPerson, "export_person", person_id="zoe42")
    assert exported.success, exported.message
    patterns = [b"zoe42", b"Zoe Example", statement.encode(), b"watcher7", shown.embedding[:4].tobytes()]
    assert all(found(pattern, folder) for pattern in patterns)
    assert people.forget("zoe42").success
    assert [pattern for pattern in patterns if found(pattern, folder)] == []
    assert not Path(exported.path).exists()


def found(pattern: bytes, folder: Path) -> bool:
    """Whether some file below a folder, the node's log among them, holds a pattern."""
    return any(pattern in file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_heads_go_back_and_forth(robot: Driver, people: People) -> None:
    (face,) = robot.read(demo_frame()).faces
    assert people.enroll("anna", face.face_id).success
    seen = []
    for expression in ("anger", "fear"):
        robot.read(demo_frame())
        assert people.label(expression, person="anna").success
        seen.append(raw(robot.read(demo_frame()).faces[0]))
    assert np.abs(seen[0] - seen[1]).max() > 0.05
    for version in (1, 2, 1):
        response = people.rollback("anna", version)
        assert (response.success, response.version) == (True, version)
        (now,) = robot.read(demo_frame()).faces
        assert now.head_version == version
        np.testing.assert_allclose(raw(now), seen[version - 1], atol=1e-4)
    assert list(people.list()["anna"].head_versions) == [1, 2]
    refused = people.rollback("anna", 77)
    assert not refused.success
    assert "77" in refused.message
    assert robot.read(demo_frame()).faces[0].head_version == 1


def test_a_group_shares_what_its_members_taught_and_a_place_what_was_taught_there(
    robot: Driver, people: People
) -> None:
    assert people.enroll("team", kind=Person.GROUP, consent=False, display_name="Team").success
    assert people.enroll("shop", kind=Person.PLACE, consent=False).success
    left, right = left_to_right(robot)
    assert people.enroll("anna", left.face_id, groups=["team"]).success
    assert people.enroll("ben", right.face_id, groups=["team"]).success
    assert robot.set_parameters(place="shop").successful
    for _ in range(3):
        left_to_right(robot)
        assert people.label("anger", person="anna").success
    assert people.learn("team", "ridge").result.success
    anna, ben = left_to_right(robot)
    assert (anna.head_is_personal, ben.head_is_personal, ben.head_version) == (True, False, 1)
    anger = labels(robot).index("anger")
    assert raw(ben)[anger] > 2 * raw(right)[anger]
    assert people.forget("ben").success
    assert people.learn("shop", "ridge").result.success
    stranger = left_to_right(robot)[1]
    assert (stranger.person_id, stranger.head_version, stranger.head_is_personal) == ("", 1, False)
    assert raw(stranger)[anger] > 2 * raw(right)[anger]
    assert robot.set_parameters(place="").successful
    assert left_to_right(robot)[1].head_version == 0


SUCCEEDED, CANCELED, ABORTED = 4, 5, 6


def teach(robot: Driver, people: People, count: int) -> None:
    """Enroll anna and label so many moments of the video with what is not seen."""
    (face,) = robot.read(demo_frame()).faces
    assert people.enroll("anna", face.face_id).success
    for i in range(count):
        robot.read(demo_frame(260 + 4 * i))
        assert people.label("surprise", person="anna").success


def test_sgd_learns_three_layers_with_feedback_and_resumes(robot: Driver, people: People) -> None:
    teach(robot, people, 12)
    assert people.rollback("anna", 0).success
    (before,) = robot.read(demo_frame()).faces
    answers = []
    for _ in range(2):
        feedback: list[Any] = []
        answer = people.learn("anna", "sgd", feedback=feedback, steps=60)
        assert (answer.status, answer.result.success, answer.result.samples) == (SUCCEEDED, True, 12), answer.result
        assert 0 <= answer.result.score_before <= answer.result.score_after <= 1
        assert {(1 <= one.step <= one.steps, one.steps) for one in feedback} == {(True, 60)}
        assert all(math.isfinite(one.loss) for one in feedback)
        (now,) = robot.read(demo_frame()).faces
        assert (now.head_version, now.head_is_personal) == (answer.result.head_version, True)
        answers.append(raw(now)[labels(robot).index("surprise")])
    assert raw(before)[labels(robot).index("surprise")] < answers[0] < answers[1], "the second goes on from the first"


def test_learning_is_cancelled_and_nothing_of_it_is_kept(robot: Driver, people: People) -> None:
    teach(robot, people, 12)
    before = people.list()["anna"].head_versions
    answer = people.learn("anna", "sgd", cancel=True, steps=1_000_000)
    assert (answer.status, answer.result.success) == (CANCELED, False)
    assert people.list()["anna"].head_versions == before
    assert robot.read(demo_frame()).faces[0].head_version == before[-1]


@pytest.mark.parametrize(("person", "learner", "word"), [("nobody", "", "nobody"), ("anna", "magic", "magic")])
def test_what_cannot_be_learned_is_said(robot: Driver, people: People, person: str, learner: str, word: str) -> None:
    (face,) = robot.read(demo_frame()).faces
    assert people.enroll("anna", face.face_id).success
    answer = people.learn(person, learner)
    assert (answer.status, answer.result.success) == (ABORTED, False)
    assert word in answer.result.message
    assert "nothing to learn from" in people.learn("anna", "ridge").result.message


def test_the_robot_asks_and_several_observers_answer(robot: Driver, people: People) -> None:
    requests = Collector(robot.node, "/label_requests", LabelRequest, 10)
    (face,) = robot.read(demo_frame()).faces
    assert people.enroll("anna", face.face_id).success

    def asked() -> bool:
        for frame in range(0, 450, 30):
            robot.let_pass(1)
            robot.read(demo_frame(frame))
        return bool(requests.messages)

    wait_for(asked, 30, "a question")
    request = requests.messages[0]
    assert (request.person_id, request.face_id, list(request.labels)) == ("anna", face.face_id, labels(robot))
    assert sum(request.probabilities) == pytest.approx(1, abs=1e-3)
    assert request.reason
    assert request.expires.sec > time.time()
    for number, annotator in enumerate(("left", "right", "left")):
        response = people.label(
            "fear" if number else "anger", sample=request.sample_id, annotator=annotator, source=SampleLabel.OBSERVER
        )
        assert (response.success, response.sample_id, response.samples) == (True, request.sample_id, 1), (
            response.message
        )


def test_a_wrong_label_is_corrected_and_taken_back_long_after(robot: Driver, people: People) -> None:
    (base,) = robot.read(demo_frame()).faces
    assert people.enroll("anna", base.face_id).success
    robot.read(demo_frame())
    wrong = people.label("anger", person="anna")
    assert wrong.success, wrong.message
    for _ in range(9):
        robot.let_pass(8)
        (face,) = robot.read(demo_frame()).faces
    assert people.enroll("anna", face.face_id).success  # a face that jumps through time is a new one
    corrected = people.label("fear", sample=wrong.sample_id)
    assert (corrected.success, corrected.sample_id, corrected.samples) == (True, wrong.sample_id, 1), corrected.message
    (face,) = robot.read(demo_frame()).faces
    fear = labels(robot).index("fear")
    assert (face.head_version, raw(face)[fear] > raw(base)[fear]) == (2, True)
    taken_back = people.label(sample=wrong.sample_id)
    assert (taken_back.success, taken_back.samples) == (True, 0), taken_back.message
    assert robot.read(demo_frame()).faces[0].head_version == 0


def test_satisfaction_is_remembered_per_person_over_sessions(robot: Driver, people: People) -> None:
    (face,) = robot.read(demo_frame()).faces
    assert people.enroll("anna", face.face_id).success
    for _ in range(2):
        begun = people.call(BeginInteraction, "begin_interaction", subject="tea", person_ids=["anna"])
        for _ in range(40):
            robot.let_pass(0.2)
            robot.read(demo_frame())
        ended = people.call(EndInteraction, "end_interaction", interaction_id=begun.interaction_id)
        assert [one.person_id for one in ended.summaries] == ["anna"]
    for _ in range(2):
        robot.let_pass(8)
        robot.read(EMPTY)

    def remembered() -> dict[str, Any]:
        found = {one.subject: one for one in people.list()["anna"].satisfaction}
        return found if {"", "tea"} <= set(found) else {}

    found = wait_for(remembered, 10, "both subjects")
    assert found["tea"].interactions == 2
    assert found[""].interactions == 1
    for one in found.values():
        assert 0.3 < one.mean_score <= 1
        assert one.last_score == pytest.approx(one.mean_score, abs=0.2)
        assert one.last_time.sec == pytest.approx(time.time(), abs=120)


def test_a_flood_of_contradictory_labels_delays_no_frame(robot: Driver, people: People) -> None:
    (face,) = robot.read(demo_frame()).faces
    assert people.enroll("anna", face.face_id).success
    client = robot.node.create_client(LabelSample, "/label_sample")
    words = ("anger", "fear", "happiness")
    waiting: list[Any] = []
    sent = overtaken = 0
    try:
        assert client.wait_for_service(20)
        while sent < 80:
            while len(waiting) < 8:
                label = SampleLabel(expression=words[sent % 3], annotator=f"a{sent}")
                waiting.append(client.call_async(LabelSample.Request(person_id="anna", label=label)))
                sent += 1
            robot.read(demo_frame())
            waiting = [one for one in waiting if not one.done()]
            overtaken += len(waiting)
        wait_for(lambda: all(one.done() for one in waiting), 20, "all answers")
    finally:
        robot.node.destroy_client(client)
    assert overtaken > 0, "no frame was answered before a label that came earlier"
    level, text, values = robot.diagnostics()["people"]
    assert (level, values["enrolled"]) == (ord(DiagnosticStatus.OK), "1"), text
    assert people.list()["anna"].samples > 10
