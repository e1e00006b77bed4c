"""Builds an engine of every file that the export can write, with TensorRT-RTX, which needs no GPU for it.

Every architecture, and five networks as one graph (paper 004), in every precision, with weights that have learned
nothing; the detector, and our own networks for expressions and landmarks. int8 of an architecture has all convolutions
quantised, more than a trained network may keep; mixed has each third one in fp16. What builds here is parsed and
optimised by TensorRT-RTX, whose interface is that of TensorRT 11; that TensorRT 10.3 takes it, or that it runs, is not
shown.

python tools/check_export.py [ARCHITECTURE …]
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torchvision.models.resnet import Bottleneck

from export.graph import export_graph
from export.half import convert, to_fp16
from export.qdq import insert_pairs
from export.quantize import find_roundings
from mien.bundle import open_bundle
from mien.errors import MienError, require
from mien.models.default_bundle import default_bundle
from mien.models.own_networks import own_expression, own_landmarks
from mien.networks import LARGEST_BATCH
from mien.runtime.tensorrt import build_engine, profile_of
from trainer.models import ARCHITECTURES, Network, Outputs, build_network

DETECTOR_SIZE = 256, 320
PICTURES = 4
RESIDUAL_GAIN = 0.2
PART, NETWORKS = "parts_subnet", 5
ENSEMBLE = f"{NETWORKS}x{PART}"


def main() -> int:
    """Build them all, one line each; fails where one file cannot be written or built."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    trt = require("tensorrt_rtx", "dev")
    built, failed = 0, 0
    for name in sys.argv[1:] or [*ARCHITECTURES, ENSEMBLE, "detector", "expression", "landmarks"]:
        try:
            for file, data in files(name):
                print(f"{file:32} {build(trt, file, data)}", flush=True)
                built += 1
        except MienError as error:
            failed += 1
            print(f"{name:32} FAILED: {error}", flush=True)
    print(f"tensorrt_rtx {trt.__version__}: {built} files built, {failed} failed")
    return 1 if failed else 0


def build(trt: Any, name: str, data: bytes) -> str:
    """Build the engine of a file; what is said of it."""
    started = time.perf_counter()
    size = DETECTOR_SIZE if name == "detector" else None
    engine = build_engine(trt, data, name, profile_of(data, name, LARGEST_BATCH, size), b"", ignore).engine
    took = time.perf_counter() - started
    return f"{len(data) / 1e6:8.2f} MB  engine {len(engine) / 1e6:8.2f} MB  {took:5.1f} s"


def files(name: str) -> Iterator[tuple[str, bytes]]:
    """The files of an architecture, the ensemble, the detector or one of our own networks, each with its name."""
    if name == "detector":
        bundle = open_bundle(default_bundle())
        yield name, bundle.read(bundle.manifest.detector.file)
    elif name == "expression":
        own = own_expression()
        for precision, file in own.card.backbone.files.items():
            yield f"{name} {precision}", own.files[file.path]
    elif name == "landmarks":
        yield name, own_landmarks().model
    else:
        network = settled(PART if name == ENSEMBLE else name)
        others = [settled(PART, seed) for seed in range(1, NETWORKS)] if name == ENSEMBLE else []
        fp32 = export_graph([network, *others])
        yield f"{name} fp32", fp32
        yield f"{name} fp16", to_fp16(fp32)
        roundings = find_roundings(fp32, noise(network))
        yield f"{name} int8", insert_pairs(fp32, roundings, roundings)
        some = [output for number, output in enumerate(roundings) if number % 3]
        yield f"{name} mixed", convert(insert_pairs(fp32, roundings, some))


def settled(name: str, seed: int = 0, labels: tuple[str, ...] = ("neutral", "happiness")) -> Network:
    """A network whose numbers are of the size of those that have learned.

    Batch normalisation has seen noise, else the numbers of deep networks vanish. Residual branches add little, as in
    trained networks: else the 152 layers of a ResNet make roundings so large that no two runtimes agree.
    """
    network = build_network(name, Outputs(labels), seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
        if isinstance(module, Bottleneck):
            torch.nn.init.constant_(module.bn3.weight, RESIDUAL_GAIN)
    with torch.no_grad():
        network.train()(torch.from_numpy(noise(network)))
    return network.eval()


def noise(network: Network) -> np.typing.NDArray[np.float32]:
    """Pictures of noise as the network sees them."""
    shape = (PICTURES, network.input.depth, network.input.height, network.input.width)
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def ignore(_what: str, _share: float) -> None:
    """Builds here take seconds."""


if __name__ == "__main__":
    sys.exit(main())
