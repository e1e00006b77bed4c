"""Runs the `fer` package's own pipeline and mien's side by side: the same frames, in turn, on the same core.

    python tools/compare_fer.py            # prints a table and writes docs/results/compare-fer.md

fer gets an environment of its own in the cache folder, made the first time: about ten minutes and 7.5 GB, because it
brings TensorFlow and PyTorch. `--remove` deletes it afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "fer==25.10.3"
NEEDED_GB = 20
CONTESTANTS = {
    "mien": "mien, detecting on every frame",
    "mien-default": "mien, default detection rate (every 3rd frame)",
    "fer-haar": "fer, Haar cascade (its default)",
    "fer-mtcnn": "fer, MTCNN",
}
PICTURES = {
    "close": "the demo video as filmed, a close-up of one woman, scaled to 640x480; her face is about 210x390 pixels",
    "far": "the same face at about 105x150 pixels before a blurred wall, 640x480 (the scene of `mien bench`)",
}
"""What fer's detectors need depends on the picture: two kinds, so that neither is a chosen one."""
WARM_UP_FRAMES = 6
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core that all run on")
    parser.add_argument("--save", type=Path, default=ROOT / "docs" / "results" / "compare-fer.md")
    parser.add_argument("--remove", action="store_true", help="delete fer's environment afterwards")
    arguments = parser.parse_args()

    # Not from the folder of this script: the module names there are nobody else's business.
    sys.path[0] = str(ROOT)
    python = fer_environment()
    with tempfile.TemporaryDirectory() as folder:
        write_frames(Path(folder), WARM_UP_FRAMES + arguments.frames)
        results = measure(python, Path(folder), WARM_UP_FRAMES + arguments.frames, arguments.core)
    page = report(results, python, arguments.frames)
    print(page)
    arguments.save.parent.mkdir(parents=True, exist_ok=True)
    arguments.save.write_text(page)
    if arguments.remove:
        shutil.rmtree(python.parent.parent)


