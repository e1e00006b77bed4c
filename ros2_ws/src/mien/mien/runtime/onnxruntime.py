"""Networks through ONNX Runtime: on the CPU, the default backend, or on one of its other providers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime

from mien.errors import MienError
from mien.runtime.backend import Array, BackendOptions, Model
from mien.runtime.providers import PROVIDERS, Provider, check_present, tensorrt_options

_EXTERNAL_DATA = b"\n\x08location\x12"
"""How the key of a tensor's external file reads in an ONNX file (TensorProto.external_data)."""

_LARGEST_BATCH_ON_CPU = 4
"""More pictures do not fit its caches: of the default bundle's faces eight take 1.67 ms each at once, 1.52 in fours."""


def session_options(threads: int, input_size: tuple[int, int] | None) -> onnxruntime.SessionOptions:
    """ONNX Runtime's settings for all networks.

    Args:
        threads: CPU threads.
        input_size: (height, width) to fix the input to, or None.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A robot's cores are shared: waiting threads sleep instead of spinning.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # CPUs without VNNI saturate in int8 products of signed values unless told to take the exact way.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if input_size is not None:
        options.add_free_dimension_override_by_name("height", input_size[0])
        options.add_free_dimension_override_by_name("width", input_size[1])
    return options


class OnnxRuntimeNetwork:
    """A network in ONNX Runtime; see `mien.runtime.backend.Network`.

    Args:
        model: the network; of its files the one in fp32, unless another precision is asked for.
        options: its name is one of `PROVIDERS`.

    Raises:
        MienError: the file cannot be loaded, or the provider is not installed or does not start.
    """

    def __init__(self, model: Model, options: BackendOptions) -> None:
        name, provider = model.path, PROVIDERS[options.name]
        check_present(provider)
        precision = model.choose(*([options.precision] if options.precision else []), "fp32")
        onnx = model.files[precision]()
        if _EXTERNAL_DATA in onnx:
            raise MienError(
                f"{name} keeps weights in another file, which no checksum covers", "Export it with its weights inside"
            )
        settings = session_options(options.threads, model.input_size)
        of_provider = dict(provider.options)
        if options.name == "onnxruntime-openvino":
            of_provider["num_of_threads"] = str(options.threads)
        if options.name == "onnxruntime-tensorrt":
            source = _load(onnx, name, settings, PROVIDERS["onnxruntime"], {}).get_inputs()[0]
            of_provider = tensorrt_options(source.name, source.shape, model.largest_batch, precision)
        self._session = _load(onnx, name, settings, provider, of_provider)
        self._provider = provider
        largest = {"onnxruntime": _LARGEST_BATCH_ON_CPU, "onnxruntime-tensorrt": model.largest_batch}
        self._largest_batch = largest.get(options.name)
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
        return f"onnxruntime {onnxruntime.__version__} {self._provider.label}"

    @property
    def problem(self) -> str | None:
        """None: it always runs where it should."""
        return None

    def run(self, batch: Array) -> Mapping[str, Array]:
        """Run a batch and return each output by name."""
        largest = self._largest_batch
        if largest is None or len(batch) <= largest:
            return self._run(batch)
        parts = [self._run(batch[start : start + largest]) for start in range(0, len(batch), largest)]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def close(self) -> None:
        """Free the session."""
        del self._session

    def _run(self, batch: Array) -> dict[str, Array]:
        return dict(zip(self._outputs, self._session.run(self._outputs, {self._input.name: batch}), strict=True))


def _load(
    onnx: bytes, name: str, settings: onnxruntime.SessionOptions, provider: Provider, of_provider: dict[str, str]
) -> onnxruntime.InferenceSession:
    wanted, *others = provider.names
    providers = [(wanted, of_provider), *((other, {}) for other in others)]
    try:
        session = onnxruntime.InferenceSession(onnx, settings, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime raises a dozen unrelated types
        remedy = "Fetch or export the bundle again"
        if provider.needs:
            remedy += f". Where the backend onnxruntime loads it, mend what {provider.label} needs: {provider.needs}"
        reason = " ".join(str(error).split())
        raise MienError(f"ONNX Runtime cannot load {name} on {provider.label} ({reason})", remedy) from error
    # A provider whose libraries are missing is left out with a line in the log: the CPU would serve unnoticed.
    if wanted not in session.get_providers():
        raise MienError(
            f"ONNX Runtime cannot start {provider.label}; its own lines above say why",
            f"It needs {provider.needs}. Or choose the backend onnxruntime",
        )
    return session
