"""Files, folders, videos, bags and webcams all give the same frames."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing

import cv2
import numpy as np
import pytest

from mien.errors import MienError
from mien.sources import FOLDER_RATE_HZ, open_source

COLOURS = [20, 60, 100, 140, 180, 220]


def picture(value, size=(48, 64)):
    return np.full((*size, 3), value, np.uint8)


def brightness(frames):
    return [round(float(frame.image.mean())) for frame in frames]


def write_video(path, values, rate_hz=12.5, codec="MJPG"):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate_hz, (64, 48))
    assert writer.isOpened()
    for value in values:
        writer.write(picture(value))
    writer.release()
    return path


def test_folder_is_read_in_natural_order(tmp_path):
    for value, name in enumerate(["1.png", "2.PNG", "10.bmp", "a9.jpg", "a10.jpg"]):
        cv2.imwrite(str(tmp_path / name), picture(20 * value))
    (tmp_path / "notes.txt").write_text("not a picture")
    source = open_source(tmp_path)
    frames = list(source)
    assert [frame.source.rpartition(os.sep)[2] for frame in frames] == ["1.png", "2.PNG", "10.bmp", "a9.jpg", "a10.jpg"]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.time_s for frame in frames] == [i / FOLDER_RATE_HZ for i in range(5)]
    assert (source.frame_count, source.live) == (5, False)
    assert brightness(source) == [0, 20, 40, 60, 80]  # a second time from the beginning


def test_bad_pictures_are_reported_by_name_and_left_out(tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), picture(10))
    (tmp_path / "2.jpg").write_bytes(b"\xff\xd8\xffnonsense")
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "4.png").symlink_to(tmp_path / "nowhere.png")
    cv2.imwrite(str(tmp_path / "5.png"), picture(50))
    problems = []
    frames = list(open_source(tmp_path, report=problems.append))
    assert [frame.index for frame in frames] == [0, 4]
    for name, problem in zip(["2.jpg", "3.png", "4.png"], problems, strict=True):
        assert name in problem.problem


def test_without_a_report_a_bad_picture_ends_the_reading(tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"nonsense")
    with pytest.raises(MienError, match=r"bad\.jpg"):
        list(open_source(bad))


def test_a_source_without_any_good_picture_is_an_error(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"nonsense")
    with pytest.raises(MienError, match="gave no picture"):
        list(open_source(tmp_path, report=lambda _: None))


def test_one_picture(tmp_path):
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), picture(77))
    (frame,) = open_source(str(path))
    assert (frame.source, frame.index, frame.time_s) == (str(path), 0, 0.0)
    assert (frame.image == 77).all()


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "MJPG"), (".mkv", "MJPG"), (".mp4", "mp4v")])
def test_video_frames_have_their_times(tmp_path, suffix, codec):
    source = open_source(write_video(tmp_path / f"clip{suffix}", COLOURS, codec=codec))
    assert source.rate_hz == pytest.approx(12.5)
    assert source.frame_count == len(COLOURS)
    for _ in range(2):
        frames = list(source)
        np.testing.assert_allclose(brightness(frames), COLOURS, atol=4)
        np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(len(COLOURS)) / 12.5, atol=1e-3)


def test_a_video_that_was_cut_off_is_reported_after_its_good_part(tmp_path):
    whole = write_video(tmp_path / "clip.avi", COLOURS * 10).read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) // 2])
    problems = []
    frames = list(open_source(cut, report=problems.append))
    assert 0 < len(frames) < 50
    (problem,) = problems
    assert "cut.avi ends after" in problem.problem


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("missing.mp4", None, "does not exist"),
        ("text.mp4", b"hello" * 99, "cannot be read as a video"),
        ("empty.mp4", b"", "cannot be read as a video"),
        ("what.xyz", b"hello", "cannot be read as a video"),
        ("bad.bag", b"hello", "cannot be read"),
        ("bad.mcap", b"hello", "cannot be read"),
        ("bad.db3", b"hello", "cannot be read"),
        ("x" * 300, None, "cannot be read"),
    ],
)
def test_what_cannot_be_opened_is_named(tmp_path, name, content, expected):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MienError) as error:
        open_source(path)
    assert name in error.value.problem
    assert expected in error.value.problem
    assert error.value.remedy


def test_a_folder_without_pictures_is_an_error(tmp_path):
    with pytest.raises(MienError, match="holds no pictures"):
        open_source(tmp_path)


class Bags:
    """Writes small bags with an Image topic, a CompressedImage topic and one that is not of images."""

    def __init__(self):
        self.typesys = pytest.importorskip("rosbags.typesys")

    def messages(self, ros1=False):
        stores = self.typesys.Stores
        self.store = self.typesys.get_typestore(stores.ROS1_NOETIC if ros1 else stores.ROS2_HUMBLE)
        types = self.store.types
        time = types["builtin_interfaces/msg/Time"](1, 2)
        header = types["std_msgs/msg/Header"](*((0,) if ros1 else ()), time, "eye")
        for i, value in enumerate(COLOURS):
            # Recorded 0.1 s apart, with one gap.
            time_ns = 10**9 + 10**8 * (i + (i > 3) * 5)
            image = picture(value)
            yield "/text", "std_msgs/msg/String", types["std_msgs/msg/String"]("hello"), time_ns
            name = "sensor_msgs/msg/Image"
            raw = types[name](header, 48, 64, "bgr8", 0, 192, image.reshape(-1))
            yield "/eye/image_raw", name, raw, time_ns
            name = "sensor_msgs/msg/CompressedImage"
            jpeg = cv2.imencode(".jpg", 255 - image)[1].reshape(-1)
            if i == 2:
                jpeg = jpeg[:100]
            yield "/eye/compressed", name, types[name](header, "jpeg", jpeg), time_ns

    def write(self, writer, ros1=False):
        connections = {}
        with writer:
            for topic, kind, message, time_ns in self.messages(ros1):
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=self.store)
                serialize = self.store.serialize_ros1 if ros1 else self.store.serialize_cdr
                writer.write(connections[topic], time_ns, serialize(message, kind))

    def make(self, kind, folder):
        if kind == "ros1":
            from rosbags.rosbag1 import Writer

            path = folder / "old.bag"
            self.write(Writer(path), ros1=True)
            return path
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

        path = folder / "bag"
        plugin = StoragePlugin.MCAP if "mcap" in kind else StoragePlugin.SQLITE3
        writer = Writer(path, version=9, storage_plugin=plugin)
        if "zstd" in kind:
            writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
        self.write(writer)
        if "humble" in kind:  # whose bags do not describe their types
            with closing(sqlite3.connect(path / "bag.db3")) as database, database:
                database.execute("DELETE FROM message_definitions")
        if "file" in kind:
            (path,) = [file for file in path.iterdir() if file.suffix in (".mcap", ".db3")]
        return path


@pytest.mark.parametrize(
    "kind", ["ros1", "sqlite3", "sqlite3 zstd", "sqlite3 humble", "sqlite3 file", "mcap", "mcap zstd", "mcap file"]
)
def test_bags_of_every_kind(tmp_path, kind):
    path = Bags().make(kind, tmp_path)
    source = open_source(path)
    assert source.frame_count == len(COLOURS)
    assert source.rate_hz == pytest.approx(5.0, rel=0.01)
    for _ in range(2):
        frames = list(source)
        assert brightness(frames) == COLOURS
        np.testing.assert_allclose([frame.time_s for frame in frames], [0, 0.1, 0.2, 0.3, 0.9, 1.0], atol=1e-6)
        assert frames[0].source == str(path)


def test_a_bags_topic_can_be_chosen_and_its_bad_messages_are_reported(tmp_path):
    path = Bags().make("mcap", tmp_path)
    problems = []
    frames = list(open_source(path, "/eye/compressed", problems.append))
    assert [frame.index for frame in frames] == [0, 1, 3, 4, 5]
    np.testing.assert_allclose(brightness(frames), [255 - COLOURS[frame.index] for frame in frames], atol=2)
    (problem,) = problems
    assert "/eye/compressed, message 2" in problem.problem


@pytest.mark.parametrize("topic", ["/other", "/text"])
def test_a_topic_that_the_bag_does_not_have_is_named_beside_those_it_has(tmp_path, topic):
    path = Bags().make("mcap", tmp_path)
    with pytest.raises(MienError) as error:
        open_source(path, topic)
    assert topic in error.value.problem
    assert "/eye/image_raw, /eye/compressed" in error.value.remedy


@pytest.mark.parametrize("kind", ["sqlite3 file", "mcap file", "ros1"])
def test_a_damaged_bag_is_an_error_and_not_a_crash(tmp_path, kind):
    path = Bags().make(kind, tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[:3000] + bytes([0xA5]) * (len(data) - 6000) + data[-3000:])
    with pytest.raises(MienError, match="cannot be read"):
        list(open_source(path))


def test_without_rosbags_the_remedy_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "x.mcap").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "rosbags.highlevel", None)
    with pytest.raises(MienError, match=r"mien\[ros\]"):
        open_source(tmp_path / "x.mcap")


class FakeWebcam:
    """cv2.VideoCapture of a webcam that gives some pictures and then is gone."""

    pictures = 3

    def __init__(self, device):
        self.device = device
        self.left = self.pictures if device == 2 else 0
        self.released = False

    def set(self, *_):
        return True

    def get(self, _):
        return 0.0

    def read(self):
        self.left -= 1
        return (True, picture(50)) if self.left >= 0 else (False, None)

    def release(self):
        self.released = True


@pytest.mark.parametrize("name", ["2", "/dev/video2"])
def test_webcam_ends_when_it_is_gone(monkeypatch, name):
    monkeypatch.setattr(cv2, "VideoCapture", FakeWebcam)
    source = open_source(name)
    assert (source.live, source.frame_count, source.rate_hz, source.name) == (True, None, 30.0, "/dev/video2")
    frames = list(source)
    assert [frame.index for frame in frames] == [0, 1]  # one was taken to see that it works
    assert 0 <= frames[0].time_s <= frames[1].time_s


def test_a_webcam_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeWebcam)
    with pytest.raises(MienError, match="/dev/video7"):
        open_source("7")
