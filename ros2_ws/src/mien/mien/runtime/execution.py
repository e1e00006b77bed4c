"""An engine in the GPU's memory, as the device's thread sees it.

Each batch size has its own execution context, made at its first use (the usual ones at once) and never changed again: a
CUDA graph is only valid for the context and the addresses it was recorded with. All contexts share one piece of memory
for activations, which is safe because they run one after another on one stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from mien.errors import MienError
from mien.runtime.backend import Array
from mien.runtime.device import Cuda
from mien.runtime.tensorrt_callbacks import log_of

WARM_PICTURES = 4
"""Up to so many at once are prepared for while an engine is loaded: more faces are seldom in view."""
_REBUILD = "Build the engine again: mien engine --again"


class UnloadableEngineError(MienError):
    """TensorRT does not take an engine: built for something else after all, or memory is short."""


@dataclass(slots=True)
class _Port:
    """An input or output: its largest shape, and its memory on both sides."""

    name: str
    shape: tuple[int, ...]
    host: Array
    address: int


@dataclass(slots=True)
class _Plan:
    """How one batch size runs; `graph` is None until it is recorded, or for good where that is not possible."""

    context: Any
    graph: int | None = None


class LoadedEngine:
    """An engine with its buffers. Every method belongs on the device's thread.

    Args:
        trt: TensorRT's module.
        engine: the serialized engine.
        name: what to call it in errors.
        cuda: the device.

    Raises:
        MienError: the engine is damaged, does not fit, or there is not enough memory; nothing is left behind.
    """

    def __init__(self, trt: ModuleType, engine: bytes, name: str, cuda: Cuda) -> None:
        self._trt = trt
        self._name = name
        self._cuda = cuda
        self._log = log_of(trt)
        self._plans: dict[int, _Plan] = {}
        self._records = True
        self._memory = ExitStack()
        try:
            self._load(engine)
        except BaseException:
            self.close()
            raise

    def _load(self, engine: bytes) -> None:
        self._log.clear()
        self._runtime = self._made(self._trt.Runtime(self._log), "start TensorRT")
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            said = f"The engine of {self._name} cannot be used: TensorRT cannot load the engine{self._log.said()}"
            raise UnloadableEngineError(said, _REBUILD)
        inputs, outputs = self._names()
        shape = tuple(self._engine.get_tensor_shape(inputs[0]))
        self.input_shape = tuple(None if size < 0 else size for size in shape)
        is_free = None in self.input_shape
        self._largest = tuple(self._engine.get_tensor_profile_shape(inputs[0], 0)[2]) if is_free else shape
        # A context must have memory for activations even where the engine needs none.
        self._activations_bytes = max(self._engine.device_memory_size_v2, 1)
        self._activations = self._allocate(self._activations_bytes)
        self._input = self._port(inputs[0], self._largest)
        widest = self._context(self._largest[0])
        self._outputs = [self._port(output, tuple(widest.get_tensor_shape(output))) for output in outputs]

    def _names(self) -> tuple[list[str], list[str]]:
        """Names of the inputs and of the outputs, which must be float32."""
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        for name in names:
            if self._engine.get_tensor_dtype(name) != self._trt.DataType.FLOAT:
                raise self._error(f"{name} is not float32", "Export the model with float32 inputs and outputs")
        is_input = {name: self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT for name in names}
        inputs, outputs = [one for one in names if is_input[one]], [one for one in names if not is_input[one]]
        if len(inputs) != 1 or not outputs:
            raise self._error(f"it has {len(inputs)} inputs and {len(outputs)} outputs", _REBUILD)
        return inputs, outputs

    def _port(self, name: str, shape: tuple[int, ...]) -> _Port:
        if len(shape) == 0 or min(shape) < 1 or shape[0] != self._largest[0]:
            raise self._error(f"the shape of {name} is {shape}", "Export the model with the batch as first dimension")
        host = self._cuda.allocate_host(shape)
        self._memory.callback(_quietly, self._cuda.free_host, host)
        return _Port(name, shape, host, self._allocate(host.nbytes))

    def _allocate(self, size_bytes: int) -> int:
        address = self._cuda.allocate(size_bytes)
        self._memory.callback(_quietly, self._cuda.free, address)
        return address

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """For one picture, by the output's name, in the order of the engine."""
        return {port.name: port.shape[1:] for port in self._outputs}

    def warm_up(self) -> None:
        """Run the usual batch sizes once, so that no frame waits for their contexts and graphs.

        Raises:
            MienError: TensorRT or CUDA failed.
        """
        largest = self._largest[0]
        self._input.host[...] = 0
        for pictures in range(1, min(largest, WARM_PICTURES) + 1) if self.input_shape[0] is None else [largest]:
            self._run_part(pictures)

    def run(self, batch: Array) -> Mapping[str, Array]:
        """Run float32 (N, C, H, W) in parts of the largest batch; fresh arrays by name.

        Raises:
            MienError: TensorRT or CUDA failed, or the pictures have another shape.
        """
        if batch.shape[1:] != self._largest[1:]:
            raise self._error(f"it takes {self._largest}, not {batch.shape}", _REBUILD)
        results = {port.name: np.empty((len(batch), *port.shape[1:]), np.float32) for port in self._outputs}
        for start in range(0, len(batch), self._largest[0]):
            part = batch[start : start + self._largest[0]]
            self._input.host[: len(part)] = part
            self._run_part(len(part))
            for port in self._outputs:
                results[port.name][start : start + len(part)] = port.host[: len(part)]
        return results

    def _run_part(self, pictures: int) -> None:
        plan = self._plans.get(pictures)
        if plan is not None and plan.graph is not None:
            self._cuda.launch(plan.graph)
            self._cuda.synchronize()
            return
        if plan is None:
            plan = self._plans[pictures] = _Plan(self._context(pictures, *self._outputs, self._input))
        self._queue(plan, pictures)
        self._cuda.synchronize()
        if self._records:
            # Only now: a context's first run also sets it up, which cannot be recorded.
            self._record(plan, pictures)

    def _context(self, pictures: int, *ports: _Port) -> Any:
        """An execution context for one batch size, on the memory of the ports."""
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._made(self._engine.create_execution_context(strategy), "make an execution context")
        context.set_device_memory(self._activations, self._activations_bytes)
        self._made(context.set_input_shape(self._input.name, (pictures, *self._largest[1:])), "set the input's shape")
        for port in ports:
            self._made(context.set_tensor_address(port.name, port.address), f"set the address of {port.name}")
        return context

    def _queue(self, plan: _Plan, pictures: int) -> None:
        """Queue copy, execution and copies back."""
        self._cuda.upload(self._input.address, self._input.host[:pictures])
        self._made(plan.context.execute_async_v3(self._cuda.stream), "run")
        for port in self._outputs:
            self._cuda.download(port.host[:pictures], port.address)

    def _record(self, plan: _Plan, pictures: int) -> None:
        """Record a CUDA graph; an engine with layers that cannot be recorded goes on without."""
        try:
            self._cuda.begin_capture()
            try:
                self._queue(plan, pictures)
            except MienError:
                _quietly(lambda: self._cuda.free_graph(self._cuda.end_capture()))
                raise
            plan.graph = self._cuda.end_capture()
        except MienError:
            self._records = False

    def close(self) -> None:
        """Free everything, also on a device that has gone."""
        for plan in self._plans.values():
            if plan.graph is not None:
                _quietly(self._cuda.free_graph, plan.graph)
        self._plans.clear()
        self._engine = self._runtime = None
        self._memory.close()

    def _made(self, result: Any, what: str) -> Any:
        """What TensorRT returned, unless that is its way of failing."""
        if result is None or result is False:
            raise self._error(f"TensorRT cannot {what}{self._log.said()}", _REBUILD)
        return result

    def _error(self, problem: str, remedy: str) -> MienError:
        return MienError(f"The engine of {self._name} cannot be used: {problem}", remedy)


def _quietly(function: Callable[..., object], *arguments: object) -> None:
    """Call what frees something: a device that has gone frees its memory itself."""
    with suppress(MienError):
        function(*arguments)
