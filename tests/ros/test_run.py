"""`make run` from end to end: the real nodes in their own processes, on real frames."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import psutil
import pytest

from mien.models.fetch import fetch
from tests.ros.harness import wait_for

ROOT = Path(__file__).resolve().parents[2]
FRAMES, RATE_HZ = 36, 24


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """The first frames of the demo video, in a path with a space."""
    path = tmp_path_factory.mktemp("a clip") / "clip.mp4"
    video = cv2.VideoCapture(str(fetch("demo_video")))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=RATE_HZ, options={"deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for _ in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(video.read()[1], format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


class Run:
    """tools/run.py as a process; its nodes must be gone when it is."""

    def __init__(self, out: Path, *arguments: str) -> None:
        self.out = out
        self._log = out.with_suffix(f".{time.monotonic_ns()}.log")
        environment = {name: value for name, value in os.environ.items() if name != "ROS_DOMAIN_ID"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(ROOT / "tools" / "run.py"), *arguments, "--out", str(out)],
                cwd=out.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def nodes(self) -> list[psutil.Process]:
        return [one for one in psutil.Process(self._process.pid).children() if "--ros-args" in one.cmdline()]

    def node(self, module: str) -> psutil.Process:
        return next(one for one in self.nodes() if f"mien.nodes.{module}" in one.cmdline())

    def wait_until_reading(self) -> None:
        file = self.out / "emotions.jsonl"
        wait_for(lambda: file.exists() and file.stat().st_size > 0, 60, "the first line in emotions.jsonl")

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        return self._process.wait(90)

    def end(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self._process.poll() is None:
            left = self.nodes()
            self._process.kill()
            self._process.wait()
            for node in left:
                node.kill()

    def summary(self) -> dict:
        return json.loads((self.out / "summary.json").read_text())

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in (self.out / "emotions.jsonl").read_text().splitlines()]

    def names(self) -> set[str]:
        return {file.name for file in self.out.iterdir()}


@pytest.fixture
def run(tmp_path):
    runs = []

    def start(*arguments: str) -> Run:
        runs.append(Run(tmp_path / "out", *arguments))
        return runs[-1]

    yield start
    for one in runs:
        print(one.output)
        one.end()


def test_a_clip_becomes_lines_a_video_a_summary_and_a_report(run, clip) -> None:
    one = run(str(clip), "--record")
    assert one.wait() == 0, one.output
    summary, lines = one.summary(), one.lines()
    assert summary["frames_in"] == summary["frames_processed"] + sum(summary["frames_dropped"].values())
    assert summary["frames_processed"] == summary["frames_recorded"] == len(lines)
    assert len({line["stamp"] for line in lines}) == len(lines)
    assert 0.7 * FRAMES <= len(lines) <= FRAMES
    assert summary["source"] == "clip.mp4"
    assert summary["latency_ms"]["median"] > 0
    assert len(summary["faces"]) == 1
    with_face = [line["faces"][0] for line in lines if line["faces"]]
    assert len(with_face) > 0.9 * len(lines)
    assert all(sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3) for face in with_face)
    # The clip shows a woman who cries.
    assert all(face["valence"] < 0 for face in with_face)
    assert one.names() == {
        "annotated.mp4", "emotions.jsonl", "logs", "report.html", "satisfaction.jsonl", "summary.json"
    }  # fmt: skip
    assert cv2.VideoCapture(str(one.out / "annotated.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) >= 0.7 * FRAMES
    for name in one.names() - {"logs"}:
        assert f"out/{name}" in one.output


def test_pictures_of_somebodys_own_source_are_not_stored_unasked(run, clip) -> None:
    one = run(str(clip))
    assert one.wait() == 0, one.output
    assert one.names() == {"emotions.jsonl", "logs", "report.html", "satisfaction.jsonl", "summary.json"}
    assert "data:image" not in (one.out / "report.html").read_text()
    assert one.summary()["frames_recorded"] > 0


def test_ctrl_c_ends_everything_and_the_report_is_written(run) -> None:
    one = run()
    one.wait_until_reading()
    nodes = one.nodes()
    assert len(nodes) == 3
    one.interrupt()
    assert one.wait() == 0, one.output
    assert not any(node.is_running() for node in nodes)
    assert 0 < one.summary()["frames_recorded"] < 472
    assert one.summary()["frames_processed"] == one.summary()["frames_recorded"]
    assert "annotated.mp4" in one.names()


def test_a_node_that_dies_is_named_with_the_end_of_its_log(run) -> None:
    one = run()
    one.wait_until_reading()
    others = [one.node("camera"), one.node("recorder")]
    one.node("perception").kill()
    assert one.wait() == 1
    assert f"perception ended with status {-signal.SIGKILL}" in one.output
    assert "Bundle default" in one.output
    assert not any(node.is_running() for node in others)
    assert "report.html" in one.names()


def test_a_source_that_is_not_there_is_named_and_costs_nothing(run, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text("the last recording")
    one = run("nowhere.mp4")
    assert one.wait() == 2
    assert "nowhere.mp4 does not exist" in one.output
    assert "Traceback" not in one.output
    assert (tmp_path / "out" / "summary.json").read_text() == "the last recording"


def test_a_single_picture_is_read(run, tmp_path) -> None:
    picture = tmp_path / "one.png"
    cv2.imwrite(str(picture), cv2.VideoCapture(str(fetch("demo_video"))).read()[1])
    one = run(str(picture))
    assert one.wait() == 0
    assert len(one.lines()) == 1
    assert one.summary()["frames_in"] == 1


@pytest.mark.parametrize(("value", "stored"), [("1", True), ("0", False), ("no", False), ("", False)])
def test_make_records_only_when_told_to(value: str, stored: bool) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "run", "SOURCE=a.mp4", f"RECORD={value}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert ("--record" in done.stdout) == stored


def test_make_asks_when_told_neither_yes_nor_no() -> None:
    done = subprocess.run(["make", "--dry-run", "run", "RECORD=maybe"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "RECORD is maybe" in done.stderr


def test_a_second_run_into_the_same_folder_is_refused(run) -> None:
    first = run()
    first.wait_until_reading()
    second = run("nowhere.mp4")
    assert second.wait() == 2
    assert "Another run writes into" in second.output
    first.interrupt()
    assert first.wait() == 0
    assert first.lines()


def test_a_folder_that_cannot_be_written_is_named(run, tmp_path) -> None:
    (tmp_path / "out").write_text("a file")
    one = run()
    assert one.wait() == 2
    assert "cannot be written" in one.output
    assert "Traceback" not in one.output
