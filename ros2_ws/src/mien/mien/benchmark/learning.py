"""How long learning a person takes on one thread, and how much memory people take.

Measured in a process of its own, since the number of threads of numpy's mathematics is fixed when it is loaded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np

from mien.benchmark.results import Learning, Times, summarise
from mien.bundle import CANONICAL_LABELS
from mien.errors import MienError
from mien.expression.head import DenseLayerSpec, Head, HeadOutputSpec, HeadPartSpec, HeadSpec
from mien.personal.gate import decide
from mien.personal.learners.ridge import Ridge, RidgeState
from mien.personal.samples import BaseHead, Samples, Tensors
from mien.personal.sampling import gsx

EMBEDDING_SIZE = 1408
"""Of the default bundle."""
SAMPLES = 320
"""Of a person: paper 002's elbow."""
POOL = 10_000
PEOPLE = 50

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_UPDATES = 40
_ROUNDS = 5


def measure_learning() -> Learning:
    """Measure in a new process with one thread; takes about a quarter of a minute.

    Raises:
        MienError: that process failed.
    """
    command = [sys.executable, "-m", "mien.benchmark.learning"]
    done = subprocess.run(command, env={**os.environ, **_ONE_THREAD}, capture_output=True, check=False)
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise MienError(f"Learning could not be measured ({last})", "Run python -m mien.benchmark.learning to see more")
    return msgspec.json.decode(done.stdout, type=Learning)


def _measure() -> Learning:
    random = np.random.default_rng(0)
    base, samples = _base(random), _samples(random, SAMPLES)
    embeddings = random.normal(size=(POOL, EMBEDDING_SIZE)).astype(np.float32)
    return Learning(
        embedding_size=EMBEDDING_SIZE,
        classes=len(base.labels),
        samples=SAMPLES,
        pool=POOL,
        people=PEOPLE,
        update_ms=_updates(base, samples),
        refit_ms=_times(lambda: _fit(base, samples), 10 * _ROUNDS),
        gate_ms=_times(lambda: decide(Ridge(), base, samples), 10 * _ROUNDS),
        gsx_ms=_times(lambda: gsx(embeddings, SAMPLES), _ROUNDS),
        memory_mb=_memory_mb(base, samples, random),
    )


def _updates(base: BaseHead, samples: Samples) -> Times:
    """A label comes in, and its head is made; the last one makes it `SAMPLES`."""
    series_ms = []
    for _ in range(_ROUNDS):
        state = RidgeState(Ridge(), base, samples.take(slice(0, SAMPLES - _UPDATES)))
        for row in range(SAMPLES - _UPDATES, SAMPLES):
            started = time.perf_counter()
            state.add(samples.take(slice(row, row + 1)))
            state.tensors()
            series_ms.append((time.perf_counter() - started) * 1e3)
    return summarise(series_ms)


def _memory_mb(base: BaseHead, samples: Samples, random: np.random.Generator) -> float:
    """What so many more people take who are learned and whose heads are held, ready to predict.

    It is counted by allocation. The process as a whole grows by less or even shrinks meanwhile, by what its allocator
    happens to give back of the room that learning took before.
    """

    def learned() -> Head:
        person = replace(samples, classes=random.permutation(samples.classes))
        return _head(base, _fit(base, person))

    heads = [learned()]  # with what the first one makes for all
    tracemalloc.start()
    heads += [learned() for _ in range(PEOPLE)]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return round(held / 1e6, 2)


def _fit(base: BaseHead, samples: Samples) -> Tensors:
    return RidgeState(Ridge(), base, samples).tensors()


def _head(base: BaseHead, tensors: Tensors) -> Head:
    return Head(base.spec, tensors, len(base.labels), base.embedding_size)


def _times(call: Callable[[], object], rounds: int) -> Times:
    call()
    series_ms = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        series_ms.append((time.perf_counter() - started) * 1e3)
    return summarise(series_ms)


def _base(random: np.random.Generator) -> BaseHead:
    """A head of one layer, like the default bundle's."""
    part = HeadPartSpec("face", 0, EMBEDDING_SIZE, (DenseLayerSpec("weight", "bias"),))
    count = len(CANONICAL_LABELS)
    tensors = {
        "weight": (random.normal(size=(count, EMBEDDING_SIZE)) / 20).astype(np.float32),
        "bias": np.zeros(count, np.float32),
    }
    spec = HeadSpec(classes=HeadOutputSpec("softmax", (part,)))
    return BaseHead(spec, tensors, CANONICAL_LABELS, EMBEDDING_SIZE, None)


def _samples(random: np.random.Generator, count: int) -> Samples:
    nothing = np.full(count, np.nan, np.float32)
    shown = random.integers(0, len(CANONICAL_LABELS), count)
    return Samples(
        embeddings=random.normal(size=(count, EMBEDDING_SIZE)).astype(np.float32),
        stamps_s=np.arange(count, dtype=np.float64),
        classes=np.eye(len(CANONICAL_LABELS), dtype=np.float32)[shown],
        valence=nothing,
        arousal=nothing,
        weights=np.ones(count, np.float32),
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_measure()))
