"""CUDA graphs: a queue of work recorded once and launched as one.

pycuda has no functions for them, so both bindings use the driver's own library here, with the signatures of `cuda.h`.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_ulonglong, c_void_p

from mien.errors import MienError

_DRIVER = "libcuda.so.1"
_THREAD_LOCAL = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do with CUDA meanwhile does not spoil the recording."""
_SIGNATURES = {
    "cuStreamBeginCapture_v2": [c_void_p, c_int],
    "cuStreamEndCapture": [c_void_p, POINTER(c_void_p)],
    "cuGraphInstantiateWithFlags": [POINTER(c_void_p), c_void_p, c_ulonglong],
    "cuGraphLaunch": [c_void_p, c_void_p],
    "cuGraphExecDestroy": [c_void_p],
    "cuGraphDestroy": [c_void_p],
    "cuGetErrorString": [c_int, POINTER(c_char_p)],
}


class CudaGraphs:
    """Records on a stream and launches on it.

    Args:
        stream: its handle.

    Raises:
        MienError: the driver's library has no CUDA graphs.
    """

    def __init__(self, stream: int) -> None:
        self._stream = stream
        try:
            self._driver = ctypes.CDLL(_DRIVER)
            for name, arguments in _SIGNATURES.items():
                getattr(self._driver, name).argtypes = arguments
        except (OSError, AttributeError) as error:
            raise cuda_error(_DRIVER, str(error)) from error

    def begin_capture(self) -> None:
        """Record what is queued from here on instead of running it."""
        self._call("cuStreamBeginCapture_v2", self._stream, _THREAD_LOCAL)

    def end_capture(self) -> int:
        """End the recording, failed or not, and return the graph it made."""
        recorded, graph = c_void_p(), c_void_p()
        self._call("cuStreamEndCapture", self._stream, byref(recorded))
        try:
            self._call("cuGraphInstantiateWithFlags", byref(graph), recorded, 0)
        finally:
            self._call("cuGraphDestroy", recorded)
        return graph.value or 0

    def launch(self, graph: int) -> None:
        """Queue a graph."""
        self._call("cuGraphLaunch", graph, self._stream)

    def free_graph(self, graph: int) -> None:
        """Free a graph."""
        self._call("cuGraphExecDestroy", graph)

    def _call(self, function: str, *arguments: object) -> None:
        result = getattr(self._driver, function)(*arguments)
        if result != 0:
            text = c_char_p()
            self._driver.cuGetErrorString(result, byref(text))
            raise cuda_error(function, (text.value or b"unknown error").decode())


class CudaError(MienError):
    """A function of CUDA failed. As a rule all others fail from then on, until the device's context is given back."""


def cuda_error(function: str, text: str) -> MienError:
    """What to tell the user of a CUDA function that failed.

    Args:
        function: its name.
        text: what CUDA says.
    """
    if "out of memory" in text.lower():
        return MienError("The GPU's memory is full", "Close other programs that use it, or use fp16 or int8 models")
    return CudaError(
        f"CUDA failed in {function} ({text})",
        "Check that the GPU and its driver work (on a Jetson: jtop or dmesg; on a PC: nvidia-smi); where they do and "
        "this stays, restart the node",
    )


def cuda_version(number: int) -> str:
    """CUDA's way of writing a version, as 12060, as people write it."""
    return f"{number // 1000}.{number % 1000 // 10}"
