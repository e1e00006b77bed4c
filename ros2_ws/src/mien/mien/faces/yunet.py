"""The YuNet face detector, decoded here from the network's twelve outputs so that any backend can run it.

Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", 2023; the decoding is that of cv2.FaceDetectorYN.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.detector import Box, Detection, Image, search_size
from mien.networks import detector_model
from mien.runtime.backend import Array, BackendOptions, Network, load_network

_STRIDES = (8, 16, 32)
_OUTPUTS = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in _STRIDES)
_SIZES_KEPT = 4  # cameras of different sizes, each with its own network


@dataclass(frozen=True, slots=True)
class _Fitted:
    """The network for images shrunk to one size, and its input, zero where the image does not reach."""

    network: Network
    batch: Array


class YuNetDetector:
    """Finds faces with YuNet; see `mien.faces.detector.Detector`.

    Args:
        model: bytes of its ONNX file, with free input dimensions "height" and "width".
        options: what runs it.
        width: images are shrunk to this width in pixels (never enlarged). Faces below about 10 pixels there are missed.
        score_threshold: lowest score of a face, 0 to 1.
        nms_threshold: of two boxes with a larger intersection over union only the better one stays, 0 to 1.

    Raises:
        MienError: the backend cannot load the model, or it is not a YuNet. Found out at the first image of a size.
    """

    def __init__(
        self, model: bytes, options: BackendOptions, width: int, score_threshold: float, nms_threshold: float
    ) -> None:
        self._model = model
        self._options = options
        self._width = width
        self._score_threshold = score_threshold
        self._nms_threshold = nms_threshold
        self._fitted: OrderedDict[tuple[int, int], _Fitted] = OrderedDict()

    def detect(self, image: Image) -> list[Detection]:
        """Return the faces of an image, best first; an image without pixels has none."""
        image_height, image_width = image.shape[:2]
        if image_height == 0 or image_width == 0:
            return []
        width, height = search_size(image_width, image_height, self._width)
        fitted = self._fit(width, height)
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        planes = cv2.split(small) if small.ndim == 3 else [small] * 3
        for target, plane in zip(fitted.batch[0], planes, strict=True):
            target[:height, :width] = plane
        columns = fitted.batch.shape[3]
        faces = decode(fitted.network.run(fitted.batch), columns, self._score_threshold, self._nms_threshold)
        return _in_pixels(faces, image_width / width, image_height / height)

    @property
    def runtime(self) -> str:
        """What runs the networks, for people; a network for each size of images."""
        return "; ".join(sorted({fitted.network.runtime for fitted in list(self._fitted.values())}))

    @property
    def problem(self) -> str | None:
        """Why one of them does not run where it should; None when all is well."""
        problems = (fitted.network.problem for fitted in list(self._fitted.values()))
        return next((problem for problem in problems if problem is not None), None)

    def close(self) -> None:
        """Free the networks."""
        while self._fitted:
            self._fitted.popitem()[1].network.close()

    def _fit(self, width: int, height: int) -> _Fitted:
        """The network for a size; the one longest unused makes room for a new one."""
        size = (width, height)
        if size in self._fitted:
            self._fitted.move_to_end(size)
            return self._fitted[size]
        model = detector_model(self._model, width, height)
        batch = np.zeros((1, 3, *(model.input_size or ())), np.float32)
        network = load_network(model, self._options)
        with ExitStack() as on_error:
            on_error.callback(network.close)
            _check(network, batch.shape)
            on_error.pop_all()
        if len(self._fitted) == _SIZES_KEPT:
            _, oldest = self._fitted.popitem(last=False)
            oldest.network.close()
        self._fitted[size] = _Fitted(network, batch)
        return self._fitted[size]


def _check(network: Network, shape: tuple[int, ...]) -> None:
    missing = sorted(set(_OUTPUTS) - set(network.output_names))
    wrong = [found for found, wanted in zip(network.input_shape, shape, strict=False) if found not in (None, wanted)]
    if missing or wrong or len(network.input_shape) != len(shape):
        raise MienError(
            f"The face detector is not a YuNet of free input size: it takes {network.input_shape} instead of {shape}"
            + (f" and lacks the outputs {', '.join(missing)}" if missing else ""),
            "Use the detector of the default bundle: mien models fetch",
        )


def decode(
    outputs: Mapping[str, Array], width: int, score_threshold: float, nms_threshold: float
) -> NDArray[np.float32]:
    """Faces from the network's outputs.

    At each cell of the grids with 8, 16 and 32 pixels: score = sqrt(cls · obj); box = middle as an offset from the cell
    and size as a logarithm, in cells; five points as offsets from the cell. Only cells above the threshold are touched.

    Args:
        outputs: `cls_s`, `obj_s` (1, cells, 1), `bbox_s` (1, cells, 4) and `kps_s` (1, cells, 10) for strides s.
        width: of the network's input, pixels; tells how many cells make a row.
        score_threshold: lowest score, 0 to 1.
        nms_threshold: largest intersection over union of two faces, 0 to 1.

    Returns:
        float32 (faces, 15), best first: x, y, width, height, five points x, y, score; pixels of the network's input.
    """
    found = []
    for stride in _STRIDES:
        scores = outputs[f"cls_{stride}"].ravel() * outputs[f"obj_{stride}"].ravel()
        (cells,) = np.nonzero(scores >= score_threshold**2)
        if cells.size == 0:
            continue
        corner = np.stack([cells % (width // stride), cells // (width // stride)], axis=1)
        box = outputs[f"bbox_{stride}"][0, cells]
        faces = np.empty((cells.size, 15), np.float32)
        faces[:, 2:4] = np.exp(box[:, 2:])
        faces[:, 0:2] = corner + box[:, :2] - faces[:, 2:4] / 2
        faces[:, 4:14] = outputs[f"kps_{stride}"][0, cells] + np.tile(corner, 5)
        faces[:, :14] *= stride
        faces[:, 14] = np.sqrt(scores[cells])
        found.append(faces)
    if not found:
        return np.empty((0, 15), np.float32)
    every = np.concatenate(found)
    every = every[np.isfinite(every).all(axis=1)]
    keep = cv2.dnn.NMSBoxes(every[:, :4].tolist(), every[:, 14].tolist(), score_threshold, nms_threshold)
    return every[np.asarray(keep, np.intp).ravel()]


def _in_pixels(faces: NDArray[np.float32], scale_x: float, scale_y: float) -> list[Detection]:
    faces[:, 0:14:2] *= scale_x
    faces[:, 1:14:2] *= scale_y
    return [Detection(Box(*row[:4].tolist()), min(1.0, float(row[14])), row[4:14].reshape(5, 2)) for row in faces]
