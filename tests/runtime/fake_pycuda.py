"""pycuda as far as we use it, over the fake driver; `test_pycuda_names` compares its names with pycuda's source.

As in pycuda, things are destroyed with their last reference, and errors are pycuda's own.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int, c_size_t, c_uint64, c_void_p
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION_TEXT = "2026.1"
_LIBRARY = ctypes.CDLL("libcuda.so.1")


class _Error(Exception):
    pass


def _call(name: str, *arguments: Any) -> None:
    code = getattr(_LIBRARY, name)(*arguments)
    if code != 0:
        text = ctypes.c_char_p()
        _LIBRARY.cuGetErrorString(code, byref(text))
        raise _Error(f"{name} failed: {(text.value or b'').decode()}")


class _Context:
    def push(self) -> None:
        _call("cuCtxPushCurrent_v2", None)

    @staticmethod
    def pop() -> None:
        _call("cuCtxPopCurrent_v2", byref(c_void_p()))

    def detach(self) -> None:
        _call("cuDevicePrimaryCtxRelease_v2", 0)


class _Device:
    def __init__(self, number: int) -> None:
        self._number = number

    def name(self) -> str:
        name = ctypes.create_string_buffer(64)
        _call("cuDeviceGetName", name, 64, self._number)
        return name.value.decode()

    def compute_capability(self) -> tuple[int, int]:
        major, minor = c_int(), c_int()
        _call("cuDeviceComputeCapability", byref(major), byref(minor), self._number)
        return major.value, minor.value

    def total_memory(self) -> int:
        size = c_size_t()
        _call("cuDeviceTotalMem_v2", byref(size), self._number)
        return size.value

    def retain_primary_context(self) -> _Context:
        _call("cuDevicePrimaryCtxRetain", byref(c_void_p()), self._number)
        return _Context()


class _Stream:
    def __init__(self, flags: int = 0) -> None:
        handle = c_void_p()
        _call("cuStreamCreate", byref(handle), flags)
        self.handle = handle.value or 0

    def synchronize(self) -> None:
        _call("cuStreamSynchronize", c_void_p(self.handle))

    def __del__(self) -> None:
        if "handle" in vars(self):
            _call("cuStreamDestroy_v2", c_void_p(self.handle))


class _DeviceAllocation:
    def __init__(self, address: int) -> None:
        self._address = address

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        _call("cuMemFree_v2", c_uint64(self._address))


class _PagelockedHostAllocation:
    def __init__(self, shape: tuple[int, ...], dtype: type[np.float32]) -> None:
        memory = c_void_p()
        _call("cuMemHostAlloc", byref(memory), c_size_t(int(np.prod(shape)) * np.dtype(dtype).itemsize), 0)
        self._address = memory.value or 0
        self.__array_interface__ = {
            "shape": shape,
            "typestr": np.dtype(dtype).str,
            "data": (self._address, False),
            "version": 3,
        }

    def free(self) -> None:
        _call("cuMemFreeHost", c_void_p(self._address))


class driver:  # noqa: N801
    """The module pycuda.driver."""

    Error = _Error
    Context = _Context
    Device = _Device
    Stream = _Stream
    DeviceAllocation = _DeviceAllocation
    PagelockedHostAllocation = _PagelockedHostAllocation

    @staticmethod
    def init(flags: int = 0) -> None:
        _call("cuInit", flags)

    @staticmethod
    def get_version() -> tuple[int, int, int]:
        return 12, 6, 0

    @staticmethod
    def get_driver_version() -> int:
        version = c_int()
        _call("cuDriverGetVersion", byref(version))
        return version.value

    @staticmethod
    def mem_alloc(bytes: int) -> _DeviceAllocation:  # noqa: A002
        address = c_uint64()
        _call("cuMemAlloc_v2", byref(address), c_size_t(bytes))
        return _DeviceAllocation(address.value)

    @staticmethod
    def pagelocked_empty(shape: tuple[int, ...], dtype: type[np.float32]) -> NDArray[np.float32]:
        return np.asarray(_PagelockedHostAllocation(shape, dtype))

    @staticmethod
    def memcpy_htod_async(dest: int, src: NDArray[Any], stream: _Stream) -> None:
        size = c_size_t(src.nbytes)
        _call("cuMemcpyHtoDAsync_v2", c_uint64(dest), c_void_p(src.ctypes.data), size, c_void_p(stream.handle))

    @staticmethod
    def memcpy_dtoh_async(dest: NDArray[Any], src: int, stream: _Stream) -> None:
        size = c_size_t(dest.nbytes)
        _call("cuMemcpyDtoHAsync_v2", c_void_p(dest.ctypes.data), c_uint64(src), size, c_void_p(stream.handle))