def fer_environment() -> Path:
    """The interpreter of the environment with fer, made when it is missing or was not finished."""
    from mien.models.cache import cache_folder

    folder = cache_folder() / "peers" / PACKAGE.replace("==", "-")
    python, finished = folder / "bin" / "python", folder / "finished"
    if not finished.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < NEEDED_GB * 1e9:
            sys.exit(f"compare_fer: {folder} has less than {NEEDED_GB} GB free. Make room there, or set MIEN_CACHE")
        venv.create(folder, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--progress-bar", "off", PACKAGE]
        subprocess.run(command, check=True, env=plain_environment())
        finished.touch()
    return python


def plain_environment() -> dict[str, str]:
    """This process's environment without what the ROS wheels add for this interpreter alone."""
    of_ros = ("PYTHONPATH", "LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
    return {name: value for name, value in os.environ.items() if name not in of_ros}


def write_frames(folder: Path, frames: int) -> None:
    """One file per frame of both kinds of pictures, with one face each."""
    import cv2
    import numpy as np

    from mien.benchmark.scenes import FaceVideo, Scene
    from mien.models.fetch import fetch

    video, scene = cv2.VideoCapture(str(fetch("demo_video"))), Scene(FaceVideo(), 1, 640, 480)
    for index in range(frames):
        np.save(folder / f"close-{index}.npy", cv2.resize(video.read()[1], (640, 480)))
        np.save(folder / f"far-{index}.npy", scene.frame(index))


class Contestant:
    """A process that reads frames from a folder, one at a time, and says how long it took."""

    def __init__(self, name: str, python: Path, folder: Path, core: int) -> None:
        fer = name.startswith("fer")
        self._log = folder / f"{name}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [python if fer else sys.executable, __file__, "--worker", name, str(folder), str(core)],
                env={**(plain_environment() if fer else os.environ), **ONE_THREAD, "CUDA_VISIBLE_DEVICES": ""},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def ask(self, question: str) -> dict[str, Any]:
        """Send a line and return its answer; libraries may print other lines in between."""
        print(question, file=self._process.stdin, flush=True)
        for line in self._process.stdout or ():
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        sys.exit(f"compare_fer: a process ended\n{self._log.read_text()[-3000:]}")

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()


def measure(python: Path, folder: Path, frames: int, core: int) -> dict[str, dict[str, Any]]:
    """Give every frame to every contestant in turn.

    Returns:
        By contestant: peak memory in MB, loading time in s, and for each kind of picture a list of answers.
    """
    from rich.progress import track

    contestants = {name: Contestant(name, python, folder, core) for name in CONTESTANTS}
    results: dict[str, dict[str, Any]] = {
        name: {"load_s": contestant.ask("load")["ms"] / 1e3} for name, contestant in contestants.items()
    }
    for picture in PICTURES:
        for index in track(range(frames), f"{picture} pictures"):
            for name, contestant in contestants.items():
                results[name].setdefault(picture, []).append(contestant.ask(f"{picture}-{index}"))
    for name, contestant in contestants.items():
        results[name]["peak_mb"] = contestant.ask("memory")["peak_mb"]
        contestant.close()
    return results


def work(name: str, folder: Path, core: int) -> None:
    """A contestant: answers each line of its input; runs in its own environment."""
    os.sched_setaffinity(0, {core})
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    read: Callable[[Any, str, int], int] = lambda image, picture, index: 0  # noqa: E731, ARG005
    for line in sys.stdin:
        question = line.strip()
        if question == "memory":
            print(json.dumps({"peak_mb": peak_mb()}), flush=True)
            continue
        faces, image = 0, None if question == "load" else np.load(folder / f"{question}.npy")
        started = time.perf_counter()
        if image is None:
            read = load_fer(name) if name.startswith("fer") else load_mien(name)
        else:
            picture, index = question.split("-")
            faces = read(image, picture, int(index))
        print(json.dumps({"ms": (time.perf_counter() - started) * 1e3, "faces": faces}), flush=True)


def load_fer(name: str) -> Callable[[Any, str, int], int]:
    """The pipeline of fer as its documentation shows it; gives the number of faces."""
    from fer.fer import FER  # type: ignore[import-not-found]

    detector = FER(mtcnn=name == "fer-mtcnn")
    return lambda image, *_: len(detector.detect_emotions(image))


def load_mien(name: str) -> Callable[[Any, str, int], int]:
    """The pipeline of mien; gives the number of faces."""
    sys.path[0] = str(ROOT)
    from mien.bundle import open_bundle
    from mien.models.default_bundle import built_bundle
    from mien.pipeline import Frame, Pipeline, PipelineSettings

    settings = PipelineSettings() if name == "mien-default" else PipelineSettings(detection_interval_frames=1)
    names = map(str, range(1 << 30))
    pipeline = Pipeline(open_bundle(built_bundle("fer2013")), settings, lambda: next(names))
    return lambda image, picture, index: len(pipeline.process([Frame(image, picture, index / 30)])[0])


def peak_mb() -> float:
    """Largest resident memory of this process so far, MB."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("VmHWM"))


def report(results: dict[str, dict[str, Any]], python: Path, frames: int) -> str:
    """The Markdown page."""
    import numpy as np

    from mien.benchmark.machine import machine_facts

    freeze = subprocess.check_output([python, "-m", "pip", "freeze"], env=plain_environment(), text=True).splitlines()
    kept = ("fer==", "tensorflow==", "torch==", "facenet-pytorch==", "opencv-contrib-python==", "numpy==")
    lines = [
        "# mien beside the `fer` package on the same core",
        "",
        f"`python tools/compare_fer.py --frames {frames}`, {datetime.now(timezone.utc).isoformat(timespec='seconds')}",
        "",
        *(f"- {name}: {value}" for name, value in machine_facts().items()),
        f"- fer's environment: {', '.join(line for line in freeze if line.startswith(kept))}; as pip installs it",
        "- Every frame goes to all four in turn; each is a process of its own, all on one core with one thread. "
        "Reading the frame from disk is not counted.",
        "- Both end at the expression. mien runs the same network (converted), and also gives valence, arousal, stable "
        "ids, landmarks and smoothing; at the default detection rate it searches every third frame and follows the "
        "face between, so two thirds of its frames are cheap: its mean says what it costs.",
        "",
        "| process | peak memory MB | loading s |",
        "| --- | ---: | ---: |",
        *(
            f"| {title} | {results[name]['peak_mb']:.0f} | {results[name]['load_s']:.1f} |"
            for name, title in CONTESTANTS.items()
        ),
    ]
    for picture, description in PICTURES.items():
        lines += [
            *["", f"## {frames} frames: {description}", ""],
            "| pipeline | median ms | mean ms | p99 ms | median over mien's | faces found |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        timed = {name: results[name][picture][WARM_UP_FRAMES:] for name in CONTESTANTS}
        ms = {name: np.array([answer["ms"] for answer in answers]) for name, answers in timed.items()}
        for name, title in CONTESTANTS.items():
            median = float(np.median(ms[name]))
            values = (median, ms[name].mean(), np.percentile(ms[name], 99), median / float(np.median(ms["mien"])))
            found = f"{sum(answer['faces'] for answer in timed[name])} of {frames}"
            lines.append(f"| {' | '.join([title, *(f'{value:.2f}' for value in values), found])} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
