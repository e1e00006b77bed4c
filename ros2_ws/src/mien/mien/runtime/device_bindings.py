"""The GPU through NVIDIA's `cuda.bindings`; see `mien.runtime.device.Cuda`."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from mien.runtime.cuda_graphs import CudaGraphs, cuda_error, cuda_version
from mien.runtime.device import Gpu, HostArray


class CudaBindings(CudaGraphs):
    """The first device, by the driver's functions.

    Raises:
        MienError: there is no driver or device.
    """

    def __init__(self) -> None:
        try:
            from cuda.bindings import __version__, driver
        except ImportError as error:  # for another Python, or another machine
            raise cuda_error("cuda.bindings", str(error)) from error
        self._driver_api = driver
        self._version = __version__
        try:
            self._do(driver.cuInit, 0)
        except RuntimeError as error:  # no libcuda on this machine
            raise cuda_error("cuInit", str(error)) from error
        self._device = self._do(driver.cuDeviceGet, 0)
        with ExitStack() as owned:
            context = self._do(driver.cuDevicePrimaryCtxRetain, self._device)
            owned.callback(self._do, driver.cuDevicePrimaryCtxRelease, self._device)
            self._do(driver.cuCtxPushCurrent, context)
            owned.callback(self._do, driver.cuCtxPopCurrent)
            self._own_stream = self._do(driver.cuStreamCreate, driver.CUstream_flags.CU_STREAM_NON_BLOCKING)
            owned.callback(self._do, driver.cuStreamDestroy, self._own_stream)
            super().__init__(int(self._own_stream))
            self._owned = owned.pop_all()

    @property
    def gpu(self) -> Gpu:
        """The device."""
        driver, attribute = self._driver_api, self._driver_api.CUdevice_attribute
        major, minor = (
            self._do(driver.cuDeviceGetAttribute, which, self._device)
            for which in (
                attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )
        )
        return Gpu(
            name=self._do(driver.cuDeviceGetName, 256, self._device).split(b"\0")[0].decode(),
            compute_capability=f"{major}.{minor}",
            cuda_driver=cuda_version(self._do(driver.cuDriverGetVersion)),
            cuda_runtime=cuda_version(driver.CUDA_VERSION),
            memory_bytes=self._do(driver.cuDeviceTotalMem, self._device),
        )

    @property
    def binding(self) -> str:
        """Name and version of the package."""
        return f"cuda-bindings {self._version}"

    @property
    def stream(self) -> int:
        """Handle of the stream."""
        return self._stream

    def allocate(self, size_bytes: int) -> int:
        """Address of new device memory."""
        return int(self._do(self._driver_api.cuMemAlloc, size_bytes))

    def free(self, address: int) -> None:
        """Free device memory."""
        self._do(self._driver_api.cuMemFree, address)

    def allocate_host(self, shape: tuple[int, ...]) -> HostArray:
        """Page-locked float32 array."""
        size = int(np.prod(shape))
        address = self._do(self._driver_api.cuMemAllocHost, size * 4)
        return np.ctypeslib.as_array((ctypes.c_float * size).from_address(int(address))).reshape(shape)

    def free_host(self, array: HostArray) -> None:
        """Free an array of `allocate_host`."""
        self._do(self._driver_api.cuMemFreeHost, array.ctypes.data)

    def upload(self, address: int, array: HostArray) -> None:
        """Queue a copy to the device."""
        self._do(self._driver_api.cuMemcpyHtoDAsync, address, array.ctypes.data, array.nbytes, self._own_stream)

    def download(self, array: HostArray, address: int) -> None:
        """Queue a copy from the device."""
        self._do(self._driver_api.cuMemcpyDtoHAsync, array.ctypes.data, address, array.nbytes, self._own_stream)

    def synchronize(self) -> None:
        """Wait for everything queued."""
        self._do(self._driver_api.cuStreamSynchronize, self._own_stream)

    def close(self) -> None:
        """Release stream and context."""
        self._owned.close()

    def _do(self, function: Callable[..., tuple[Any, ...]], *arguments: object) -> Any:
        """Call a function of the driver; return its one value, or raise what its error code means."""
        code, *values = function(*arguments)
        if code != self._driver_api.CUresult.CUDA_SUCCESS:
            _, text = self._driver_api.cuGetErrorString(code)
            raise cuda_error(function.__name__, (text or b"unknown error").decode())
        return values[0] if values else None
