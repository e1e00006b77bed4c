"""TensorRT as far as we use it, with ONNX Runtime inside: what it computes is what the ONNX file says.

`test_bindings` compares every class, method, parameter and enum member here with the real bindings. State that a test
sets is in `faults` and `gpu`; the fixture `tensorrt` of conftest starts each test with new ones.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import json
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime

from tests.runtime.fake_cuda import FakeGpu

__version__ = "10.3.0"
_MAGIC = b"FAKE-ENGINE"
Shape = tuple[int, ...]


@dataclass
class Faults:
    """What goes wrong."""

    builder_starts: bool = True
    parses: bool = True
    builds: bool = True
    runs: bool = True
    has_context_memory: bool = True
    loads: bool = True
    loading: Callable[[], None] = field(default=lambda: None)
    """Called while an engine is loaded."""
    output: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]] = field(default=lambda output: output)


faults = Faults()
gpu = FakeGpu()
contexts: weakref.WeakSet[IExecutionContext] = weakref.WeakSet()


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self) -> None:
        pass

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class IProgressMonitor:
    def __init__(self) -> None:
        pass

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        raise NotImplementedError

    def step_complete(self, phase_name: str, step: int) -> bool:
        raise NotImplementedError

    def phase_finish(self, phase_name: str) -> None:
        raise NotImplementedError


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(enum.Enum):
    TF32 = 7


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class DataType(enum.Enum):
    FLOAT = onnx.TensorProto.FLOAT
    HALF = onnx.TensorProto.FLOAT16
    INT64 = onnx.TensorProto.INT64


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class ExecutionContextAllocationStrategy(enum.Enum):
    STATIC = 0
    USER_MANAGED = 2


class IHostMemory:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bytes__(self) -> bytes:
        return self._data


class ITensor:
    def __init__(self, value: Any) -> None:
        kind = value.type.tensor_type
        self.name = value.name
        self.dtype = DataType(kind.elem_type)
        self.shape = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in kind.shape.dim)


class INetworkDefinition:
    def __init__(self, flags: int) -> None:
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        self._onnx = b""
        self._inputs: list[ITensor] = []
        self._outputs: list[ITensor] = []

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    @property
    def num_outputs(self) -> int:
        return len(self._outputs)

    def get_input(self, index: int) -> ITensor:
        return self._inputs[index]

    def get_output(self, index: int) -> ITensor:
        return self._outputs[index]


class ParserError:
    def desc(self) -> str:
        return "no importer registered for op: Sparkle"

    def node_name(self) -> str:
        return "sparkle_1"

    def node_operator(self) -> str:
        return "Sparkle"


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network

    @property
    def num_errors(self) -> int:
        return 0 if faults.parses else 1

    def parse(self, model: bytes) -> bool:
        if not faults.parses:
            return False
        graph = onnx.load_model_from_string(model).graph
        self._network._onnx = model
        self._network._inputs = [ITensor(one) for one in graph.input]
        self._network._outputs = [ITensor(one) for one in graph.output]
        return True

    def get_error(self, index: int) -> ParserError:
        return ParserError()


class IOptimizationProfile:
    # The names are TensorRT's.
    def set_shape(self, input: str, min: Shape, opt: Shape, max: Shape) -> None:  # noqa: A002
        self._shapes = [list(min), list(opt), list(max)]


class ITimingCache:
    def __init__(self, builds: int) -> None:
        self._builds = builds

    def serialize(self) -> IHostMemory:
        return IHostMemory(f"{self._builds}".encode())


class IBuilderConfig:
    def __init__(self) -> None:
        self._cache: ITimingCache | None = None
        self._profile: IOptimizationProfile | None = None
        self.progress_monitor: IProgressMonitor | None = None

    def clear_flag(self, flag: BuilderFlag) -> None:
        assert flag is BuilderFlag.TF32

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        assert pool_size < 1 << 31

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None:
        """Ours says how many builds it has seen."""
        if not serialized_timing_cache:
            return ITimingCache(0)
        return ITimingCache(int(serialized_timing_cache)) if serialized_timing_cache.isdigit() else None

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        return self._cache

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self._profile = profile
        smallest, usual, largest = profile._shapes
        return 0 if smallest <= usual <= largest else -1


class Builder:
    def __init__(self, logger: ILogger) -> None:
        if not faults.builder_starts:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger = logger

    def create_network(self, flags: int) -> INetworkDefinition:
        return INetworkDefinition(flags)

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory | None:
        profile = config._profile
        if not faults.builds or (profile is None and -1 in network._inputs[0].shape):
            self._logger.log(ILogger.Severity.ERROR, "Error Code 10: could not find any\nimplementation")
            return None
        if not _tell(config.progress_monitor):
            return None
        if config._cache is not None:
            config._cache._builds += 1
        shapes = profile._shapes if profile else [list(network._inputs[0].shape)] * 3
        payload = json.dumps({"onnx": base64.b64encode(network._onnx).decode(), "shapes": shapes}).encode()
        return IHostMemory(_MAGIC + hashlib.sha256(payload).digest() + payload)


def _tell(monitor: IProgressMonitor | None) -> bool:
    """Two phases, the second inside the first."""
    if monitor is None:
        return True
    monitor.phase_start("Building engine", None, 2)
    goes_on = monitor.step_complete("Building engine", 0)
    monitor.phase_start("Timing tactics", "Building engine", 4)
    for step in range(4):
        goes_on = goes_on and monitor.step_complete("Timing tactics", step)
    monitor.phase_finish("Timing tactics")
    goes_on = goes_on and monitor.step_complete("Building engine", 1)
    monitor.phase_finish("Building engine")
    return goes_on


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        faults.loading()
        digest, payload = serialized_engine[len(_MAGIC) :][:32], serialized_engine[len(_MAGIC) + 32 :]
        if not faults.loads or hashlib.sha256(payload).digest() != digest:
            self._logger.log(ILogger.Severity.ERROR, "Error Code 1: Serialization (magicTag does not match)")
            return None
        return ICudaEngine(json.loads(payload))


class ICudaEngine:
    def __init__(self, plan: dict[str, Any]) -> None:
        model = base64.b64decode(plan["onnx"])
        graph = onnx.load_model_from_string(model).graph
        self._tensors = {one.name: ITensor(one) for one in (*graph.input, *graph.output)}
        self._inputs = {one.name for one in graph.input}
        self._shapes = plan["shapes"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors)

    @property
    def device_memory_size_v2(self) -> int:
        return 1024

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_dtype(self, name: str) -> DataType:
        return self._tensors[name].dtype

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._tensors[name].shape

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        assert name in self._inputs
        assert profile_index == 0
        return [tuple(shape) for shape in self._shapes]

    def create_execution_context(self, strategy: ExecutionContextAllocationStrategy) -> IExecutionContext | None:
        assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        return IExecutionContext(self) if faults.has_context_memory else None


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._memory: int | None = None
        self._has_run = False
        contexts.add(self)

    def set_device_memory(self, memory: int, size: int) -> None:
        assert gpu.view(memory, size).nbytes >= self._engine.device_memory_size_v2
        self._memory = memory

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        smallest, _, largest = self._engine._shapes
        if not all(low <= size <= high for low, size, high in zip(smallest, shape, largest, strict=True)):
            return False
        zeros = np.zeros(shape, np.float32)
        names = [one.name for one in self._engine._session.get_outputs()]
        found = self._engine._session.run(names, {name: zeros})
        self._shapes = {name: tuple(shape)} | {one: array.shape for one, array in zip(names, found, strict=True)}
        self._has_run = False
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return name in self._shapes

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert self._memory is not None
        assert self._addresses.keys() == self._shapes.keys()
        if not faults.runs or (gpu.recording is not None and not self._has_run):
            return False
        self._has_run = True
        # What a recorded graph runs later is what stands here now.
        views = {name: self._view(name) for name in self._shapes}
        (given,) = self._engine._inputs
        session = self._engine._session

        def run() -> None:
            names = [name for name in views if name != given]
            for name, array in zip(names, session.run(names, {given: views[given]}), strict=True):
                views[name][...] = faults.output(array)

        gpu.queue(run)
        return True

    def _view(self, name: str) -> np.ndarray[Any, Any]:
        shape = self._shapes[name]
        memory = gpu.view(self._addresses[name], int(np.prod(shape)) * 4)
        return memory.view(np.float32).reshape(shape)
