"""What ONNX Runtime can run networks on: the CPU, or what another of its packages brings."""

from __future__ import annotations

from dataclasses import dataclass, field

import onnxruntime

from mien.bundle import Precision
from mien.errors import MienError
from mien.models.cache import cache_folder, make_folder


@dataclass(frozen=True, slots=True)
class Provider:
    """One way to run networks in ONNX Runtime.

    Attributes:
        label: its name for people.
        names: ONNX Runtime's names, the first one wanted; what it cannot run goes to the next.
        package: what brings it, in place of `onnxruntime`; "" for what is always there.
        needs: what else must be on the machine.
        options: of the first one.
    """

    label: str
    names: tuple[str, ...]
    package: str = ""
    needs: str = ""
    options: dict[str, str] = field(default_factory=dict)


PROVIDERS = {
    "onnxruntime": Provider("CPU", ("CPUExecutionProvider",)),
    # By default it times every algorithm again for each new number of faces, while frames wait.
    "onnxruntime-cuda": Provider(
        "CUDA",
        ("CUDAExecutionProvider", "CPUExecutionProvider"),
        "onnxruntime-gpu",
        "an NVIDIA GPU and the CUDA and cuDNN it was built for",
        {"cudnn_conv_algo_search": "HEURISTIC"},
    ),
    "onnxruntime-tensorrt": Provider(
        "TensorRT",
        ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
        "onnxruntime-gpu",
        "an NVIDIA GPU and the CUDA, cuDNN and TensorRT it was built for",
    ),
    # The device AUTO was seen to leave small networks to the plain CPU without saying so.
    "onnxruntime-openvino": Provider(
        "OpenVINO CPU",
        ("OpenVINOExecutionProvider", "CPUExecutionProvider"),
        "onnxruntime-openvino",
        "an x86_64 CPU",
        {"device_type": "CPU"},
    ),
}
"""By the name of the backend."""


def check_present(provider: Provider) -> None:
    """Compare with what the installed ONNX Runtime was built with.

    Raises:
        MienError: it has no such provider.
    """
    if provider.names[0] not in onnxruntime.get_available_providers():
        raise MienError(
            f"ONNX Runtime {onnxruntime.__version__} here has no {provider.label}",
            f"Install {provider.package} in place of onnxruntime; it needs {provider.needs}. "
            "Or choose the backend onnxruntime",
        )


def tensorrt_options(
    name: str, shape: list[int | str | None], largest_batch: int, precision: Precision
) -> dict[str, str]:
    """Where ONNX Runtime's TensorRT keeps its engines, and what it builds them for.

    Without a range of batches it would build for minutes at each new number of faces.

    Args:
        name: of the network's input.
        shape: of the input, NCHW; its batch size is free where it is not a number.
        largest_batch: of that range.
        precision: of the file; TensorRT must be allowed what it uses.

    Raises:
        MienError: the cache cannot be written.
    """
    folder = str(make_folder(cache_folder() / "onnxruntime-tensorrt"))
    options = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": folder}
    options |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": folder}
    if precision != "fp32":
        options[f"trt_{precision}_enable"] = "1"
    if isinstance(shape[0], int):
        return options
    for bound, batch in (("min", 1), ("opt", min(2, largest_batch)), ("max", largest_batch)):
        options[f"trt_profile_{bound}_shapes"] = f"{name}:{'x'.join(map(str, [batch, *shape[1:]]))}"
    return options
