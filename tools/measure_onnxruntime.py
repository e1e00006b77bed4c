"""Measures ONNX Runtime's settings on this machine's CPU: those that mien uses, and each one changed alone.

    python tools/measure_onnxruntime.py                          # the default bundle's networks; two minutes when idle
    python tools/measure_onnxruntime.py --bundle mine --rounds 40

In every round every setting takes its turn, in an order drawn anew, and is compared with mien's of the same round, so
that a disturbance of the machine hits no setting alone. Each round is kept in out/onnxruntime: interrupted or given
more rounds, it goes on there. The figures replace those below the heading "Measured" of docs/results/onnxruntime.md;
what stands above is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from rich.progress import track

from mien.benchmark.machine import machine_facts, memory_of
from mien.bundle import open_bundle
from mien.models.default_bundle import default_bundle
from mien.networks import backbone_model, detector_model
from mien.runtime.backend import Model
from mien.runtime.onnxruntime import session_options

Options = onnxruntime.SessionOptions
Call = Callable[[], list[np.ndarray]]
ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "results" / "onnxruntime.md"
HEADING = "## Measured"
BASE, BOUND = "as mien sets them", "inputs and outputs bound once"
CORES = os.cpu_count() or 1
CALLS = 20
"""Calls of one network in one turn; the quickest counts, since what else the machine does only adds to a call."""
PACED_FRAMES, PACED_HZ = 30, 30.0
FACES = (1, 4, 16)
DETECTOR_SIZE = (320, 240)


def set_threads(options: Options, spin: bool) -> None:
    """As many threads as cores; those that wait spin or sleep."""
    options.intra_op_num_threads = CORES
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))


def set_level(name: str) -> Callable[[Options], None]:
    """How much the graph is optimised."""
    return lambda options: setattr(
        options, "graph_optimization_level", getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{name}")
    )


SETTINGS: dict[str, Callable[[Options], None]] = {
    BASE: lambda options: None,  # noqa: ARG005
    f"{CORES} threads, sleeping while they wait": lambda options: set_threads(options, spin=False),
    f"{CORES} threads, spinning while they wait": lambda options: set_threads(options, spin=True),
    "graph not optimised": set_level("DISABLE_ALL"),
    "graph optimised: basic": set_level("ENABLE_BASIC"),
    "graph optimised: extended": set_level("ENABLE_EXTENDED"),
    "no arena": lambda options: setattr(options, "enable_cpu_mem_arena", False),
    "no memory patterns": lambda options: setattr(options, "enable_mem_pattern", False),
    BOUND: lambda options: None,  # noqa: ARG005
}


def networks(bundles: list[Path]) -> dict[str, tuple[Model, tuple[int, ...]]]:
    """The networks of bundles and the shapes of their inputs, by name."""
    found: dict[str, tuple[Model, tuple[int, ...]]] = {}
    for path in bundles:
        bundle = open_bundle(path)
        detector = detector_model(bundle.read(bundle.manifest.detector.file), *DETECTOR_SIZE)
        found.setdefault("YuNet, 320x256", (detector, (1, 3, *detector.input_size)))
        spec = bundle.manifest.backbone.input
        for faces in FACES:
            shape = (faces, spec.depth, spec.height, spec.width)
            found[f"{bundle.manifest.name}, batch {faces}"] = (backbone_model(bundle, "fp32"), shape)
    return found


def make_call(setting: str, model: Model, shape: tuple[int, ...]) -> Call:
    """Load a network with a setting; the result runs it on one batch."""
    options = session_options(1, model.input_size)
    SETTINGS[setting](options)
    session = onnxruntime.InferenceSession(model.files["fp32"](), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    batch = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    if setting != BOUND:
        return lambda: session.run(None, {name: batch})
    binding = session.io_binding()
    binding.bind_cpu_input(name, batch)
    outputs = [np.zeros_like(output) for output in session.run(None, {name: batch})]
    for output, array in zip(session.get_outputs(), outputs, strict=True):
        binding.bind_output(output.name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def call() -> list[np.ndarray]:
        session.run_with_iobinding(binding)
        return outputs

    return call


def quickest_ms(call: Call) -> float:
    """Time of the quickest of some calls, after one that is not counted."""
    call()
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times) * 1e3


def paced(calls: list[Call]) -> dict[str, float]:
    """Run networks at a camera's rate: median time of a frame, and the CPU time that a frame costs, pauses included."""
    times, started, began_cpu = [], time.perf_counter(), time.process_time()
    for frame in range(PACED_FRAMES):
        time.sleep(max(0.0, started + frame / PACED_HZ - time.perf_counter()))
        began = time.perf_counter()
        for call in calls:
            call()
        times.append(time.perf_counter() - began)
    cpu_ms = (time.process_time() - began_cpu) * 1e3 / PACED_FRAMES
    return {"paced_ms": float(np.median(times)) * 1e3, "cpu_ms": cpu_ms}


def load_alone(setting: str, bundles: list[Path]) -> dict[str, float]:
    """In a process of its own: loading all networks and running each once, and the memory that the process has then."""
    models = networks(bundles)
    started = time.perf_counter()
    calls = [make_call(setting, *network) for network in models.values()]
    for call in calls:
        call()
    load_ms = (time.perf_counter() - started) * 1e3
    return {"load_ms": load_ms, "private_mb": memory_of(os.getpid()).private_mb}


