"""A GPU for tests: `mien.runtime.device.Cuda` on the CPU's memory.

Stricter than a real one: what is queued runs when somebody waits for it and not before, memory is checked at every use,
and only the thread that opened the device may touch it.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mien.runtime.cuda_graphs import cuda_error
from mien.runtime.device import Gpu, HostArray

Work = Callable[[], None]


class FakeGpu:
    """The device; `open` is what stands in for `mien.runtime.device.open_cuda`.

    Attributes:
        vanished: every call fails from now on; of those who had opened it also when it is back, as in CUDA.
        answers: while it is not set, whoever waits for the device waits.
        records: whether CUDA graphs can be recorded.
        free_bytes: device memory left.
        opened, closed: how often.
        launches: graphs launched.
    """

    def __init__(self) -> None:
        self.gpu = Gpu("Fake Orin", "8.7", "12.6", "12.6", 8 << 30)
        self.vanished = self.is_broken = False
        self.answers = threading.Event()
        self.answers.set()
        self.records = True
        self.free_bytes = 1 << 30
        self.opened = self.closed = self.launches = 0
        self.device_memory: dict[int, NDArray[np.uint8]] = {}
        self.host_memory: dict[int, NDArray[np.uint8]] = {}
        self.graphs: dict[int, list[Work]] = {}
        self.queued: list[Work] = []
        self.recording: list[Work] | None = None
        self.owner: threading.Thread | None = None

    def open(self) -> FakeCuda:
        self.owner = threading.current_thread()
        self.is_broken = self.is_broken and self.opened > self.closed  # one context for all who open it
        self.check()
        self.opened += 1
        return FakeCuda(self)

    @property
    def held(self) -> int:
        """How many pieces of memory and graphs have not been freed."""
        return len(self.device_memory) + len(self.host_memory) + len(self.graphs)

    def check(self) -> None:
        assert threading.current_thread() is self.owner, "the device belongs to the thread that opened it"
        self.is_broken = self.is_broken or self.vanished
        if self.is_broken:
            raise cuda_error("cuStreamSynchronize", "unspecified launch failure")

    def queue(self, work: Work) -> None:
        self.check()
        (self.queued if self.recording is None else self.recording).append(work)

    def view(self, address: int, size_bytes: int) -> NDArray[np.uint8]:
        """Device memory, which must have been allocated and be as large as that."""
        memory = self.device_memory[address]
        assert size_bytes <= memory.nbytes, "past the end of device memory"
        return memory[:size_bytes]


class FakeCuda:
    """The opened device."""

    binding = "fake 1.0"
    stream = 7

    def __init__(self, machine: FakeGpu) -> None:
        self._machine = machine

    @property
    def gpu(self) -> Gpu:
        return self._machine.gpu

    def allocate(self, size_bytes: int) -> int:
        self._machine.check()
        if size_bytes > self._machine.free_bytes:
            raise cuda_error("cuMemAlloc", "out of memory")
        self._machine.free_bytes -= size_bytes
        memory = np.full(size_bytes, 0xAB, np.uint8)
        self._machine.device_memory[memory.ctypes.data] = memory
        return memory.ctypes.data

    def free(self, address: int) -> None:
        self._machine.free_bytes += self._machine.device_memory.pop(address).nbytes
        self._machine.check()

    def allocate_host(self, shape: tuple[int, ...]) -> HostArray:
        self._machine.check()
        memory = np.full(int(np.prod(shape)) * 4, 0xCD, np.uint8)
        self._machine.host_memory[memory.ctypes.data] = memory
        return memory.view(np.float32).reshape(shape)

    def free_host(self, array: HostArray) -> None:
        del self._machine.host_memory[array.ctypes.data]
        self._machine.check()

    def upload(self, address: int, array: HostArray) -> None:
        self._check_host(array)
        source, size_bytes = array.ctypes.data, array.nbytes
        target = self._machine.view(address, size_bytes)
        self._machine.queue(lambda: _copy(target.ctypes.data, source, size_bytes))

    def download(self, array: HostArray, address: int) -> None:
        self._check_host(array)
        target, size_bytes = array.ctypes.data, array.nbytes
        source = self._machine.view(address, size_bytes)
        self._machine.queue(lambda: _copy(target, source.ctypes.data, size_bytes))

    def synchronize(self) -> None:
        self._machine.answers.wait()
        self._machine.check()
        queued, self._machine.queued = self._machine.queued, []
        for work in queued:
            work()

    def begin_capture(self) -> None:
        self._machine.check()
        if not self._machine.records:
            raise cuda_error("cuStreamBeginCapture_v2", "operation not permitted")
        assert self._machine.recording is None
        self._machine.recording = []

    def end_capture(self) -> int:
        self._machine.check()
        assert self._machine.recording is not None
        work, self._machine.recording = self._machine.recording, None
        graph = id(work)
        self._machine.graphs[graph] = work
        return graph

    def launch(self, graph: int) -> None:
        self._machine.check()
        self._machine.launches += 1
        self._machine.queued.extend(self._machine.graphs[graph])

    def free_graph(self, graph: int) -> None:
        del self._machine.graphs[graph]
        self._machine.check()

    def close(self) -> None:
        self._machine.closed += 1
        self._machine.check()

    def _check_host(self, array: HostArray) -> None:
        assert array.flags.c_contiguous
        assert array.dtype == np.float32
        assert any(
            start <= array.ctypes.data and array.ctypes.data + array.nbytes <= start + memory.nbytes
            for start, memory in self._machine.host_memory.items()
        ), "not page-locked memory"


def _copy(target: int, source: int, size_bytes: int) -> None:
    ctypes.memmove(target, source, size_bytes)
