"""The camera node as its own process: what it plays arrives whole, in order and in time."""

from __future__ import annotations

import copy
import os
import re
import signal
import threading
import time

import cv2
import numpy as np
import pytest
import rclpy
from mien_msgs.msg import FaceAffectArray
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import SetParameters
from sensor_msgs.msg import CompressedImage, Image

from mien.nodes.camera import Camera
from mien.nodes.images import decode_compressed, decode_image

RATE_HZ = 25.0
VALUES = [10 + 9 * i for i in range(25)]
COUNTS = re.compile(r"(\d+) frames published, (\d+) late, (\d+) without an answer, (\d+) unreadable")


def picture(value):
    return np.full((48, 64, 3), value, np.uint8)


@pytest.fixture
def video(tmp_path):
    """One second of pictures that get brighter."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), RATE_HZ, (64, 48))
    for value in VALUES:
        writer.write(picture(value))
    writer.release()
    return path


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "pictures"
    path.mkdir()
    for i, value in enumerate((50, 100, 150)):
        cv2.imwrite(str(path / f"{i}.png"), picture(value))
    return path


def stamps_s(messages):
    return np.array([message.header.stamp.sec + message.header.stamp.nanosec * 1e-9 for message in messages])


def brightness(messages, decode=decode_image):
    return [float(decode(message).mean()) for message in messages]


def counts(process):
    return tuple(map(int, COUNTS.search(process.output).groups()))


def test_video_arrives_whole_in_order_and_in_time(start_node, collect, video):
    images = collect("image_raw", Image)
    camera = start_node("camera", parameters={"source": str(video), "wait_for_subscribers": 1, "frame_id": "left_eye"})
    assert camera.wait(20.0) == 0
    messages = images.wait(len(VALUES))
    np.testing.assert_allclose(brightness(messages), VALUES, atol=4)
    assert {message.header.frame_id for message in messages} == {"left_eye"}
    times_s = stamps_s(messages)
    ideal_s = times_s[0] + np.arange(len(VALUES)) / RATE_HZ
    assert np.median(np.abs(times_s - ideal_s)) < 0.01
    assert abs(time.time() - times_s[-1]) < 10  # stamped with the time of publishing
    assert counts(camera)[0] == len(VALUES)


def test_it_waits_for_subscribers_and_says_so(start_node, collect, folder):
    camera = start_node("camera", parameters={"source": str(folder), "wait_for_subscribers": 2, "rate_hz": 50})
    first = collect("image_raw", Image)
    camera.wait_for_output("Waiting: 1 of 2 subscribers")
    assert not first.messages
    second = collect("image_raw", Image)
    assert camera.wait(20.0) == 0
    for images in (first, second):
        assert brightness(images.wait(3)) == [50, 100, 150]


class Consumer:
    """Answers images as perception would, when it is let."""

    def __init__(self, node):
        self._publisher = node.create_publisher(FaceAffectArray, "emotions", 10)

    def answer(self, message, late_s=0):
        reply = FaceAffectArray(header=copy.deepcopy(message.header))
        reply.header.stamp.sec += late_s
        self._publisher.publish(reply)


def test_pace_of_consumers(start_node, collect, ros_node, video):
    """The next frame follows the answer to the last one, and stamps follow the video, however fast that is."""
    consumer = Consumer(ros_node)
    images = collect("image_raw", Image)
    camera = start_node(
        "camera", parameters={"source": str(video), "wait_for_subscribers": 1, "pace": "consumers", "rate_hz": 5.0}
    )
    (first,) = images.wait(1)
    consumer.answer(first, late_s=1)  # to another image
    with pytest.raises(AssertionError, match="in vain"):
        images.wait(2, timeout_s=0.5)
    begin_s = time.monotonic()
    for i in range(len(VALUES)):
        consumer.answer(images.wait(i + 1)[i])
    assert camera.wait(20.0) == 0
    assert time.monotonic() - begin_s < 4.0  # the video, at 5 Hz, would take 5 s
    np.testing.assert_allclose(np.diff(stamps_s(images.messages)), 0.2, atol=1e-6)
    assert counts(camera) == (len(VALUES), 0, 0, 0)


def test_a_missing_answer_does_not_stop_it_for_good(start_node, collect, ros_node, folder):
    consumer = Consumer(ros_node)
    images = collect("image_raw", Image)
    camera = start_node("camera", parameters={"source": str(folder), "wait_for_subscribers": 1, "pace": "consumers"})
    consumer.answer(images.wait(1)[0])
    consumer.answer(images.wait(3)[2])  # the second one is left without
    assert camera.wait(20.0) == 0
    assert counts(camera) == (3, 0, 1, 0)


def test_a_signal_ends_the_wait_for_an_answer(start_node, collect, ros_node, folder):
    Consumer(ros_node)
    images = collect("image_raw", Image)
    camera = start_node("camera", parameters={"source": str(folder), "wait_for_subscribers": 1, "pace": "consumers"})
    images.wait(1)
    camera.interrupt()
    assert camera.wait(4.0) == 0
    assert counts(camera) == (1, 0, 0, 0)


def test_both_topics_follow_a_remapped_name(start_node, collect, folder):
    raw, jpeg = collect("/eye/color", Image), collect("/eye/color/compressed", CompressedImage)
    camera = start_node(
        "camera",
        parameters={"source": str(folder), "wait_for_subscribers": 2, "compressed": "both", "rate_hz": 50},
        remaps={"image_raw": "/eye/color"},
        namespace="robot",
    )
    assert camera.wait(20.0) == 0
    np.testing.assert_allclose(brightness(jpeg.wait(3), decode_compressed), [50, 100, 150], atol=3)
    assert [message.header for message in jpeg.messages] == [message.header for message in raw.wait(3)]


def test_best_effort_and_jpeg_only(start_node, collect, ros_node, folder):
    jpeg = collect("image_raw/compressed", CompressedImage, rclpy.qos.qos_profile_sensor_data)
    camera = start_node(
        "camera", parameters={"source": str(folder), "compressed": "jpeg", "reliable": False, "loop": True}
    )
    jpeg.wait(1)
    (publisher,) = ros_node.get_publishers_info_by_topic("image_raw/compressed")
    assert publisher.qos_profile.reliability == rclpy.qos.ReliabilityPolicy.BEST_EFFORT
    assert ros_node.count_publishers("image_raw") == 0
    assert camera.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_loop_goes_on_until_a_signal(start_node, collect, folder, number):
    images = collect("image_raw", Image)
    camera = start_node("camera", parameters={"source": str(folder), "loop": True, "rate_hz": 60})
    assert sorted(set(brightness(images.wait(10)))) == [50, 100, 150]
    os.kill(camera.pid, number)
    assert camera.wait(10.0) == 0
    assert "Traceback" not in camera.output
    assert counts(camera)[0] >= 10


def test_a_bag_is_played_with_its_own_times(start_node, collect, tmp_path):
    typesys, rosbag2 = pytest.importorskip("rosbags.typesys"), pytest.importorskip("rosbags.rosbag2")
    store = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
    kind = "sensor_msgs/msg/Image"
    header = store.types["std_msgs/msg/Header"](store.types["builtin_interfaces/msg/Time"](1, 2), "old")
    with rosbag2.Writer(tmp_path / "bag", version=9, storage_plugin=rosbag2.StoragePlugin.MCAP) as writer:
        other, eye = (writer.add_connection(topic, kind, typestore=store) for topic in ("/other", "/eye"))
        for time_ns, connection, value in ((0, other, 1), (10, eye, 50), (110_000_010, eye, 100), (10**9, eye, 150)):
            image = store.types[kind](header, 48, 64, "mono8", 0, 64, picture(value)[..., 0].reshape(-1))
            writer.write(connection, time_ns, store.serialize_cdr(image, kind))
    images = collect("image_raw", Image)
    parameters = {"source": str(tmp_path / "bag"), "bag_topic": "/eye", "wait_for_subscribers": 1}
    camera = start_node("camera", parameters=parameters)
    assert camera.wait(20.0) == 0
    assert brightness(images.wait(3)) == [50, 100, 150]
    assert {message.encoding for message in images.messages} == {"mono8"}
    np.testing.assert_allclose(np.diff(stamps_s(images.messages)), [0.11, 0.89], atol=0.05)


def test_unreadable_pictures_are_named_and_counted(start_node, collect, folder):
    (folder / "1b.png").write_bytes(b"nonsense")
    images = collect("image_raw", Image)
    camera = start_node("camera", parameters={"source": str(folder), "wait_for_subscribers": 1, "rate_hz": 50})
    assert camera.wait(20.0) == 0
    assert brightness(images.wait(3)) == [50, 100, 150]
    assert "1b.png" in camera.output
    assert counts(camera) == (3, 0, 0, 1)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({}, "Parameter source is empty"),
        ({"source": "/nowhere/clip.mp4"}, "Parameter source: /nowhere/clip.mp4 does not exist"),
        ({"source": "EMPTY"}, "Parameter source: "),
        ({"source": "x", "rate_hz": -1.0}, "Parameter rate_hz cannot be -1.0. Allowed: float from 0.0 to"),
    ],
)
def test_bad_parameters_end_with_status_2_and_a_remedy(start_node, tmp_path, parameters, problem):
    if parameters.get("source") == "EMPTY":
        (tmp_path / "bad.png").write_bytes(b"nonsense")
        parameters = {"source": str(tmp_path / "bad.png")}
    camera = start_node("camera", parameters=parameters)
    camera.expected_exit = 2
    assert camera.wait(20.0) == 2
    assert problem in camera.output
    assert "Traceback" not in camera.output


def test_parameters_change_while_it_plays(start_node, collect, call, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    jpeg = collect("image_raw/compressed", CompressedImage)
    start_node(
        "camera",
        parameters={"source": str(tmp_path / "noise.png"), "compressed": "jpeg", "loop": True, "rate_hz": 60},
    )
    size = len(jpeg.wait(1)[0].data)

    def change(name, value):
        request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
        return call(SetParameters, "/camera/set_parameters", request).results[0]

    assert change("jpeg_quality", ParameterValue(type=2, integer_value=5)).successful
    jpeg.wait_until(lambda messages: len(messages[-1].data) < size / 2, what="smaller images")
    refused = change("jpeg_quality", ParameterValue(type=2, integer_value=101))
    assert not refused.successful
    assert "jpeg_quality" in refused.reason
    refused = change("source", ParameterValue(type=4, string_value="other.png"))
    assert not refused.successful
    assert "while the node runs" in refused.reason
    jpeg.clear()
    jpeg.wait(3)


class Webcam:
    """cv2.VideoCapture of a webcam that is pulled out after some pictures, and comes back at the second try."""

    opened = 0

    def __init__(self, _):
        Webcam.opened += 1
        self.left = 0 if Webcam.opened == 2 else 4

    def set(self, *_):
        return True

    def get(self, _):
        return 30.0

    def read(self):
        self.left -= 1
        return (True, picture(70)) if self.left >= 0 else (False, None)

    def release(self):
        pass


def test_a_webcam_that_vanishes_is_opened_again(ros_domain_id, collect, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Webcam)
    images = collect("image_raw", Image)
    rclpy.init(args=["--ros-args", "-p", "source:=0", "-p", "wait_for_subscribers:=1"], domain_id=ros_domain_id)
    camera = Camera(threading.Event())
    camera.start()
    try:
        images.wait(5)  # three of the first plugging in, the rest of the second
        assert Webcam.opened == 3
    finally:
        camera.stop()
        camera.destroy_node()
        rclpy.try_shutdown()
    assert camera.exit_status == 0
