"""`make run` from end to end: the real nodes in their own processes, on real frames."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import cv2
import psutil
import pytest

from mien.bundle import open_bundle
from mien.models.default_bundle import default_bundle
from mien.models.fetch import fetch
from mien.recording.reading import Recording
from mien.recording.report import REPORT_FILE, render_report
from mien.recording.summary import SUMMARY_FILE, NodeFigures, summarise
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
    assert summary["learned"] is None  # nobody has labels of somebody's own video


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
    # None: it ended before the node had published its counts.
    assert one.summary()["frames_processed"] in (None, one.summary()["frames_recorded"])
    assert "annotated.mp4" in one.names()


def test_a_node_that_dies_is_named_with_the_end_of_its_log(run) -> None:
    one = run()
    one.wait_until_reading()
    others = [one.node("camera"), one.node("recorder")]
    one.node("perception").kill()
    assert one.wait() == 1
    assert f"perception ended with status {-signal.SIGKILL}" in one.output
    assert f"Bundle {open_bundle(default_bundle()).manifest.name}" in one.output
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


# ---- the second part: labels change the head of the person on screen


@pytest.fixture
def script(monkeypatch):
    """tools/run.py as a module."""
    spec = importlib.util.spec_from_file_location("run_script", ROOT / "tools" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    return module


@pytest.fixture
def recorded(tmp_path) -> Path:
    """The folder of a recording."""
    found = summarise(Recording(), NodeFigures(), "test", "", "2026-01-01T00:00:00+00:00", {}, {})
    (tmp_path / "logs").mkdir()
    (tmp_path / SUMMARY_FILE).write_bytes(found.to_json())
    (tmp_path / REPORT_FILE).write_text(render_report(found, Recording(), [], has_video=False))
    return tmp_path


def test_counts_that_the_node_had_no_time_to_tell_are_not_shown(script, recorded, capsys) -> None:
    file = recorded / SUMMARY_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), "frames_recorded": 3}))
    assert script.show_results(recorded)
    shown = capsys.readouterr().out
    assert "3 images read; faces: 0" in shown
    assert "None" not in shown


def test_labels_change_the_head_of_the_person_on_screen(script, clip, recorded, monkeypatch) -> None:
    learned, held_out = (  # she cries
        {"start_s": start_s, "end_s": start_s + 0.5, "expression": "sadness", "held_out": start_s > 0}
        for start_s in (0.0, 1.0)
    )
    labels = recorded / "logs" / "labels.json"
    labels.write_text(json.dumps({"about": "A test's.", "spans": [learned, held_out]}))
    monkeypatch.setattr(script, "DEMO_LABELS", labels)
    script.learn(str(clip), recorded, threading.Event())
    found = json.loads((recorded / SUMMARY_FILE).read_text())["learned"]
    assert (found["labels"], found["heads"], found["forgotten_samples"], found["forgotten_heads"]) == (5, 5, 5, 5)
    sadness = found["held_out"]["sadness"]
    assert sadness["frames"] == len([n for n in range(FRAMES) if 1.0 <= n / RATE_HZ <= 1.5])
    assert 0 < sadness["before"] < sadness["after"] < 1
    assert 0 < found["label_to_output_ms"]["median"] <= found["label_to_output_ms"]["max"]
    assert "Learned for this person" in (recorded / REPORT_FILE).read_text()
    assert not (recorded / script.LESSON / script.PEOPLE).exists()


def test_nobody_is_remembered_after_ctrl_c(script, recorded) -> None:
    stopping = threading.Event()
    before = (recorded / REPORT_FILE).read_bytes(), (recorded / SUMMARY_FILE).read_bytes()
    teaching = threading.Thread(target=script.learn, args=(str(fetch("demo_video")), recorded, stopping))
    teaching.start()
    people = recorded / script.LESSON / script.PEOPLE

    def is_stored() -> bool:
        return any(b"a public video" in file.read_bytes() for file in people.rglob("*") if file.is_file())

    wait_for(is_stored, 60, "the first person in the store")
    stopping.set()
    teaching.join(60)
    assert not teaching.is_alive()
    assert not people.exists()
    assert before == ((recorded / REPORT_FILE).read_bytes(), (recorded / SUMMARY_FILE).read_bytes())
