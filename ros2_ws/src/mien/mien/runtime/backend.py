"""The interface between a network and what runs it. Nothing outside `runtime/` knows which runtime that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError

Array = NDArray[np.float32]


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

    def run(self, batch: Array) -> Mapping[str, Array]:
        """Run contiguous float32 (N, C, H, W); return each output by name. The next call may reuse the outputs."""
        ...

    def close(self) -> None:
        """Free what the network holds; it cannot be used afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """How networks are run.

    Attributes:
        name: "onnxruntime".
        threads: CPU threads of one network; 1 leaves the robot's other cores alone and is fastest for small networks.
    """

    name: str = "onnxruntime"
    threads: int = 1


def load_network(
    model: bytes, name: str, options: BackendOptions, input_size: tuple[int, int] | None = None
) -> Network:
    """Load an ONNX file with the chosen backend.

    Args:
        model: bytes of the ONNX file, already checked against its checksum.
        name: what to call it in errors.
        options: backend and its settings.
        input_size: (height, width) to fix where the graph's input has the free dimensions "height" and "width"; None
            leaves the graph as it is.

    Raises:
        MienError: the backend is unknown or cannot load the file.
    """
    if options.name == "onnxruntime":
        from mien.runtime.onnxruntime import OnnxRuntimeNetwork

        return OnnxRuntimeNetwork(model, name, options.threads, input_size)
    raise MienError(f"Unknown backend {options.name!r}", "Choose one of: onnxruntime")
