"""The GPU, behind one small interface; `device_thread` has the one thread of the process that may touch it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError

HostArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Gpu:
    """What an engine is built for, beside TensorRT.

    Attributes:
        name: of the device, as the driver says it.
        compute_capability: as "8.7".
        cuda_driver: the newest CUDA version that the driver knows, as "12.6".
        cuda_runtime: the CUDA version that the Python binding was made for, as "12.6".
        memory_bytes: of the device; on a Jetson shared with the CPU.
    """

    name: str
    compute_capability: str
    cuda_driver: str
    cuda_runtime: str
    memory_bytes: int


class Cuda(Protocol):
    """One device with one stream. Only the thread that opened it may use it; every method raises MienError."""

    @property
    def gpu(self) -> Gpu:
        """The device."""
        ...

    @property
    def binding(self) -> str:
        """The Python package in use, with its version."""
        ...

    @property
    def stream(self) -> int:
        """Handle of the stream."""
        ...

    def allocate(self, size_bytes: int) -> int:
        """Address of new device memory."""
        ...

    def free(self, address: int) -> None:
        """Free device memory."""
        ...

    def allocate_host(self, shape: tuple[int, ...]) -> HostArray:
        """Page-locked host memory as a float32 array; `free_host` frees it, and no view of it may be used after."""
        ...

    def free_host(self, array: HostArray) -> None:
        """Free an array of `allocate_host`."""
        ...

    def upload(self, address: int, array: HostArray) -> None:
        """Queue a copy of a contiguous page-locked array to the device."""
        ...

    def download(self, array: HostArray, address: int) -> None:
        """Queue a copy from the device into a contiguous page-locked array."""
        ...

    def synchronize(self) -> None:
        """Wait for everything queued."""
        ...

    def begin_capture(self) -> None:
        """Record what is queued from here on instead of running it."""
        ...

    def end_capture(self) -> int:
        """End the recording, failed or not, and return the graph it made."""
        ...

    def launch(self, graph: int) -> None:
        """Queue a graph."""
        ...

    def free_graph(self, graph: int) -> None:
        """Free a graph."""
        ...

    def close(self) -> None:
        """Release stream and context; memory and graphs were freed before."""
        ...


def open_cuda() -> Cuda:
    """The first device, through pycuda where it is installed, else through cuda.bindings.

    Raises:
        MienError: neither is installed, or there is no device or driver.
    """
    if _is_installed("pycuda"):
        from mien.runtime.device_pycuda import PyCuda

        return PyCuda()
    if _is_installed("cuda.bindings"):
        from mien.runtime.device_bindings import CudaBindings

        return CudaBindings()
    raise MienError(
        "Neither pycuda nor cuda.bindings is installed, so no network can run on the GPU",
        "Install one: pip install 'mien[cuda]', or 'mien[pycuda]' where nvcc is installed",
    )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it is missing
        return False
