"""Networks on the CPU through ONNX Runtime: the default backend."""

from __future__ import annotations

from collections.abc import Mapping

import onnxruntime

from mien.errors import MienError
from mien.runtime.backend import Array

_EXTERNAL_DATA = b"\n\x08location\x12"
"""How the key of a tensor's external file reads in an ONNX file (TensorProto.external_data)."""


class OnnxRuntimeNetwork:
    """A network in ONNX Runtime; see `mien.runtime.backend.Network`.

    Args:
        model: the ONNX file's bytes, already checked.
        name: what to call it in errors.
        threads: CPU threads.
        input_size: (height, width) to fix the input to, or None.
    """

    def __init__(self, model: bytes, name: str, threads: int, input_size: tuple[int, int] | None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A robot's cores are shared: waiting threads sleep instead of spinning.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if input_size is not None:
            options.add_free_dimension_override_by_name("height", input_size[0])
            options.add_free_dimension_override_by_name("width", input_size[1])
        if _EXTERNAL_DATA in model:
            raise MienError(
                f"{name} keeps weights in another file, which no checksum covers", "Export it with its weights inside"
            )
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen unrelated types
            raise MienError(f"ONNX Runtime cannot load {name} ({error})", "Fetch or export the bundle again") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{one.name} {one.type}" for one in inputs)
            raise MienError(f"{name} takes the inputs {found or 'none'}", "Export it with one float32 input")
        self._input = inputs[0]
        self._outputs = [output.name for output in self._session.get_outputs()]

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the input, NCHW; None where the size is free."""
        return tuple(size if isinstance(size, int) else None for size in self._input.shape)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(self._outputs)

    @property
    def runtime(self) -> str:
        """Name, version and provider."""
        return f"onnxruntime {onnxruntime.__version__} CPU"

    @property
    def problem(self) -> str | None:
        """None: it always runs where it should."""
        return None

    def run(self, batch: Array) -> Mapping[str, Array]:
        """Run a batch and return each output by name."""
        return dict(zip(self._outputs, self._session.run(self._outputs, {self._input.name: batch}), strict=True))

    def close(self) -> None:
        """Free the session."""
        del self._session
