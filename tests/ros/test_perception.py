"""The perception node in another process: what goes in comes out, once, with its own stamp, from every camera."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from mien_msgs.msg import FaceAffectArray
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image as ImageMessage

from mien.bundle import open_bundle
from mien.images import ENCODINGS
from mien.models.default_bundle import default_bundle
from tests.ros.driver import BEST_EFFORT, FRAME_PERIOD_NS, RELIABLE, Driver, perception, stamp_ns
from tests.ros.harness import Collector, wait_for
from tests.ros.pictures import ENCODERS, HAPPY_BOX, demo_frame, encoded, face_picture, paste

FRONT, SIDE, JPEG = "/image_raw", "/side/image_raw", "/image_raw/compressed"


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory, ros_domain_id: int) -> Iterator[Driver]:
    """A node with three cameras; detection in every frame, no smoothing, so that tests do not influence each other."""
    parameters = {
        "image_topics": ["image_raw", SIDE, JPEG],
        "detection_interval_frames": 1,
        "smoothing_time_constant_s": 0.0,
    }
    with perception(tmp_path_factory.mktemp("perception"), ros_domain_id, parameters=parameters) as driver:
        yield driver


@pytest.fixture(autouse=True)
def empty_stage(robot: Driver) -> None:
    """Nobody is in view of the front camera any more; a face that is missed once is still shown."""
    while robot.read(np.full((360, 640, 3), 90, np.uint8)).faces:
        pass


def only_face(answer: FaceAffectArray):
    assert len(answer.faces) == 1
    return answer.faces[0]


def corners(face) -> np.ndarray:
    box = face.box
    return np.array([box.x_offset, box.y_offset, box.x_offset + box.width, box.y_offset + box.height])


def test_every_image_is_answered_once_with_its_own_stamp_and_frame_id(robot: Driver) -> None:
    before = robot.counts()
    robot.emotions.clear()
    sent = [robot.message(demo_frame(index), f"camera_{index}") for index in range(300, 330, 3)]
    for message in sent:
        robot.read(message)
    after = robot.counts()
    answers = robot.emotions.messages
    assert [stamp_ns(answer) for answer in answers] == [stamp_ns(message) for message in sent]
    assert [answer.header.frame_id for answer in answers] == [message.header.frame_id for message in sent]
    assert after["frames_in"] - before["frames_in"] == after["frames_processed"] - before["frames_processed"] == 10
    assert len({only_face(answer).face_id for answer in answers}) == 1


def test_an_answer_says_all_about_the_face_and_the_model(robot: Driver) -> None:
    answer = robot.read(demo_frame())
    assert (answer.camera, answer.image_width, answer.image_height) == (FRONT, 640, 360)
    assert len(answer.model_sha256) == 64
    assert answer.model_name
    assert 0 < answer.latency_ms < 1000
    face = only_face(answer)
    assert face.camera == FRONT
    assert face.face_id[0].isalpha()
    x, y, width, height = HAPPY_BOX
    np.testing.assert_allclose(corners(face), [x, y, x + width, y + height], atol=12)
    assert 0.5 < face.detection_confidence <= 1
    assert not face.box_is_predicted
    points = 5 if open_bundle(default_bundle()).manifest.landmarks is None else 68
    assert (face.landmark_layout, len(face.landmarks)) == (points, 2 * points)
    assert len(face.probabilities) == len(face.probabilities_raw) == len(answer.labels)
    assert sum(face.probabilities) == pytest.approx(1, abs=1e-5)
    assert face.expression == "happiness" == answer.labels[int(np.argmax(face.probabilities))]
    assert face.confidence == pytest.approx(max(face.probabilities))
    assert 0.3 < face.valence <= 1
    assert -1 <= face.arousal <= 1
    assert (face.head_version, face.head_is_personal) == (0, False)


def test_every_encoding_shows_the_same_face(robot: Driver) -> None:
    assert set(ENCODERS) == set(ENCODINGS)
    expected = only_face(robot.read(demo_frame()))
    for encoding in ENCODINGS:
        message = encoded(demo_frame(), encoding)
        message.header.stamp = robot.new_stamp()
        face = only_face(robot.read(message))
        # YUV and Bayer halve the resolution of colours; without colours the detector sees slightly other edges.
        np.testing.assert_allclose(corners(face), corners(expected), atol=4, err_msg=encoding)
        np.testing.assert_allclose(face.probabilities_raw, expected.probabilities_raw, atol=0.1, err_msg=encoding)
        assert face.face_id == expected.face_id, encoding


def test_a_compressed_topic_shows_the_same_face(robot: Driver) -> None:
    expected = only_face(robot.read(demo_frame()))
    message = robot.compressed(demo_frame(), "jpeg_link")
    answer = robot.read(message, JPEG)
    assert (answer.camera, answer.header.frame_id) == (JPEG, "jpeg_link")
    np.testing.assert_allclose(corners(only_face(answer)), corners(expected), atol=4)


def test_two_cameras_at_once_keep_their_stamps_and_faces_apart(robot: Driver) -> None:
    robot.connect(FRONT)
    robot.connect(SIDE)
    robot.emotions.clear()
    sent: dict[str, list[ImageMessage]] = {FRONT: [], SIDE: []}
    for index in range(300, 330, 3):
        for camera, image in ((FRONT, demo_frame(index)), (SIDE, demo_frame(index)[:, ::-1])):
            sent[camera].append(robot.message(image, f"{camera}_link"))
            robot.send(sent[camera][-1], camera)
        for camera in sent:
            robot.answer(sent[camera][-1])
    answers = robot.emotions.messages
    ids = {}
    for camera, messages in sent.items():
        of_camera = [answer for answer in answers if answer.camera == camera]
        assert [stamp_ns(answer) for answer in of_camera] == [stamp_ns(message) for message in messages]
        assert {answer.header.frame_id for answer in of_camera} == {f"{camera}_link"}
        ids[camera] = {face.face_id for answer in of_camera for face in answer.faces}
        assert len(ids[camera]) == 1
    assert ids[FRONT] != ids[SIDE]


def test_a_flood_is_dropped_instead_of_queued(robot: Driver) -> None:
    """Images come faster than they can be read: the newest wins, and nothing is left to do when the flood ends."""
    robot.connect(JPEG)
    before = robot.counts()
    robot.emotions.clear()
    sent = [robot.compressed(demo_frame()) for _ in range(300)]
    lags_ns = []
    for message in sent:
        robot.send(message, JPEG)
        time.sleep(0.003)
        if answers := robot.emotions.messages:
            lags_ns.append(stamp_ns(message) - stamp_ns(answers[-1]))
    robot.answer(sent[-1])
    after = robot.counts()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    answered = [stamp_ns(answer) for answer in robot.emotions.messages]
    assert answered == sorted(set(answered))
    assert answered[-1] == stamp_ns(sent[-1]), "an answer after the last image's"
    assert len(answered) == grown["frames_processed"] < len(sent)
    assert grown["dropped.superseded"] == grown["frames_dropped"] > 0
    # A queue would have been behind by all the frames that were dropped here.
    assert np.median(lags_ns[-50:]) < grown["frames_dropped"] / 4 * FRAME_PERIOD_NS


def test_a_subscriber_sees_drawings_with_the_stamp_of_their_image(robot: Driver) -> None:
    robot.read(demo_frame())
    pictures = Collector(robot.node, "/image_annotated", ImageMessage, RELIABLE)
    wait_for(lambda: robot.node.count_publishers("/image_annotated") == 1, 10, "the publisher of pictures")

    def drawn() -> bool:
        robot.read(demo_frame())
        return bool(pictures.messages)

    wait_for(drawn, 10, "a picture")
    message = robot.message(demo_frame(), "drawn_link")
    robot.read(message)
    picture = pictures.wait_until(lambda drawn: drawn[-1].header.frame_id == "drawn_link", 10, "the picture")[-1]
    assert stamp_ns(picture) == stamp_ns(message)
    assert (picture.width, picture.height, picture.encoding) == (640, 360, "bgr8")
    different = np.frombuffer(picture.data, np.uint8).reshape(360, 640, 3) != demo_frame()
    assert 0.005 < different.any(axis=2).mean() < 0.5


def test_live_parameters_take_effect_and_can_be_put_back(robot: Driver) -> None:
    sad, happy = (face_picture(index, 240) for index in (20, 300))
    pictures = [paste((640, 360), [face, happy], [(40, 60), (360, 60)]) for face in (sad, happy)]
    unlike = []
    for maximum, smoothing_s in ((1, 10.0), (16, 0.0)):
        assert robot.set_parameters(maximum_faces=maximum, smoothing_time_constant_s=smoothing_s).successful
        robot.read(pictures[0])
        answers = [robot.read(picture) for picture in pictures]
        assert [len(answer.faces) for answer in answers] == [min(maximum, 2)] * 2
        faces = [face for answer in answers for face in answer.faces]
        unlike.append(max(abs(np.subtract(face.probabilities, face.probabilities_raw)).max() for face in faces))
    assert unlike[0] > 0.1
    assert unlike[1] == 0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("threads", 2, ["threads", "cannot be changed while"]),
        ("bundle", "/elsewhere", ["bundle", "cannot be changed while"]),
        ("maximum_faces", 65, ["maximum_faces", "65", "1", "64"]),
        ("maximum_faces", "many", ["maximum_faces", "many", "1", "64"]),
        ("track_timeout_s", -0.5, ["track_timeout_s", "-0.5", "0.0", "60.0"]),
        ("satisfaction_rate_hz", float("nan"), ["satisfaction_rate_hz", "nan", "0.1", "60.0"]),
    ],
)
def test_a_refused_parameter_is_named_with_its_value_and_range(robot: Driver, name, value, said) -> None:
    result = robot.set_parameters(**{name: value})
    assert not result.successful
    assert all(word in result.reason for word in said), result.reason
    assert only_face(robot.read(demo_frame()))


def test_the_subscription_follows_what_the_camera_offers(robot: Driver) -> None:
    """image_qos auto: small best-effort images arrive, and after the camera has come back as a reliable one as well."""
    for qos in (RELIABLE, BEST_EFFORT, RELIABLE):
        robot.disconnect(JPEG) if robot.node.count_publishers(JPEG) else None
        robot.connect(JPEG, qos)
        assert robot.read(robot.compressed(demo_frame()), JPEG).camera == JPEG
    subscriptions = robot.node.get_subscriptions_info_by_topic(JPEG)
    assert [one.qos_profile.reliability for one in subscriptions] == [ReliabilityPolicy.RELIABLE]


def test_diagnostics_tell_times_model_and_cameras(robot: Driver) -> None:
    robot.read(demo_frame())
    report = robot.diagnostics()
    _, _, values = report["frames"]
    for stage in ("latency", "detect", "prepare", "classify"):
        assert 0 < float(values[f"{stage}_ms.median"]) <= float(values[f"{stage}_ms.p99"]), stage
    assert float(values["detect_ms.median"]) < float(values["latency_ms.median"])
    level, text, values = report["model"]
    assert (level, text) == (0, "ok")
    assert values["sha256"] == robot.read(demo_frame()).model_sha256
    assert "onnxruntime" in values["runtime"]
    assert set(report) == {"frames", "model", f"camera {FRONT}", f"camera {SIDE}", f"camera {JPEG}"}


def test_a_robot_without_hri_msgs_says_so_once(robot: Driver) -> None:
    assert robot.process.output.count("No REP-155 topics") == 1
    assert "hri-msgs" in robot.process.output