def measure(number: int, calls: dict[str, dict[str, Call]], bundles: list[Path]) -> dict[str, Any]:
    """One round: by setting, ms of every network and what else was measured."""
    order = sorted(SETTINGS)
    random.Random(number).shuffle(order)  # noqa: S311
    found: dict[str, Any] = {}
    for setting in order:
        command = [sys.executable, __file__, "--alone", setting, "--bundle", *map(str, bundles)]
        alone = json.loads(subprocess.check_output(command))
        frame = list(calls[setting].values())[:2]
        found[setting] = {**alone, **paced(frame)}
    for network in calls[BASE]:
        for setting in order:
            found[setting][network] = quickest_ms(calls[setting][network])
    return {"round": number, "load": os.getloadavg()[0], "settings": found}


def read_rounds(folder: Path, key: dict[str, str]) -> list[dict[str, Any]]:
    """The rounds that are there, if they were measured with the same machine, versions and networks."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "key.json"
    if made.exists() and json.loads(made.read_text()) != key:
        sys.exit(f"measure_onnxruntime: {folder} was measured with something else. Give another --out, or remove it")
    made.write_text(json.dumps(key, indent=2))
    rounds = folder / "rounds.jsonl"
    lines = rounds.read_text().splitlines(keepends=True) if rounds.exists() else []
    whole = [line for line in lines if line.endswith("\n")]  # the last one may have been cut off
    rounds.write_text("".join(whole))
    return [json.loads(line) for line in whole]


def report(rounds: list[dict[str, Any]], facts: dict[str, str], names: list[str]) -> str:
    """The Markdown below the heading."""
    loads = [one["load"] for one in rounds]
    lines = [
        *[HEADING, "", f"`python tools/measure_onnxruntime.py`, {datetime.now(timezone.utc).date()}", ""],
        *(f"- {name}: {value}" for name, value in facts.items()),
        f"- {len(rounds)} rounds; other load while they ran: {min(loads):.1f} to {max(loads):.1f} processes",
        "",
        "Time over that of mien's settings in the same round, median and quartiles over the rounds; bold where the",
        "quartiles lie on one side of 1. The first row is in ms.",
        "",
        f"| setting | {' | '.join(names)} |",
        f"| --- |{' ---: |' * len(names)}",
    ]
    for setting in SETTINGS:
        cells = []
        for name in names:
            base = np.array([one["settings"][BASE][name] for one in rounds])
            ratios = np.array([one["settings"][setting][name] for one in rounds]) / base
            low, middle, high = np.percentile(ratios, [25, 50, 75])
            mark = "**" if low > 1 or high < 1 else ""
            ratio = f"{mark}{middle:.2f}{mark} ({low:.2f}–{high:.2f})"
            cells.append(f"{np.median(base):.2f} ms" if setting == BASE else ratio)
        lines.append(f"| {' | '.join([setting, *cells])} |")
    lines += [
        *["", "Medians over the rounds. Loading: all networks of the table, in a process of its own, each run once."],
        f"At {PACED_HZ:g} Hz: the first two networks once per frame; CPU time with what waiting threads burn.",
        *["", f"| setting | loading ms | private memory MB | at {PACED_HZ:g} Hz: ms | CPU ms per frame |"],
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for setting in SETTINGS:
        keys = ("load_ms", "private_mb", "paced_ms", "cpu_ms")
        medians = [np.median([one["settings"][setting][key] for one in rounds]) for key in keys]
        load_ms, private_mb, paced_ms, cpu_ms = medians
        lines.append(f"| {setting} | {load_ms:.0f} | {private_mb:.1f} | {paced_ms:.2f} | {cpu_ms:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, nargs="+", help="folders or .zip; without it the default bundle")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "onnxruntime")
    parser.add_argument("--save", type=Path, default=PAGE)
    parser.add_argument("--alone", choices=SETTINGS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    onnxruntime.set_default_logger_severity(3)  # it warns of every setting that is given anew
    bundles = arguments.bundle or [default_bundle()]
    if arguments.alone:
        print(json.dumps(load_alone(arguments.alone, bundles)))
        return

    models = networks(bundles)
    facts = machine_facts()
    checksums = {name: hashlib.sha256(model.files["fp32"]()).hexdigest() for name, (model, _) in models.items()}
    rounds = read_rounds(arguments.out, {**checksums, **{name: facts[name] for name in ("CPU", "ONNX Runtime")}})
    calls = {setting: {name: make_call(setting, *network) for name, network in models.items()} for setting in SETTINGS}
    for number in track(range(len(rounds), arguments.rounds), "rounds"):
        rounds.append(measure(number, calls, bundles))
        with (arguments.out / "rounds.jsonl").open("a") as file:
            file.write(json.dumps(rounds[-1]) + "\n")
    kept = {name: value for name, value in facts.items() if name != "other load"}
    page = report(rounds, kept, list(models))
    print(page)
    above = arguments.save.read_text().partition(HEADING)[0] if arguments.save.exists() else ""
    arguments.save.write_text(above + page)


if __name__ == "__main__":
    main()
