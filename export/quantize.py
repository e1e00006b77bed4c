"""int8 as TensorRT wants it: quantised values between Q/DQ pairs, in the ONNX file itself.

Ranges are those with the smallest squared error on the calibration pictures. A layer whose rounding costs too much
stays float32: of the layers in ascending order of what each alone changes in the embeddings, as many are quantised as
together leave the embeddings what they were. This is measured on calibration pictures that no range comes from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from export.parity import cosines
from export.qdq import LEVELS, SMALLEST_SCALE, convolutions, insert_pairs, read_model, with_outputs
from mien.errors import MienError
from mien.runtime.backend import BackendOptions, Model, Network, load_network

Floats = NDArray[np.float32]
COSINE = 0.9998
"""Mean cosine between the embeddings of an int8 file and those of its fp32 file, at least; measured to be so near 1
that labels agree as well, of which nothing is known here."""
_FEWEST_PICTURES = 16
_CHECK_EVERY = 4
"""One picture of so many is left for the check."""
_BATCH = 4
"""Pictures at a time: all inner values of a large network are in memory at once."""
_CHECK_BATCH = 16
_FEW = 16
"""Pictures to order the layers by."""
_SAMPLES = 4096
"""Of the values of a tensor in a batch."""
_RANGES = np.linspace(1, 0.3, 8)
"""That are tried, as shares of the largest magnitude."""


def quantize(model: bytes, pictures: Floats) -> bytes:
    """An ONNX file's network with int8 weights and activations; input and outputs stay float32.

    Args:
        model: fp32 ONNX file with one input (batch, C, H, W) and an output `embedding`.
        pictures: float32 (N, C, H, W), the network's input, to calibrate on.

    Raises:
        MienError: there are too few pictures, or not one layer can be quantised without changing the embeddings.
    """
    if len(pictures) < _FEWEST_PICTURES:
        raise MienError(
            f"int8 cannot be calibrated on {len(pictures)} pictures", f"Give it at least {_FEWEST_PICTURES}"
        )
    is_check = np.arange(len(pictures)) % _CHECK_EVERY == 0
    known, check = pictures[~is_check], pictures[is_check]
    ranges = find_ranges(model, known)
    order = _by_effect(model, ranges, known[:_FEW])
    wanted = _embeddings(model, check)

    def is_good(count: int) -> bool:
        found = _embeddings(insert_pairs(model, ranges, order[:count]), check)
        return float(cosines(wanted, found).mean()) >= COSINE

    count = _most(len(order), is_good)
    if count == 0:
        raise MienError(
            "Not one layer of this network can be int8 without changing its embeddings",
            "Export it in fp16, or calibrate it on other pictures",
        )
    return insert_pairs(model, ranges, order[:count])


def _embeddings(model: bytes, pictures: Floats) -> Floats:
    network = _open(model)
    parts = [np.array(network.run(batch)["embedding"]) for batch in _batches(pictures, _CHECK_BATCH)]
    network.close()
    return np.concatenate(parts)


def find_ranges(model: bytes, pictures: Floats) -> dict[str, float]:
    """The range of each convolution's input, by its name, that gives the smallest squared error on some pictures."""
    proto = read_model(model)
    names = list(dict.fromkeys(node.input[0] for node in convolutions(proto)))
    network, image = _open(with_outputs(proto, names)), proto.graph.input[0].name
    samples: dict[str, list[Floats]] = {name: [] for name in names}
    for batch in _batches(pictures, _BATCH):
        values = {**network.run(batch), image: batch}
        for name in names:
            flat = values[name].ravel()
            samples[name] += [flat[:: len(flat) // _SAMPLES + 1], flat[[np.abs(flat).argmax()]]]
    return {name: _best_range(np.concatenate(parts)) for name, parts in samples.items()}


def _best_range(values: Floats) -> float:
    largest = float(np.abs(values).max())
    return min((largest * float(share) for share in _RANGES), key=lambda one: _squared_error(values, one))


def _squared_error(values: Floats, largest: float) -> float:
    scale = max(largest / LEVELS, SMALLEST_SCALE)
    return float(np.square(np.clip(np.rint(values / scale), -LEVELS, LEVELS) * scale - values).mean())


def _by_effect(model: bytes, ranges: dict[str, float], pictures: Floats) -> list[str]:
    """Outputs of the convolutions, in ascending order of what quantising each one alone changes in the embeddings."""
    wanted = _embeddings(model, pictures)
    cosine = {
        output: cosines(wanted, _embeddings(insert_pairs(model, ranges, [output]), pictures)).mean()
        for output in (node.output[0] for node in convolutions(read_model(model)))
    }
    return sorted(cosine, key=lambda output: -cosine[output])


def _most(count: int, is_good: Callable[[int], bool]) -> int:
    """The largest number of layers that is good, 0 to `count`, if those below a good one are good."""
    good, bad = 0, count + 1
    trial = count  # most often all are
    while bad - good > 1:
        if is_good(trial):
            good = trial
        else:
            bad = trial
        trial = (good + bad) // 2
    return good


def _open(model: bytes) -> Network:
    return load_network(Model.of("backbone", "the graph", model), BackendOptions(threads=os.cpu_count() or 1))


def _batches(pictures: Floats, size: int) -> Iterator[Floats]:
    yield from (np.ascontiguousarray(pictures[begin : begin + size]) for begin in range(0, len(pictures), size))
