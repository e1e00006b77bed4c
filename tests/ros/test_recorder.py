"""The recorder as a process of its own, fed by the test: what it writes, what it never writes, what it survives."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from mien_msgs.msg import FaceAffect, FaceAffectArray, Satisfaction
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import Header

from mien.drawing import colour_bgr
from mien.nodes.images import encode_image
from tests.ros.harness import wait_for

LABELS = ["anger", "happiness", "neutral"]
CAMERA = "/image_raw"
DDS_PROFILE = Path(__file__).parents[2] / "launch" / "fastdds_large_images.xml"


def stamp(index: int) -> Time:
    """24 images a second from a moment whose nanoseconds no float can hold."""
    ns = 1_700_000_000_123_456_789 + index * 41_666_667
    return Time(sec=ns // 10**9, nanosec=ns % 10**9)


def face(face_id="abcd1", happiness=0.7, valence=0.25, arousal=-0.5, **changes) -> FaceAffect:
    probabilities = [0.1, happiness, 0.9 - happiness]
    best = int(np.argmax(probabilities))
    message = FaceAffect(
        face_id=face_id,
        camera=CAMERA,
        box=RegionOfInterest(x_offset=100, y_offset=40, width=80, height=90),
        landmark_layout=FaceAffect.LANDMARKS_5,
        landmarks=[110.0, 60.5, 150.0, 60.0, 130.0, 80.0, 115.0, 100.0, 145.0, 101.0],
        probabilities=probabilities,
        probabilities_raw=probabilities,
        expression=LABELS[best],
        confidence=probabilities[best],
        valence=valence,
        arousal=arousal,
    )
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def emotions(index: int, faces: list[FaceAffect]) -> FaceAffectArray:
    return FaceAffectArray(
        header=Header(stamp=stamp(index), frame_id="head_camera"),
        camera=CAMERA,
        image_width=320,
        image_height=240,
        latency_ms=4.0 + index,
        labels=LABELS,
        model_name="small",
        model_sha256="ab" * 32,
        faces=faces,
    )


def satisfaction(index: int, score: float, level: int = Satisfaction.SATISFIED) -> Satisfaction:
    return Satisfaction(
        header=Header(stamp=stamp(index)),
        subject="the menu",
        face_id="abcd1",
        score=score,
        level=level,
        confidence=0.5,
        duration_s=2.0,
        observed_s=1.5,
        present=True,
    )


def diagnostics(**frames: object) -> DiagnosticArray:
    values = [KeyValue(key=key.replace("__", "."), value=str(value)) for key, value in frames.items()]
    return DiagnosticArray(
        status=[
            DiagnosticStatus(name="/perception: frames", hardware_id="mien", values=values),
            DiagnosticStatus(name="motor: frames", hardware_id="arm", values=[KeyValue(key="frames_in", value="9")]),
        ]
    )


class Feeder:
    """The test's publishers and the recorder's folder."""

    def __init__(self, node, out: Path, process) -> None:
        self.out, self.process = out, process
        self._publishers = {
            FaceAffectArray: node.create_publisher(FaceAffectArray, "emotions", 100),
            Satisfaction: node.create_publisher(Satisfaction, "satisfaction", 100),
            DiagnosticArray: node.create_publisher(DiagnosticArray, "/diagnostics", 10),
            Image: node.create_publisher(Image, "image_raw", 10),
        }

    def connect(self, *kinds) -> None:
        for kind in kinds:
            publisher = self._publishers[kind]
            wait_for(publisher.get_subscription_count, 20, f"the recorder to subscribe to {publisher.topic_name}")

    def start_video(self) -> int:
        """Send pictures 0, 1, … with results until one is in the video, and return its number.

        The recorder takes pictures as best effort, and those sent before it knows the test's publisher are lost.
        """
        self.connect(Image)
        unfinished = self.out / ".annotated.mp4.part"
        for index in range(10):
            self.send(picture_of(index))
            self.send(emotions(index, [face()]))
            with contextlib.suppress(AssertionError):
                wait_for(unfinished.exists, 0.5, "the video to begin")
                return index
        raise AssertionError("No picture has reached the recorder")

    def send(self, message) -> None:
        self._publishers[type(message)].publish(message)

    def wait_for_lines(self, count: int, name="emotions.jsonl") -> None:
        file = self.out / name
        wait_for(lambda: file.exists() and file.read_bytes().count(b"\n") >= count, 20, f"{count} lines in {name}")

    def lines(self, name="emotions.jsonl") -> list[dict]:
        return [json.loads(line) for line in (self.out / name).read_text().splitlines()]

    def finish(self) -> dict:
        """Stop the recorder as Ctrl-C does and return its summary."""
        assert self.process.stop() == 0
        return json.loads((self.out / "summary.json").read_text())

    @property
    def report(self) -> str:
        return (self.out / "report.html").read_text()


@pytest.fixture(autouse=True)
def nodes_find_each_other_at_once(monkeypatch) -> None:
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(DDS_PROFILE))


@pytest.fixture
def record(start_node, ros_node, tmp_path):
    """Start a recorder and connect to it."""

    def start(**parameters) -> Feeder:
        out = tmp_path / "out"
        parameters = {"out_dir": str(out), "source": "test.mp4", **parameters}
        process = start_node("recorder", parameters=parameters)
        feeder = Feeder(ros_node, out, process)
        feeder.connect(FaceAffectArray, Satisfaction, DiagnosticArray)
        return feeder

    return start


def picture_of(index: int) -> Image:
    return encode_image(np.full((240, 320, 3), 128, np.uint8), stamp(index), "head_camera")


class References(HTMLParser):
    """Everything a browser would load or could be sent to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append(tag)
        self.found += [value for name, value in attributes if name in ("src", "href", "srcset", "action", "data")]


