"""`import tensorrt` finds the fake one, and a fake GPU, in processes whose PYTHONPATH has this folder.

The environment variable MIEN_TEST_FOLDER names a folder that rules them: while it has a file `none`, a build gives
nothing; `crash`, the builder crashes; `gate`, a named pipe, it waits until that is opened for writing; `vanished`, the
GPU is gone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[3]))

from mien.runtime import device
from tests.runtime import fake_tensorrt
from tests.runtime.fake_cuda import FakeGpu

FOLDER = Path(os.environ["MIEN_TEST_FOLDER"])


class Builder(fake_tensorrt.Builder):
    def build_serialized_network(self, network: Any, config: Any) -> Any:
        if (FOLDER / "gate").exists():
            (FOLDER / "gate").read_bytes()
        if (FOLDER / "crash").exists():
            os.abort()
        fake_tensorrt.faults.builds = not (FOLDER / "none").exists()
        return super().build_serialized_network(network, config)


class Gpu(FakeGpu):
    @property
    def vanished(self) -> bool:
        return (FOLDER / "vanished").exists()

    @vanished.setter
    def vanished(self, value: bool) -> None:
        assert not value


fake_tensorrt.gpu = Gpu()
fake_tensorrt.Builder = Builder  # type: ignore[misc]
device.open_cuda = lambda: fake_tensorrt.gpu.open()
sys.modules["tensorrt"] = fake_tensorrt
