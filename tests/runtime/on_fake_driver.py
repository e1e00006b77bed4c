"""Run in a process of its own, with the fake driver as libcuda: the bindings over it, and engines over them.

    python -m tests.runtime.on_fake_driver [cuda-bindings | pycuda]

Takes cuda.bindings, or the fake pycuda; without an argument what is installed. Prints what happened as JSON.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.runtime.device_thread import hold_device, release_device
from mien.runtime.tensorrt import Engine, Profile, build_engine
from tests.conftest import SIZE_PX, small_backbone
from tests.runtime import fake_tensorrt

DRIVER = ctypes.CDLL("libcuda.so.1")
KERNEL = ctypes.CFUNCTYPE(None)


class DriverGpu:
    """What the fake TensorRT needs of a GPU, on the fake driver."""

    def __init__(self) -> None:
        self._kernels: list[Any] = []

    @property
    def recording(self) -> bool | None:
        return True if DRIVER.fakeCapturing() else None

    def queue(self, work: Callable[[], None]) -> None:
        self._kernels.append(KERNEL(work))
        assert DRIVER.fakeLaunch(self._kernels[-1]) == 0

    def view(self, address: int, size_bytes: int) -> NDArray[np.uint8]:
        return np.ctypeslib.as_array((ctypes.c_uint8 * size_bytes).from_address(address))


def out_of_memory() -> str:
    """What an allocation says that is too large."""
    device = hold_device()
    try:
        device.call(lambda cuda: cuda.allocate(1 << 30))
    except MienError as error:
        return str(error)
    finally:
        release_device(device)
    return ""


def half_opened() -> str:
    """What opening says that fails when the context is there already."""
    DRIVER.fakeRefuseStreams(1)
    try:
        hold_device()
    except MienError as error:
        return error.problem
    return ""


def main() -> None:
    if "pycuda" in sys.argv:
        sys.modules["pycuda"] = importlib.import_module("tests.runtime.fake_pycuda")
    if "cuda-bindings" in sys.argv:
        sys.modules["pycuda"] = None  # type: ignore[assignment]
    fake_tensorrt.gpu = DriverGpu()  # type: ignore[assignment]
    shapes = [(batch, 1, SIZE_PX, SIZE_PX) for batch in (1, 2, 4)]
    model = small_backbone()
    built = build_engine(fake_tensorrt, model, "the backbone", Profile("image", *shapes), b"", lambda *_: None)
    engine = Engine(fake_tensorrt, built.engine, "the backbone")
    half = SIZE_PX // 2
    right = []
    for seed in range(12):
        batch = np.random.default_rng(seed).random((1 + seed % 5, 1, SIZE_PX, SIZE_PX), np.float32)
        expected = batch.reshape(len(batch), 2, half, 2, half).mean((2, 4)).reshape(len(batch), 4)
        right.append(bool(np.allclose(engine.run(batch)["embedding"], expected, atol=1e-6)))
    device = hold_device()
    gpu, binding = device.call(lambda cuda: (cuda.gpu, cuda.binding))
    release_device(device)
    alive = DRIVER.fakeLive()
    memory = out_of_memory()
    engine.close()
    facts = [gpu.name, gpu.compute_capability, gpu.cuda_driver, gpu.cuda_runtime, gpu.memory_bytes]
    report = {"right": right, "gpu": facts, "binding": binding, "alive": alive, "memory": memory}
    print(json.dumps({**report, "half_opened": half_opened(), "left": DRIVER.fakeLive()}))


if __name__ == "__main__":
    main()
