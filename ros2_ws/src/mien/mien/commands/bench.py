"""`mien bench`: how fast the pipeline is here, and how much memory it takes."""

from __future__ import annotations

import os
import shlex
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import cyclopts
import msgspec
from rich.console import Console
from rich.progress import Progress

from mien.benchmark.board import board_state
from mien.benchmark.goals import goals, learning_goals
from mien.benchmark.in_process import ROUNDS, Bench, finish, warm_pipeline
from mien.benchmark.law import PAPER_003, fit_law
from mien.benchmark.learning import measure_learning
from mien.benchmark.machine import machine_facts, memory_of
from mien.benchmark.over_dds import large_image_profile, measure_over_dds
from mien.benchmark.results import Case, LearningReport, OverDds, Report
from mien.benchmark.scenes import DESCRIPTION, check_faces
from mien.benchmark.tables import Table, facts, learning_facts, learning_tables, markdown, print_tables, tables
from mien.benchmark.while_learning import measure_while_learning
from mien.bundle import Precision, open_bundle
from mien.errors import MienError
from mien.models.default_bundle import default_bundle
from mien.pipeline import PipelineSettings
from mien.runtime.backend import BackendOptions

IMAGE_SIZES = ((640, 480), (1280, 720))
MINIMUM_FRAMES = 20


def bench(
    *,
    json: Annotated[str | None, cyclopts.Parameter(allow_leading_hyphen=True)] = None,
    save: Path | None = None,
    faces: Annotated[tuple[int, ...], cyclopts.Parameter(negative="", consume_multiple=True)] = (1, 2, 4, 8),
    frames: int = 200,
    threads: int = 1,
    backend: str = "onnxruntime",
    precision: Precision | None = None,
    bundle: Path | None = None,
    dds: bool = True,
    learning: Annotated[bool, cyclopts.Parameter(negative="")] = False,
) -> None:
    """Measure every stage and the whole pipeline, in this process and over DDS, beside paper 003's figures.

    Takes about two minutes. The scenes are made of real faces of the demo video; the cases take turns. Where other
    work goes on, `chrt -f 1 mien bench` (as root) keeps it out of the figures; the report says so.

    Args:
        json: File for all figures as JSON; "-" prints them instead of the tables.
        save: Markdown file for the tables.
        faces: Numbers of faces in the scenes, 1 to 8.
        frames: Frames per case; over DDS half as many.
        threads: CPU threads of one network.
        backend: What runs the networks.
        precision: Of the backbone's files; without it the backend's own choice.
        bundle: Folder or .zip with the models; without it the default bundle.
        dds: Also measure with camera and perception node in separate processes; needs ROS 2.
        learning: Measure instead how long learning a person takes on one thread, and with DDS what a node's frames
            notice of it.
    """
    check_faces(faces)
    if json is not None and json.startswith("--"):
        raise MienError("--json needs a file", 'Give one, or "-" for the terminal')
    if frames < MINIMUM_FRAMES:
        raise MienError(f"--frames cannot be {frames}", f"Give at least {MINIMUM_FRAMES}")
    if learning:
        learned = _measure_learning(bundle, dds)
        _hand_over(learned, learning_facts(learned), learning_tables(learned), json, save)
    else:
        report = _measure(sorted(set(faces)), frames, BackendOptions(backend, threads, precision), bundle, dds)
        _hand_over(report, facts(report), tables(report), json, save)


def _hand_over(
    report: Report | LearningReport, about: dict[str, str], shown: list[Table], json: str | None, save: Path | None
) -> None:
    data = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
    if json == "-":
        sys.stdout.buffer.write(data)
    else:
        print_tables(about, shown, Console())
        if json is not None:
            _write(Path(json), data)
    if save is not None:
        _write(save, markdown(report.command, about, shown).encode())


def _measure_learning(bundle: Path | None, dds: bool) -> LearningReport:
    machine = machine_facts()
    found = measure_learning()
    frames = measure_while_learning(bundle or default_bundle()) if dds else None
    return LearningReport(_now(), _command(), machine, found, frames, learning_goals(found, frames))


def _measure(faces: list[int], frames: int, backend: BackendOptions, path: Path | None, dds: bool) -> Report:
    default_interval = PipelineSettings().detection_interval_frames
    cases = [
        Case(count, *size, interval) for size in IMAGE_SIZES for interval in (1, default_interval) for count in faces
    ]
    machine = machine_facts()
    if dds:
        profile = large_image_profile()
        machine["DDS profile"] = profile.name if profile else "none: large images may be lost"
    path = path or default_bundle()
    started = time.perf_counter()
    opened = open_bundle(path)
    warm = warm_pipeline(opened, backend, 1)
    start_ms = round((time.perf_counter() - started) * 1e3, 1)
    # Before the scenes are made: their video takes more memory than the pipeline.
    memory = {"pipeline in this process": memory_of(os.getpid())}
    runtimes = ", ".join(sorted(set(warm.runtimes.values())))
    finish(warm, backend)
    machine |= {f"{name} before": value for name, value in board_state().items()}
    bench = Bench(opened, backend)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=len(cases) * (ROUNDS + 2 * dds) + 4)
        in_process = bench.cases(cases, frames, lambda: progress.advance(task))
        machine |= {f"{name} under load": value for name, value in board_state().items()}
        beside = bench.beside_detector(frames)
        progress.advance(task, 2)
        new_faces = bench.new_faces()
        progress.advance(task)
        recall = bench.default_rate_recall(faces[-1], frames)
        progress.advance(task)
        over_dds: list[OverDds] = []
        if dds:
            over_dds, memory["perception node"] = measure_over_dds(
                cases, frames // 2, opened.path, backend, lambda: progress.advance(task, 2)
            )
    laws = fit_law(in_process)
    precision = [backend.precision] if backend.precision else []
    return Report(
        created=_now(),
        command=_command(),
        machine=machine,
        bundle=f"{opened.manifest.name} {opened.sha256[:12]}",
        runtime=", ".join([runtimes, f"{backend.threads} thread{'s' * (backend.threads > 1)}", *precision]),
        start_ms=start_ms,
        scene=DESCRIPTION,
        pipeline_over_detector=beside.ratio,
        beside_detector=beside,
        in_process=in_process,
        over_dds=over_dds,
        laws=laws,
        paper_003=PAPER_003,
        new_faces=new_faces,
        default_rate_recall=recall,
        memory=memory,
        goals=goals(beside, over_dds, laws, new_faces, recall, memory, start_ms),
    )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _command() -> str:
    return shlex.join(["mien", *sys.argv[1:]])


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise MienError(f"{path} cannot be written ({error.strerror})", "Give a path that can be written") from error
