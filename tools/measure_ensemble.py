"""Measures five networks as one graph against five calls, on one thread of this machine's CPU.

    python tools/measure_ensemble.py                                  # five parts_subnet, a minute when idle
    python tools/measure_ensemble.py parts_subnet_96 --rounds 400 --json ensemble.json

From normalised crops to probabilities, dense layers included: once through one graph and a head of five parts, once
through five graphs and five heads whose answers are averaged. Both take their turn in every round, in an order drawn
anew, so that a disturbance of the machine hits neither alone. The weights have learned nothing; speed does not ask.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from check_export import NETWORKS, settled
from rich.progress import track

from export.graph import export_graph
from mien.benchmark.machine import machine_facts
from mien.benchmark.results import Times, summarise
from mien.bundle import CANONICAL_LABELS
from mien.expression.head import Head
from mien.runtime.backend import BackendOptions, Model, load_network
from trainer.models import Network
from trainer.models.heads import make_head

Array = np.typing.NDArray[np.float32]
BATCHES = (1, 4)
WARM_CALLS = 10


class Row(msgspec.Struct, frozen=True):
    """One batch size.

    Attributes:
        faces: in a batch.
        one_graph_ms: per face.
        five_calls_ms: per face.
        faster: median over the rounds of the time of five calls divided by that of one graph.
    """

    faces: int
    one_graph_ms: Times
    five_calls_ms: Times
    faster: float


def main() -> None:
    """Measure, print a table, and write the figures where they are wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture", nargs="?", default="parts_subnet")
    parser.add_argument("--rounds", type=int, default=200, help="calls of each, per batch size")
    parser.add_argument("--json", type=Path, help="file for the figures")
    wanted = parser.parse_args()
    networks = [settled(wanted.architecture, seed, CANONICAL_LABELS) for seed in range(NETWORKS)]
    together, alone = caller(networks), [caller([network]) for network in networks]

    def five_calls(pictures: Array) -> Array:
        return np.mean([one(pictures) for one in alone], axis=0)

    rows = [measure(together, five_calls, pictures(networks[0], faces), wanted.rounds) for faces in BATCHES]
    for row in rows:
        print(
            f"{wanted.architecture}, {row.faces} faces: one graph {row.one_graph_ms.median:.2f} ms per face "
            f"(p99 {row.one_graph_ms.p99:.2f}), five calls {row.five_calls_ms.median:.2f} "
            f"(p99 {row.five_calls_ms.p99:.2f}): {row.faster:.3f} times as fast"
        )
    found = {"architecture": wanted.architecture, "machine": machine_facts(), "rounds": wanted.rounds, "rows": rows}
    if wanted.json is not None:
        wanted.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")


def caller(networks: list[Network]) -> Callable[[Array], Array]:
    """What turns pictures into probabilities through one graph of these networks."""
    graph = load_network(Model.of("backbone", "measured", export_graph(networks)), BackendOptions(threads=1))
    size = sum(network.architecture.embedding_size for network in networks)
    head = Head(*make_head(networks), len(CANONICAL_LABELS), size)
    return lambda pictures: head.predict(graph.run(pictures)["embedding"]).probabilities


def pictures(network: Network, faces: int) -> Array:
    """Noise as the network sees it."""
    spec = network.input
    return np.random.default_rng(0).standard_normal((faces, spec.depth, spec.height, spec.width), np.float32)


def measure(together: Callable[[Array], Array], apart: Callable[[Array], Array], batch: Array, rounds: int) -> Row:
    """Time both, turn by turn; they must say the same."""
    for _ in range(WARM_CALLS):
        if not np.allclose(together(batch), apart(batch), atol=1e-4):
            sys.exit("one graph and five calls say different things")
    series: dict[Callable[[Array], Array], list[float]] = {together: [], apart: []}
    for _ in track(range(rounds), f"{len(batch)} faces", transient=True):
        for call in random.sample([together, apart], 2):
            started = time.perf_counter()
            call(batch)
            series[call].append((time.perf_counter() - started) * 1e3 / len(batch))
    ratio = float(np.median(np.divide(series[apart], series[together])))
    return Row(len(batch), summarise(series[together]), summarise(series[apart]), round(ratio, 3))


if __name__ == "__main__":
    main()
