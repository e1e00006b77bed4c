"""The GPU through pycuda; see `mien.runtime.device.Cuda`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mien.errors import MienError
from mien.runtime.cuda_graphs import CudaGraphs, cuda_error, cuda_version
from mien.runtime.device import Gpu, HostArray

_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: not ordered with the device's default stream."""


class PyCuda(CudaGraphs):
    """The first device in its primary context; `pycuda.autoinit` would make another, on whatever thread imports it.

    Raises:
        MienError: there is no driver or device.
    """

    def __init__(self) -> None:
        try:
            import pycuda
            from pycuda import driver
        except ImportError as error:  # no libcuda on this machine, or pycuda was built for another one
            raise cuda_error("pycuda", str(error)) from error
        self._pycuda = driver
        self._version = pycuda.VERSION_TEXT
        self._memory: dict[int, Any] = {}
        self._own_stream: Any = None
        with self._errors("cuInit"):
            driver.init()
            self._device = driver.Device(0)
            self._context = self._device.retain_primary_context()
            self._context.push()
        try:
            with self._errors("cuStreamCreate"):
                self._own_stream = driver.Stream(_NON_BLOCKING)
            super().__init__(self._own_stream.handle)
        except MienError:
            self.close()
            raise

    @property
    def gpu(self) -> Gpu:
        """The device."""
        with self._errors("cuDeviceGetAttribute"):
            major, minor = self._device.compute_capability()
            return Gpu(
                name=self._device.name(),
                compute_capability=f"{major}.{minor}",
                cuda_driver=cuda_version(self._pycuda.get_driver_version()),
                cuda_runtime="{}.{}".format(*self._pycuda.get_version()),
                memory_bytes=self._device.total_memory(),
            )

    @property
    def binding(self) -> str:
        """Name and version of the package."""
        return f"pycuda {self._version}"

    @property
    def stream(self) -> int:
        """Handle of the stream."""
        return self._stream

    def allocate(self, size_bytes: int) -> int:
        """Address of new device memory."""
        with self._errors("cuMemAlloc"):
            allocation = self._pycuda.mem_alloc(size_bytes)
        self._memory[int(allocation)] = allocation
        return int(allocation)

    def free(self, address: int) -> None:
        """Free device memory."""
        with self._errors("cuMemFree"):
            self._memory.pop(address).free()

    def allocate_host(self, shape: tuple[int, ...]) -> HostArray:
        """Page-locked float32 array."""
        with self._errors("cuMemAllocHost"):
            array: HostArray = self._pycuda.pagelocked_empty(shape, np.float32)
        return array

    def free_host(self, array: HostArray) -> None:
        """Free an array of `allocate_host`."""
        allocation: Any = array.base
        with self._errors("cuMemFreeHost"):
            allocation.free()

    def upload(self, address: int, array: HostArray) -> None:
        """Queue a copy to the device."""
        with self._errors("cuMemcpyHtoDAsync"):
            self._pycuda.memcpy_htod_async(address, array, self._own_stream)

    def download(self, array: HostArray, address: int) -> None:
        """Queue a copy from the device."""
        with self._errors("cuMemcpyDtoHAsync"):
            self._pycuda.memcpy_dtoh_async(array, address, self._own_stream)

    def synchronize(self) -> None:
        """Wait for everything queued."""
        with self._errors("cuStreamSynchronize"):
            self._own_stream.synchronize()

    def close(self) -> None:
        """Release stream and context."""
        self._own_stream = None  # pycuda destroys it with its last reference
        with self._errors("cuDevicePrimaryCtxRelease"):
            self._context.pop()
            self._context.detach()

    @contextmanager
    def _errors(self, function: str) -> Iterator[None]:
        """Raise pycuda's errors as ours."""
        try:
            yield
        except self._pycuda.Error as error:
            raise cuda_error(function, str(error)) from error
