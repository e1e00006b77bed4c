"""A machine with a GPU, for tests: TensorRT and CUDA that compute on the CPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from mien.runtime import device
from tests.runtime import fake_tensorrt
from tests.runtime.fake_cuda import FakeGpu


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The fake TensorRT, as `import tensorrt` finds it, on a new fake GPU (`.gpu`) and without faults (`.faults`)."""
    monkeypatch.setattr(fake_tensorrt, "gpu", FakeGpu())
    monkeypatch.setattr(fake_tensorrt, "faults", fake_tensorrt.Faults())
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt)
    monkeypatch.setattr(device, "open_cuda", lambda: fake_tensorrt.gpu.open())
    yield fake_tensorrt
    assert fake_tensorrt.gpu.opened == fake_tensorrt.gpu.closed, "the device was not released"
    assert fake_tensorrt.gpu.held == 0, "memory was not freed"
