"""Builds an engine of every file that the export can write, with TensorRT-RTX, which needs no GPU for it.

Every architecture, in every precision, with weights that have learned nothing; the detector and the landmarks. int8 has
all convolutions quantised, more than a trained network may keep. What builds here is parsed and optimised by
TensorRT-RTX, whose interface is TensorRT 11's; that TensorRT 10.3 takes it, and that it runs, is not shown.

python tools/check_export.py [ARCHITECTURE …]
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator

import numpy as np
import torch

from export.graph import export_graph
from export.half import to_fp16
from export.qdq import convolutions, insert_pairs, read_model
from export.quantize import find_ranges
from mien.bundle import open_bundle
from mien.errors import MienError, require
from mien.models.default_bundle import default_bundle
from mien.networks import LARGEST_BATCH
from mien.runtime.tensorrt import build_engine, profile_of
from trainer.data.face_squares import landmarks_model
from trainer.models import ARCHITECTURES, Network, Outputs, build_network

DETECTOR_SIZE = 256, 320
PICTURES = 4


def main() -> int:
    """Build them all, one line each; the number of those that fail is the exit status."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    trt = require("tensorrt_rtx", "dev")
    failed = 0
    for name, data in files(sys.argv[1:] or [*ARCHITECTURES, "detector", "landmarks"]):
        started = time.perf_counter()
        try:
            size = DETECTOR_SIZE if name == "detector" else None
            built = build_engine(trt, data, name, profile_of(data, name, LARGEST_BATCH, size), b"", ignore)
            said = f"{len(data) / 1e6:8.2f} MB  engine {len(built.engine) / 1e6:8.2f} MB"
        except MienError as error:
            failed += 1
            said = f"FAILED: {error}"
        print(f"{name:32} {said}  {time.perf_counter() - started:5.1f} s", flush=True)
    print(f"tensorrt_rtx {trt.__version__}: {failed} failed")
    return failed


def files(names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Each file with its name, one architecture in memory at a time."""
    bundle = open_bundle(default_bundle())
    for name in names:
        if name == "detector":
            yield name, bundle.read(bundle.manifest.detector.file)
        elif name == "landmarks":
            yield name, landmarks_model()[0]
        else:
            network = settled(name)
            fp32 = export_graph([network])
            yield f"{name} fp32", fp32
            yield f"{name} fp16", to_fp16(fp32)
            chosen = [node.output[0] for node in convolutions(read_model(fp32))]
            yield f"{name} int8", insert_pairs(fp32, find_ranges(fp32, noise(network)), chosen)


def settled(name: str) -> Network:
    """A network whose batch normalisation has seen noise; else the numbers of deep networks vanish."""
    network = build_network(name, Outputs(("neutral", "happiness")), seed=0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
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
