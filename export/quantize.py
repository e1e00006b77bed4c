"""int8 as TensorRT wants it: quantised values between Q/DQ pairs, in the ONNX file itself.

Ranges are those with the smallest squared error on the calibration pictures, biases those with which a layer's outputs
keep their means (M. Nagel and others, "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
arXiv 1906.04721). A layer whose rounding costs too much stays in float: of the layers in ascending order of what each
alone changes in the embeddings, for each of its multiply-accumulates, as many are quantised as together leave
embeddings and labels what they were. This is measured on calibration pictures that no range comes from.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from export.graph import encode
from export.half import convert, to_fp16
from export.parity import cosines, expected_agreement
from export.qdq import (
    LEVELS,
    SMALLEST_SCALE,
    Rounding,
    convolutions,
    insert_pairs,
    is_padded,
    multiply_accumulates,
    read_model,
    with_losses,
    with_outputs,
)
from mien.errors import MienError
from mien.expression.head import Head
from mien.runtime.backend import BackendOptions, Model, Network, load_network
from trainer.data.sample import Tell

Floats = NDArray[np.float32]
COSINE = 0.9997
AGREEMENT = 0.99
"""Mean cosine between the embeddings of an int8 file and those of its fp32 file, and share of the same labels, at
least: nearer to 1 than the goals, because other people differ from those whom a network has learned from. Of their
labels about twice as many were measured to change."""
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


def quantize(model: bytes, pictures: Floats, head: Head, tell: Tell = lambda _done, _total: None) -> bytes:
    """An ONNX file's network with int8 weights and activations, or fp16 ones; input and outputs stay float32.

    Args:
        model: fp32 ONNX file with one input (batch, C, H, W) and an output `embedding`.
        pictures: float32 (N, C, H, W), the network's input, to calibrate on.
        head: tells the labels.
        tell: told how many files are compared with this one.

    Raises:
        MienError: there are too few pictures, or not one layer can be quantised without changing embeddings or labels.
    """
    if len(pictures) < _FEWEST_PICTURES:
        raise MienError(
            f"int8 cannot be calibrated on {len(pictures)} pictures", f"Give it at least {_FEWEST_PICTURES}"
        )
    is_check = np.arange(len(pictures)) % _CHECK_EVERY == 0
    known, check = pictures[~is_check], pictures[is_check]
    roundings = find_roundings(model, known)
    # Each layer alone, all, then halves of those that are left.
    numbers, total = itertools.count(1), len(roundings) + 1 + len(roundings).bit_length()
    order = _by_effect(model, roundings, known[:_FEW], lambda: tell(next(numbers), total))
    all_wanted = _embeddings(model, pictures)
    wanted, answers = all_wanted[is_check], head.predict(all_wanted).probabilities

    def is_good(layers: int) -> bool:
        found = _embeddings(insert_pairs(model, roundings, order[:layers]), check)
        tell(next(numbers), total)
        told = head.predict(found).probabilities
        agreement = expected_agreement(told, answers[is_check], answers) if answers.shape[1] > 1 else 1.0
        return float(cosines(wanted, found).mean()) >= COSINE and agreement >= AGREEMENT

    layers = _most(len(order), is_good)
    tell(total, total)
    if layers == 0:
        raise MienError(
            "Not one layer of this network can be int8 without changing its embeddings or labels",
            "Export it in fp16, or calibrate it on other pictures",
        )
    int8 = insert_pairs(model, roundings, order[:layers])
    return convert(int8) if _is_half_enough(model) else encode(read_model(int8))


def _is_half_enough(model: bytes) -> bool:
    """Whether fp16 holds a network's numbers."""
    try:
        to_fp16(model)
    except MienError:
        return False
    return True


def _embeddings(model: bytes, pictures: Floats) -> Floats:
    network = _open(model)
    parts = [np.array(network.run(batch)["embedding"]) for batch in _batches(pictures, _CHECK_BATCH)]
    network.close()
    return np.concatenate(parts)


def find_roundings(model: bytes, pictures: Floats) -> dict[str, Rounding]:
    """How each convolution changes the least on some pictures, by its output."""
    proto = read_model(model)
    nodes, image = convolutions(proto), proto.graph.input[0].name
    names = list(dict.fromkeys(node.input[0] for node in nodes))
    network = _open(with_outputs(proto, names))
    samples: dict[str, list[Floats]] = {name: [] for name in names}
    for batch in _batches(pictures, _BATCH):
        values = {**network.run(batch), image: batch}
        for name in names:
            flat = values[name].ravel()
            samples[name] += [flat[:: len(flat) // _SAMPLES + 1], flat[[flat.argmin(), flat.argmax()]]]
    network.close()
    known = {name: np.concatenate(parts) for name, parts in samples.items()}
    return _keep_means(
        model, {node.output[0]: _rounding(known[node.input[0]], is_padded(node)) for node in nodes}, pictures
    )


def _keep_means(model: bytes, roundings: dict[str, Rounding], pictures: Floats) -> dict[str, Rounding]:
    """Add what each convolution's outputs lack in the mean when it alone is quantised."""
    data, losses = with_losses(model, roundings)
    network, missing = _open(data), dict.fromkeys(losses, np.zeros(1, np.float32))
    for batch in _batches(pictures, _BATCH):
        values = network.run(batch)
        for output, loss in losses.items():
            missing[output] = missing[output] + values[loss].sum(axis=(0, 2, 3))
    network.close()
    count = np.float32(len(pictures))
    return {output: one._replace(missing=missing[output] / count) for output, one in roundings.items()}


def _rounding(values: Floats, is_around_0: bool) -> Rounding:
    middle = 0.0 if is_around_0 else float(values.max() + values.min()) / 2
    return Rounding(middle, _best_range(values - np.float32(middle)))


def _best_range(values: Floats) -> float:
    largest = float(np.abs(values).max())
    return min((largest * float(share) for share in _RANGES), key=lambda one: _squared_error(values, one))


def _squared_error(values: Floats, largest: float) -> float:
    scale = max(largest / LEVELS, SMALLEST_SCALE)
    return float(np.square(np.clip(np.rint(values / scale), -LEVELS, LEVELS) * scale - values).mean())


def _by_effect(
    model: bytes, roundings: dict[str, Rounding], pictures: Floats, is_done: Callable[[], None]
) -> list[str]:
    """Outputs of the convolutions in ascending order of what quantising each one alone changes, for its work."""
    wanted, work = _embeddings(model, pictures), multiply_accumulates(read_model(model))

    def effect(output: str) -> float:
        found = _embeddings(insert_pairs(model, roundings, [output]), pictures)
        is_done()
        return (1 - float(cosines(wanted, found).mean())) / work[output]

    return sorted(roundings, key=effect)


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
