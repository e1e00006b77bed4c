"""int8 as TensorRT wants it: quantised values between Q/DQ pairs, in the ONNX file itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quantize(model: bytes, pictures: NDArray[np.float32]) -> bytes:
    """An ONNX file's network with int8 weights and activations; input and outputs stay float32.

    Args:
        model: fp32 ONNX file with one input (batch, C, H, W) and an output `embedding`.
        pictures: float32 (N, C, H, W), the network's input, to calibrate on.

    Raises:
        MienError: there are too few pictures, they do not fit the network, or no choice of layers in int8 gives the
            embeddings of the fp32 file.
    """
    raise NotImplementedError
