"""YuNet's ONNX file with a free input size, as OpenCV uses it, for runtimes that take the file at its word."""

from __future__ import annotations

from pathlib import Path

from mien.bundle import DetectorSpec
from mien.errors import MienError, require
from mien.models.catalogue import find_model


def yunet_detector(path: Path) -> tuple[bytes, DetectorSpec]:
    """The face detector as bundles have it: the file, and how it is used.

    Args:
        path: of the catalogue's `yunet`.

    Raises:
        MienError: as `free_input_size`.
    """
    data = free_input_size(path)
    file = find_model("yunet").converted_file("detector.onnx", data)
    # Size and thresholds are the defaults of the YuNet class in OpenCV Zoo (its demo asks for a score of 0.9).
    return data, DetectorSpec("yunet", file, width=320, score_threshold=0.6, nms_threshold=0.3)


def free_input_size(path: Path) -> bytes:
    """The file with its fixed 640×640 input replaced by 1 × 3 × "height" × "width", both multiples of 32.

    Nothing inside depends on the size: its Reshape constants leave the number of positions open, its Resize factors
    are relative. Only the shapes written down beside the graph are fixed, and these are dropped.

    Raises:
        MienError: it is not an ONNX file with one image input, or onnx is missing.
    """
    onnx = require("onnx", "robot")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
        (image,) = model.graph.input
        _, _, height, width = image.type.tensor_type.shape.dim
    except Exception as error:  # protobuf's DecodeError has no public home
        raise MienError(f"{path} is not YuNet ({error})", "Fetch it again: mien models fetch") from error
    height.dim_param, width.dim_param = "height", "width"
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = f"positions_{output.name.rsplit('_', 1)[-1]}"
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
