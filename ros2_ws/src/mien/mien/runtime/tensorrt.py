"""Engines: built from ONNX files by TensorRT, and run by it.

One path serves TensorRT 10.3, 10.13 and 11: networks are strongly typed, so the precision is the ONNX file's own.
The module is passed in, because `tensorrt_rtx` has the same interface and builds without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from mien.errors import MienError, require
from mien.runtime.backend import Array
from mien.runtime.device import Cuda
from mien.runtime.device_thread import hold_device, release_device
from mien.runtime.execution import LoadedEngine
from mien.runtime.onnx_graph import graph_problems, read_input
from mien.runtime.tensorrt_callbacks import log_of, progress_monitor

Progress = Callable[[str, float], None]
"""Told the name of what is being done and how much of the whole is done, 0…1."""
_WORKSPACE_BYTES = 512 << 20
"""The most that one layer may use while it runs: a Jetson's memory is also the robot's. Our networks need far less."""
_USUAL_FACES = 2
"""In a frame."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The shapes that an engine takes at its one input.

    Attributes:
        input: its name.
        smallest, usual, largest: shapes; the engine is fastest at the usual one.
    """

    input: str
    smallest: tuple[int, ...]
    usual: tuple[int, ...]
    largest: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of an engine; -1 where the profile leaves the size free."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    is_input: bool


@dataclass(frozen=True, slots=True)
class Built:
    """What a build gives.

    Attributes:
        engine: the serialized engine; only for this GPU and this version of TensorRT.
        timing_cache: what was measured on the way; makes the next build on this GPU faster. Empty where there is none.
        tensors: inputs, then outputs.
    """

    engine: bytes
    timing_cache: bytes
    tensors: tuple[Tensor, ...]


def import_tensorrt() -> ModuleType:
    """TensorRT's Python module.

    Raises:
        MienError: it cannot be imported.
    """
    try:
        return require("tensorrt", "tensorrt")
    except MienError as error:
        jetson = "On a Jetson: sudo apt install python3-libnvinfer (JetPack's)"
        raise MienError(error.problem, f"{jetson}. Elsewhere: pip install 'mien[tensorrt]'") from error


def profile_of(onnx: bytes, name: str, largest_batch: int, input_size: tuple[int, int] | None = None) -> Profile | None:
    """The profile for an ONNX file's input; None where its shape is fixed.

    Args:
        onnx: the file.
        name: what to call it in errors.
        largest_batch: most pictures in one run, where the batch is free.
        input_size: (height, width) where these are free.

    Raises:
        MienError: the file cannot be read, or a size is free and nothing says what it is.
    """
    found = read_input(onnx, name)
    if None not in found.shape:
        return None
    fixed = (*found.shape[1:2], *(input_size or found.shape[2:]))
    picture = tuple(size for size in fixed if size is not None)
    if len(picture) != 3:
        raise MienError(f"{name} takes pictures of any size", "Say which size the engine is for")
    batches = [found.shape[0]] * 3 if found.shape[0] else [1, min(_USUAL_FACES, largest_batch), largest_batch]
    smallest, usual, largest = ((batch or 1, *picture) for batch in batches)
    return Profile(found.name, smallest, usual, largest)


def build_engine(
    trt: ModuleType, onnx: bytes, name: str, profile: Profile | None, timing_cache: bytes, progress: Progress
) -> Built:
    """Build an engine.

    Args:
        trt: `import_tensorrt()`, or a module of the same interface.
        onnx: the ONNX file, weights inside.
        name: what to call it in errors.
        profile: the shapes of a free input; None where the input is fixed.
        timing_cache: of an earlier build on this GPU with this TensorRT, or empty.
        progress: told how far the build is, where TensorRT can say it.

    Raises:
        MienError: TensorRT cannot take the file, or the build fails; with what TensorRT said.
    """
    if profile is None and None in read_input(onnx, name).shape:
        raise MienError(f"The input of {name} has a free size", "Build its engine with a profile")
    problems = graph_problems(onnx, name)
    if problems:
        raise MienError(
            f"TensorRT cannot run {name}: {'; '.join(problems)}", "Export the bundle again with mien-export"
        )
    return _Build(trt, name).run(onnx, profile, timing_cache, progress)


class _Build:
    """One build: every function of TensorRT says by what it returns that it failed."""

    def __init__(self, trt: ModuleType, name: str) -> None:
        self._trt = trt
        self._name = name
        self._log = log_of(trt)
        self._log.clear()

    def run(self, onnx: bytes, profile: Profile | None, timing_cache: bytes, progress: Progress) -> Built:
        try:
            builder = self._trt.Builder(self._log)
        except (TypeError, RuntimeError) as error:  # what the bindings make of a null pointer
            raise self._error("its builder does not start") from error
        network = self._parse(builder, onnx)
        config = self._configure(builder, profile, timing_cache)
        monitor = progress_monitor(self._trt, progress)
        config.progress_monitor = monitor
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise self._error("the build gave no engine")
        measured = config.get_timing_cache()
        measured = measured.serialize() if measured is not None else None
        return Built(bytes(engine), bytes(measured) if measured is not None else b"", _tensors(network))

    def _parse(self, builder: Any, onnx: bytes) -> Any:
        network = builder.create_network(1 << int(self._trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = self._trt.OnnxParser(network, self._log)
        if not parser.parse(onnx):
            errors = [parser.get_error(index) for index in range(parser.num_errors)]
            nodes = "; ".join(f"{one.node_operator()} {one.node_name()}: {one.desc()}" for one in errors)
            raise self._error(f"it cannot take the file ({nodes})")
        return network

    def _configure(self, builder: Any, profile: Profile | None, timing_cache: bytes) -> Any:
        config = builder.create_builder_config()
        # float32 is what it says; who wants it faster takes float16.
        config.clear_flag(self._trt.BuilderFlag.TF32)
        config.set_memory_pool_limit(self._trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
        for stored in (timing_cache, b""):  # a damaged cache, or one of another GPU, makes way for a new one
            cache = config.create_timing_cache(stored)
            if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
                break
        if profile is not None:
            shapes = builder.create_optimization_profile()
            shapes.set_shape(profile.input, profile.smallest, profile.usual, profile.largest)
            if config.add_optimization_profile(shapes) < 0:
                raise self._error(f"it does not take the shapes {profile.smallest} to {profile.largest}")
        return config

    def _error(self, problem: str) -> MienError:
        said = self._log.said()
        return MienError(
            f"TensorRT {self._trt.__version__} cannot build an engine of {self._name}: {problem}{said}",
            "Report this with the bundle's name; until then use the backend onnxruntime",
        )


def _tensors(network: Any) -> tuple[Tensor, ...]:
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    return tuple(
        Tensor(one.name, one.dtype.name, tuple(one.shape), is_input)
        for tensors, is_input in ((inputs, True), (outputs, False))
        for one in tensors
    )


class Engine:
    """An engine on the GPU. `run` may be called from any thread.

    Args:
        trt: the module that built it.
        engine: what `build_engine` gave, already checked: bytes of another GPU or version may crash TensorRT.
        name: what to call it in errors.

    Raises:
        MienError: no device, damaged or unfitting engine, or not enough memory.
    """

    def __init__(self, trt: ModuleType, engine: bytes, name: str) -> None:
        self._owned = ExitStack()
        self._thread = hold_device()
        self._thread.engines.add(self._owned)

        def load(cuda: Cuda) -> tuple[LoadedEngine, str]:
            loaded = LoadedEngine(trt, engine, name, cuda)
            self._owned.callback(loaded.close)
            loaded.warm_up()
            return loaded, cuda.gpu.name

        try:
            with self._thread.loading():
                self._loaded, gpu = self._thread.call(load)
        except BaseException:
            self.close()
            raise
        self._runtime = f"tensorrt {trt.__version__} {gpu}"

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the input, NCHW; None where the profile leaves the size free."""
        return self._loaded.input_shape

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """For one picture, by the output's name."""
        return self._loaded.output_shapes

    @property
    def runtime(self) -> str:
        """What runs it, for people: TensorRT's version and the GPU."""
        return self._runtime

    def run(self, batch: Array) -> Mapping[str, Array]:
        """Run float32 (N, C, H, W), in parts where N is above the largest batch; fresh arrays by name.

        Raises:
            DeviceBusyError: another engine is being loaded.
            MienError: TensorRT or CUDA failed, the GPU does not answer, or the pictures have another shape.
        """
        return self._thread.call_for_frame(lambda _: self._loaded.run(batch))

    def close(self) -> None:
        """Free everything it holds, after what is running; the last engine's end releases the GPU."""
        self._thread.free(lambda _: self._owned.close())
        self._thread.engines.discard(self._owned)
        release_device(self._thread)
