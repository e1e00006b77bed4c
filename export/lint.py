"""What in an ONNX file TensorRT or the robot would refuse."""

from __future__ import annotations


def lint(model: bytes) -> list[str]:
    """Problems of an ONNX file, one sentence each; none when it can be built on TensorRT 10.3 and later, as far as is
    known without one.
    """
    raise NotImplementedError
