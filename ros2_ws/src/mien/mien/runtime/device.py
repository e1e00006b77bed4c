"""The GPU, behind one small interface, and the one thread of the process that may touch it.

CUDA contexts belong to threads and ROS calls back from many: every call goes through `DeviceThread`, which retains the
device's primary context when it starts and releases it when its last user has gone.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError

Result = TypeVar("Result")
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


class DeviceThread:
    """The thread that owns the device.

    Args:
        open_device: opens it; called on the thread, as `open_cuda`.

    Raises:
        MienError: the device cannot be opened.
    """

    def __init__(self, open_device: Callable[[], Cuda]) -> None:
        self._executor = ThreadPoolExecutor(1, "mien-device")
        try:
            self._cuda = self._executor.submit(open_device).result()
        except BaseException:
            self._executor.shutdown()
            raise

    def submit(self, function: Callable[[Cuda], Result]) -> Future[Result]:
        """Queue a function for the thread; what it raises is raised by the future."""
        return self._executor.submit(function, self._cuda)

    def call(self, function: Callable[[Cuda], Result]) -> Result:
        """Run a function on the thread and wait for it. Not to be called from the thread itself."""
        return self.submit(function).result()

    def close(self) -> None:
        """Release the device after all that is queued, and end the thread."""
        with suppress(MienError):  # a device that has gone cannot be released
            self.call(lambda cuda: cuda.close())
        self._executor.shutdown()


class _Shared:
    """The process's device thread and how many hold it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holders = 0
        self.thread: DeviceThread | None = None


_shared = _Shared()


def hold_device() -> DeviceThread:
    """The process's device thread, started for the first holder; give it back with `release_device`.

    Raises:
        MienError: the device cannot be opened.
    """
    with _shared.lock:
        if _shared.thread is None:
            _shared.thread = DeviceThread(open_cuda)
        _shared.holders += 1
        return _shared.thread


def release_device() -> None:
    """Give the device thread back; the last holder's release frees the device's context and ends the thread."""
    with _shared.lock:
        _shared.holders -= 1
        if _shared.holders == 0 and _shared.thread is not None:
            thread, _shared.thread = _shared.thread, None
            thread.close()