def test_lines_say_what_was_sent_in_the_order_it_was_sent(record) -> None:
    feeder = record()
    sent = [
        emotions(0, []),
        emotions(1, [face()]),
        emotions(2, [face(valence=math.nan, arousal=math.nan, landmarks=[]), face("abcd2", happiness=0.2)]),
    ]
    for message in sent:
        feeder.send(message)
    feeder.wait_for_lines(3)
    feeder.finish()
    lines = feeder.lines()
    assert [line["frame"] for line in lines] == [0, 1, 2]
    assert [len(line["faces"]) for line in lines] == [0, 1, 2]
    assert {(line["source"], line["frame_id"], line["camera"]) for line in lines} == {
        ("test.mp4", "head_camera", CAMERA)
    }
    assert [line["latency_ms"] for line in lines] == [4.0, 5.0, 6.0]
    assert [line["time_s"] for line in lines] == pytest.approx([0, 0.041667, 0.083333], abs=1e-5)
    assert lines[1]["faces"][0] == {
        "id": "abcd1",
        "box": [100, 40, 80, 90],
        "landmarks": [[110.0, 60.5], [150.0, 60.0], [130.0, 80.0], [115.0, 100.0], [145.0, 101.0]],
        "probabilities": pytest.approx({"anger": 0.1, "happiness": 0.7, "neutral": 0.2}, abs=1e-4),
        "expression": "happiness",
        "confidence": pytest.approx(0.7, abs=1e-4),
        "valence": 0.25,
        "arousal": -0.5,
    }
    assert (lines[2]["faces"][0]["valence"], lines[2]["faces"][0]["landmarks"]) == (None, [])
    assert lines[2]["faces"][1]["expression"] == "neutral"


def test_stamps_keep_all_their_digits(record) -> None:
    feeder = record()
    feeder.send(emotions(0, []))
    feeder.wait_for_lines(1)
    feeder.finish()
    assert '"stamp":1700000000.123456789,' in (feeder.out / "emotions.jsonl").read_text()


