"""Measures paper 004's five networks as one graph against five calls, on one thread of this machine's CPU.

    python tools/measure_ensemble.py                  # three sizes, fp32 and int8; minutes when idle
    python tools/measure_ensemble.py --rounds 400

From normalised crops to probabilities, dense layers included: once through one graph and a head of five parts, once
through five graphs and five heads whose answers are averaged. Both take their turn in every round, in an order drawn
anew, so that a disturbance of the machine hits neither alone. The weights have learned nothing; speed does not ask.
int8 has all convolutions quantised. The figures replace those below the heading "Measured" of
docs/results/ensemble.md; what stands above is kept.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import numpy as np
from check_export import NETWORKS, PART, noise, settled
from rich.progress import track

from export.graph import export_graph
from export.qdq import insert_pairs
from export.quantize import find_roundings
from mien.benchmark.machine import machine_facts
from mien.benchmark.results import Times, summarise
from mien.bundle import CANONICAL_LABELS
from mien.expression.head import Head
from mien.runtime.backend import BackendOptions, Model, load_network
from trainer.models import Network
from trainer.models.heads import make_head

Array = np.typing.NDArray[np.float32]
Call = Callable[[Array], Array]
PAGE = Path(__file__).resolve().parent.parent / "docs" / "results" / "ensemble.md"
HEADING = "## Measured"
ARCHITECTURES = (PART, f"{PART}_96", f"{PART}_64")
FACES = (1, 4)
WARM_CALLS = 5
LARGEST_DIFFERENCE = {"fp32": 1e-4, "int8": 1e-2}
"""Between probabilities; in int8 the last bit of float32 may decide between two steps."""


class Row(NamedTuple):
    """One network in one precision, with one number of faces.

    Attributes:
        name: of the case.
        faces: in a batch.
        one_graph_ms: per face.
        five_calls_ms: per face.
        ratios: quartiles over the rounds of the time of five calls divided by that of one graph in the same round.
    """

    name: str
    faces: int
    one_graph_ms: Times
    five_calls_ms: Times
    ratios: tuple[float, float, float]


def main() -> None:
    """Measure, and write the figures into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="calls of each with one face; fewer with more faces")
    parser.add_argument("--save", type=Path, default=PAGE)
    wanted = parser.parse_args()
    facts, started = machine_facts(), time.perf_counter()
    rows = [row for name in track(ARCHITECTURES, "networks", transient=True) for row in rows_of(name, wanted.rounds)]
    facts["this command"] = f"{time.perf_counter() - started:.0f} s, {wanted.rounds} rounds with one face"
    page = report(rows, facts)
    print(page)
    above = wanted.save.read_text().partition(HEADING)[0] if wanted.save.exists() else ""
    wanted.save.write_text(above + page)


def rows_of(architecture: str, rounds: int) -> list[Row]:
    """Measure five networks of an architecture in both precisions."""
    networks = [settled(architecture, seed, CANONICAL_LABELS) for seed in range(NETWORKS)]
    known, groups = noise(networks[0]), [networks, *([network] for network in networks)]
    fp32 = [export_graph(group) for group in groups]
    found = []
    for precision, files in (("fp32", fp32), ("int8", [int8(file, known) for file in fp32])):
        one, *five = [caller(file, group) for file, group in zip(files, groups, strict=True)]
        for faces in FACES:
            name = f"{networks[0].input.width} px, {precision}"
            pictures = np.resize(known, (faces, *known.shape[1:]))
            found.append(measure(name, one, five, pictures, rounds // faces, LARGEST_DIFFERENCE[precision]))
    return found


def int8(file: bytes, pictures: Array) -> bytes:
    """A file with all its convolutions in int8."""
    roundings = find_roundings(file, pictures)
    return insert_pairs(file, roundings, roundings)


def caller(file: bytes, networks: Sequence[Network]) -> Call:
    """What turns pictures into probabilities through a graph of these networks and their dense layers."""
    graph = load_network(Model.of("backbone", "measured", file), BackendOptions(threads=1))
    size = sum(network.architecture.embedding_size for network in networks)
    head = Head(*make_head(networks), len(CANONICAL_LABELS), size)
    return lambda pictures: head.predict(graph.run(pictures)["embedding"]).probabilities


def measure(name: str, one: Call, five: Sequence[Call], pictures: Array, rounds: int, largest: float) -> Row:
    """Time one graph and five calls, turn by turn; their answers may differ by so much."""

    def together() -> Array:
        return one(pictures)

    def apart() -> Array:
        mean: Array = np.mean([call(pictures) for call in five], axis=0)
        return mean

    for _ in range(WARM_CALLS):
        difference = float(np.abs(together() - apart()).max())
        if not difference <= largest:
            sys.exit(f"measure_ensemble: {name}: one graph and five calls differ by {difference:.2g}")
    series: dict[Callable[[], Array], list[float]] = {together: [], apart: []}
    for _ in range(rounds):
        for call in random.sample([together, apart], 2):
            started = time.perf_counter()
            call()
            series[call].append((time.perf_counter() - started) * 1e3 / len(pictures))
    low, middle, high = np.percentile(np.divide(series[apart], series[together]), [25, 50, 75])
    return Row(name, len(pictures), summarise(series[together]), summarise(series[apart]), (low, middle, high))


def report(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """The Markdown below the heading."""
    lines = [
        *[HEADING, "", f"`python tools/measure_ensemble.py`, {datetime.now(timezone.utc).date()}, one thread", ""],
        *(f"- {name}: {value}" for name, value in facts.items()),
        *["", "ms per face; how many times as fast one graph is, in the same round: median and quartiles."],
        *["", "| network | faces | one graph: median | p99 | five calls: median | p99 | times as fast |"],
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, faces, one, five, (low, middle, high) in rows:
        times = " | ".join(f"{time_ms:.2f}" for time_ms in (one.median, one.p99, five.median, five.p99))
        lines.append(f"| {name} | {faces} | {times} | {middle:.3f} ({low:.3f}–{high:.3f}) |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
