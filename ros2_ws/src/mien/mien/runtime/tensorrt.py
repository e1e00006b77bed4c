"""Engines: built from ONNX files by TensorRT, and run by it.

One path serves TensorRT 10.3, 10.13 and 11: networks are strongly typed, so the precision is the ONNX file's own.
The module is passed in, because `tensorrt_rtx` has the same interface and builds without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType

from mien.errors import require
from mien.runtime.backend import Array

Progress = Callable[[str, float], None]
"""Told the name of what is being done and how much of the whole is done, 0…1."""


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
        timing_cache: what was measured on the way; makes the next build on this GPU faster.
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
    return require("tensorrt", "tensorrt")


def profile_of(onnx: bytes, largest_batch: int, input_size: tuple[int, int] | None = None) -> Profile | None:
    """The profile for an ONNX file's input; None where its shape is fixed.

    Args:
        onnx: the file.
        largest_batch: most pictures in one run, where the batch is free.
        input_size: (height, width) where these are free.

    Raises:
        MienError: a dimension is free and nothing says its size.
    """
    raise NotImplementedError


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
    raise NotImplementedError


class Engine:
    """An engine on the GPU. `run` may be called from any thread.

    Args:
        trt: the module that built it.
        engine: what `build_engine` gave, already checked: bytes of another GPU or version crash TensorRT.
        name: what to call it in errors.

    Raises:
        MienError: no device, damaged or unfitting engine, or not enough memory.
    """

    def __init__(self, trt: ModuleType, engine: bytes, name: str) -> None:
        raise NotImplementedError

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the input, NCHW; None where the batch is free."""
        raise NotImplementedError

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs in the order of the graph."""
        raise NotImplementedError

    @property
    def runtime(self) -> str:
        """What runs it, for people: TensorRT's version and the GPU."""
        raise NotImplementedError

    def run(self, batch: Array) -> Mapping[str, Array]:
        """Run contiguous float32 (N, C, H, W), in parts where N is above the largest batch; fresh arrays by name.

        Raises:
            MienError: TensorRT or CUDA failed, or the batch has another shape.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Free everything it holds."""
        raise NotImplementedError
