"""A face's 68 landmarks, networks that always give the same, and bundles with them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mien.bundle import CropSpec, File, InputSpec, LandmarksSpec, encode_manifest, open_bundle
from mien.models.default_bundle import built_bundle

SIDE = 8

_IN_PERCENT = """
10 44   12 51   13 66   13 72   18 85   22 90   31 95   39 98   50 99
61 98   69 95   78 90   82 85   87 72   87 66   88 51   90 44
24 28   27 26   32 25   37 24   42 24   58 24   63 24   68 25   73 26   76 28
50 41   50 47   50 52   50 61   42 64   47 66   50 66   53 66   58 64
27 39   31 37   35 37   39 40   35 41   31 41   61 40   65 37   69 37   73 39   69 41   65 41
34 76   41 71   47 70   50 70   53 70   59 71   66 76   61 81   54 82   50 83   46 82   39 81
36 76   45 75   50 75   55 75   64 76   57 77   50 78   43 77
"""

TEMPLATE = np.array(_IN_PERCENT.split(), np.float32).reshape(68, 2) / 100
"""The mean of frontal renders, 0…1 across the square around the middle of the detector's box."""


def spec(confidence_output: str | None = None) -> LandmarksSpec:
    """Of `constant_network`: its crop is the square around the box."""
    file = File("landmarks.onnx", "0" * 64, "test", "Apache-2.0")
    grey = InputSpec(SIDE, SIDE, "grey", (0.0,), (1.0,))
    return LandmarksSpec(file, grey, CropSpec("box"), "points", confidence_output)


def constant_network(points: NDArray[np.float32], confidences: NDArray[np.float32] | None = None) -> bytes:
    """(n, 1, 8, 8) → `points` (n, 136), the same for every face, and where they are given `confidences` (n, 68)."""
    given = {"points": points.reshape(1, -1)}
    if confidences is not None:
        given["confidences"] = confidences.reshape(1, -1)
    constants = [numpy_helper.from_array(np.zeros((SIDE * SIDE, 1), np.float32), "nothing")]
    constants += [numpy_helper.from_array(values.astype(np.float32), f"{name}_given") for name, values in given.items()]
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "nothing"], ["zero"]),
        *(helper.make_node("Add", ["zero", f"{name}_given"], [name]) for name in given),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", values.size]) for name, values in given.items()],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def with_landmarks(folder: Path, model: bytes, how: LandmarksSpec, **changes: Any) -> Path:
    """A bundle with a landmark network, and with other changes of its manifest, in a new folder.

    It is fer2013, whose head does not say for which crop it was made.
    """
    shutil.copytree(built_bundle("fer2013"), folder)
    (folder / how.file.path).write_bytes(model)
    file = replace(how.file, sha256=hashlib.sha256(model).hexdigest())
    manifest = replace(open_bundle(folder).manifest, landmarks=replace(how, file=file), **changes)
    (folder / "manifest.json").write_bytes(encode_manifest(manifest))
    return folder
