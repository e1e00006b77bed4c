"""fp16 in the ONNX file itself."""

from __future__ import annotations


def to_fp16(model: bytes) -> bytes:
    """An ONNX file's network with fp16 weights and activations; input, outputs and pooling stay float32.

    Args:
        model: fp32 ONNX file with one input (batch, C, H, W) and an output `embedding`.

    Raises:
        MienError: numbers of the network are too large for fp16.
    """
    raise NotImplementedError