def test_the_summary_adds_up(record) -> None:
    feeder = record(source_note="drawn by a test")
    for index in range(24):
        feeder.send(emotions(index, [face(happiness=0.7 if index < 18 else 0.1)]))
        feeder.send(satisfaction(index, 0.1 + 0.01 * index))
    feeder.send(
        diagnostics(
            frames_in=30, frames_processed=24, frames_dropped=6, dropped__superseded=4, dropped__bad_step=2,
            detect_ms__median=2.5, detect_ms__p99=4.0,
        )
    )  # fmt: skip
    feeder.wait_for_lines(24)
    feeder.wait_for_lines(24, "satisfaction.jsonl")
    summary = feeder.finish()
    assert (summary["source"], summary["source_note"]) == ("test.mp4", "drawn by a test")
    assert summary["frames_in"] == summary["frames_processed"] + sum(summary["frames_dropped"].values()) == 30
    assert summary["frames_dropped"] == {"superseded": 4, "bad_step": 2}
    assert summary["frames_recorded"] == 24
    assert summary["duration_s"] == pytest.approx(23 / 24, abs=1e-3)
    assert summary["fps"] == pytest.approx(24, abs=0.1)
    assert summary["latency_ms"] == {"median": 15.5, "p99": pytest.approx(26.77), "max": 27.0}
    assert summary["stages_ms"] == {"detect": {"median": 2.5, "p99": 4.0}}
    assert summary["model"]["sha256"] == "ab" * 32
    (one,) = summary["faces"]
    assert (one["id"], one["frames"]) == ("abcd1", 24)
    assert one["seconds"] == pytest.approx(1.0, abs=0.02)
    assert one["expression_seconds"] == {
        "happiness": pytest.approx(0.75, abs=0.02), "neutral": pytest.approx(0.25, abs=0.02), "anger": 0.0
    }  # fmt: skip
    assert summary["satisfaction"][0]["score"] == pytest.approx(0.33, abs=1e-3)
    assert summary["satisfaction"][0]["level"] == "satisfied"
    assert summary["recorder"]["lines_dropped"] == 0


def test_without_diagnostics_the_counts_are_unknown_not_zero(record) -> None:
    feeder = record()
    feeder.send(emotions(0, [face()]))
    feeder.wait_for_lines(1)
    summary = feeder.finish()
    assert summary["frames_in"] is summary["frames_processed"] is summary["frames_dropped"] is None
    assert summary["frames_recorded"] == 1


def test_the_report_needs_nothing_from_outside_and_escapes_what_it_is_told(record) -> None:
    feeder = record(source="<script>alert(1)</script>.mp4", source_note='"&<b>bold</b>')
    for index in range(10):
        feeder.send(emotions(index, [face("<img>"), face("abcd1")]))
        feeder.send(satisfaction(index, 0.2))
    feeder.wait_for_lines(10)
    feeder.wait_for_lines(10, "satisfaction.jsonl")
    feeder.finish()
    references = References(feeder.report)
    assert references.found == []
    assert "script" not in references.tags
    assert "img" not in references.tags
    assert "<b>bold" not in feeder.report
    assert "url(" not in feeder.report
    assert "@import" not in feeder.report
    assert references.tags.count("svg") == 5  # probabilities, valence and arousal of two faces; satisfaction of one
    assert "&lt;script&gt;" in feeder.report
    assert "width=device-width" in feeder.report
    assert len(feeder.report) < 1_000_000


def test_a_killed_recorder_leaves_whole_lines(record) -> None:
    feeder = record()
    for index in range(300):
        feeder.send(emotions(index, [face(), face("abcd2"), face("abcd3")]))
    feeder.wait_for_lines(50)
    feeder.process.expected_exit = -signal.SIGKILL
    os.kill(feeder.process.pid, signal.SIGKILL)
    feeder.process.wait(10)
    text = (feeder.out / "emotions.jsonl").read_text()
    assert text.endswith("\n")
    lines = feeder.lines()
    assert [line["frame"] for line in lines] == list(range(len(lines)))
    assert len(lines) >= 50


def test_no_picture_is_stored_unless_asked_for(record, ros_node) -> None:
    feeder = record()
    for index in range(5):
        feeder.send(picture_of(index))
        feeder.send(emotions(index, [face()]))
    feeder.wait_for_lines(5)
    assert ros_node.count_subscribers("/image_raw") == 0
    feeder.finish()
    assert sorted(file.name for file in feeder.out.iterdir()) == [
        "emotions.jsonl", "report.html", "satisfaction.jsonl", "summary.json"
    ]  # fmt: skip
    assert "data:" not in feeder.report
    assert "<img" not in feeder.report


