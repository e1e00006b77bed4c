"""The interface between a network and what runs it. Nothing outside `runtime/` knows which runtime that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.bundle import InputSpec, Precision
from mien.errors import MienError

Array = NDArray[np.float32]
BACKENDS = ("onnxruntime", "tensorrt", "onnxruntime-cuda", "onnxruntime-tensorrt", "onnxruntime-openvino")
"""What can run networks."""


class Network(Protocol):
    """A loaded network. One thread at a time may call it."""

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of its one input, NCHW; None where the size is free."""
        ...

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of its outputs in the order of the graph."""
        ...

    @property
    def runtime(self) -> str:
        """What runs it, for people: name, version and provider."""
        ...

    @property
    def problem(self) -> str | None:
        """Why it does not run where it should, with the remedy, while it runs elsewhere; None when all is well."""
        ...

    def run(self, batch: Array) -> Mapping[str, Array]:
        """Run contiguous float32 (N, C, H, W); return each output by name. The next call may reuse the outputs."""
        ...

    def close(self) -> None:
        """Free what the network holds; it cannot be used afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Model:
    """A network as a bundle gives it.

    Attributes:
        name: what it is, as "backbone"; engines are kept under this name.
        path: of its file, for errors.
        files: reads the ONNX file in each precision that there is, checksum compared.
        largest_batch: the most pictures in one call; larger batches may be run in parts.
        input_size: (height, width) to fix where the graph's input has the free dimensions "height" and "width"; None
            leaves the graph as it is.
        preprocessing: how pixels become its input, where the manifest says it.
    """

    name: str
    path: str
    files: Mapping[Precision, Callable[[], bytes]]
    largest_batch: int = 1
    input_size: tuple[int, int] | None = None
    preprocessing: InputSpec | None = None

    @classmethod
    def of(cls, name: str, path: str, onnx: bytes, input_size: tuple[int, int] | None = None) -> Model:
        """A network of which there is one file, for one picture at a time."""
        return cls(name, path, {"fp32": lambda: onnx}, input_size=input_size)

    def choose(self, *precisions: Precision) -> Precision:
        """The first of these that there is a file of, else the first that there is."""
        return next((one for one in precisions if one in self.files), next(iter(self.files)))


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """How networks are run.

    Attributes:
        name: one of `BACKENDS`.
        threads: CPU threads of one network; 1 leaves the robot's other cores alone and is fastest for small networks.
        precision: of models that there are several files of; None = what the backend runs best.
    """

    name: str = "onnxruntime"
    threads: int = 1
    precision: Precision | None = None


def load_network(model: Model, options: BackendOptions) -> Network:
    """Load a network with the chosen backend.

    Raises:
        MienError: the backend is unknown or cannot load the file.
    """
    if options.name == "tensorrt":
        from mien.runtime.accelerated import AcceleratedNetwork

        return AcceleratedNetwork(model, options)
    if options.name in BACKENDS:
        from mien.runtime.onnxruntime import OnnxRuntimeNetwork

        return OnnxRuntimeNetwork(model, options)
    raise MienError(f"Unknown backend {options.name!r}", f"Choose one of: {', '.join(BACKENDS)}")