def test_pictures_of_an_earlier_recording_go(record, tmp_path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("annotated.mp4", ".annotated.mp4.part", "report.html", "mine.txt"):
        (out / name).write_text("old")
    feeder = record()
    feeder.send(emotions(0, []))
    feeder.wait_for_lines(1)
    feeder.finish()
    names = {file.name for file in out.iterdir()}
    assert "mine.txt" in names
    assert not names & {"annotated.mp4", ".annotated.mp4.part"}
    assert feeder.report != "old"


def test_the_video_shows_every_result_in_its_own_picture(record) -> None:
    feeder = record(record_video=True)
    first = feeder.start_video()
    for index in range(first + 1, 24):
        # Results may come before or after their picture.
        messages = [picture_of(index), emotions(index, [face(happiness=0.8 if index < 12 else 0.1)])]
        for message in messages if index % 2 else reversed(messages):
            feeder.send(message)
        feeder.wait_for_lines(index + 1)
    summary = feeder.finish()
    assert summary["recorder"]["pictures_written"] == 24 - first
    assert summary["recorder"]["results_without_picture"] == first
    assert not (feeder.out / ".annotated.mp4.part").exists()
    video = cv2.VideoCapture(str(feeder.out / "annotated.mp4"))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(24, abs=0.5)
    pictures = []
    while (read := video.read())[0]:
        pictures.append(read[1])
    assert len(pictures) == 24 - first
    for index, expression in ((11, "happiness"), (12, "neutral")):
        edge = pictures[index - first][60:110, 100].astype(int)
        assert np.abs(edge - colour_bgr(expression)).mean() < 40, f"frame {index} is not marked as {expression}"
    assert feeder.report.count("data:image/jpeg;base64,") == 2
    assert References(feeder.report).found[-1] == "annotated.mp4"
    assert len(feeder.report) < 1_000_000


def test_messages_that_contradict_themselves_are_counted_and_survived(record) -> None:
    feeder = record()
    feeder.send(emotions(0, [face(probabilities=[0.5, 0.5])]))
    feeder.send(emotions(1, [face(expression="joy")]))
    feeder.send(emotions(2, [face(landmarks=[1.0, 2.0, 3.0])]))
    feeder.send(satisfaction(0, 0.1, level=77))
    feeder.send(diagnostics(frames_in="many", frames_processed=1))
    feeder.send(emotions(3, [face()]))
    feeder.wait_for_lines(1)
    summary = feeder.finish()
    assert summary["frames_recorded"] == 1
    assert summary["recorder"]["messages_unreadable"] == 5
    assert summary["frames_in"] is None


def test_a_picture_that_cannot_be_read_costs_only_itself(record) -> None:
    feeder = record(record_video=True)
    first = feeder.start_video()
    for index in range(first + 1, first + 4):
        picture = picture_of(index)
        if index == first + 2:
            picture.encoding = "nonsense"
        feeder.send(picture)
        feeder.send(emotions(index, [face()]))
        feeder.wait_for_lines(index + 1)  # pictures come as best effort: a burst of them could get lost
    summary = feeder.finish()
    assert summary["recorder"]["pictures_written"] == 3
    assert summary["recorder"]["pictures_failed"] == 1
    assert "nonsense" in summary["recorder"]["problems"][0]


def test_without_a_terminal_a_line_a_second_says_what_is_seen(record) -> None:
    feeder = record()
    feeder.send(emotions(0, [face()]))
    feeder.send(satisfaction(0, 0.4))
    feeder.process.wait_for_output("abcd1 happiness 70% valence +0.25 arousal -0.50 satisfied +0.40")
    assert "\x1b[" not in feeder.process.output
    feeder.finish()


def test_a_folder_that_cannot_be_written_is_named(start_node, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    process = start_node("recorder", parameters={"out_dir": str(tmp_path / "file" / "out")})
    process.expected_exit = 2
    assert process.wait(20) == 2
    assert str(tmp_path / "file" / "out") in process.output
    assert "Choose another out_dir" in process.output
