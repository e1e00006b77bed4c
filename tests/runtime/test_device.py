"""The GPU's two bindings, over a driver library that computes on the CPU."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mien.errors import MienError
from mien.runtime import device

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with libcuda.so.1."""
    folder = tmp_path_factory.mktemp("driver")
    source = Path(__file__).with_name("fake_driver.c")
    library = ["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(folder / "libcuda.so.1")]
    subprocess.run(["gcc", *library, str(source), "-ldl"], check=True)
    return folder


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    env = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("binding", ["cuda-bindings", "pycuda"])
def test_engines_run_and_give_everything_back(driver: Path, binding: str) -> None:
    if binding == "cuda-bindings":
        pytest.importorskip("cuda.bindings")
    done = run("-m", "tests.runtime.on_fake_driver", binding, LD_LIBRARY_PATH=str(driver))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["right"] == [True] * 12
    assert report["gpu"][:3] == ["Fake Orin", "8.7", "12.6"]
    assert report["gpu"][3].split(".")[0] in ("12", "13")
    assert report["gpu"][4] == 1 << 20
    assert report["binding"].startswith(f"{binding} ")
    # A stream, the context, activations, 2 buffers on each side, and 4 graphs.
    assert report["alive"] == 2 + 1 + 4 + 4
    assert report["memory"].startswith("The GPU's memory is full. Close other programs")
    assert report["half_opened"] == "The GPU's memory is full"
    assert report["left"] == 0


OPEN = """
from mien.errors import MienError
from mien.runtime.device import open_cuda
try:
    open_cuda()
except MienError as error:
    print(error)
"""


def test_without_a_driver_the_error_says_so(tmp_path: Path) -> None:
    pytest.importorskip("cuda.bindings")
    (tmp_path / "libcuda.so.1").touch()  # hides the one of a machine that has a GPU
    done = run("-c", OPEN, LD_LIBRARY_PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("CUDA failed in cuInit (")
    assert "driver" in done.stdout
    assert "Check that the GPU and its driver work" in done.stdout


def test_a_binding_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    (tmp_path / "cuda/bindings").mkdir(parents=True)
    (tmp_path / "cuda/__init__.py").touch()
    (tmp_path / "cuda/bindings/__init__.py").write_text("raise ImportError('compiled for another Python')")
    done = run("-c", f"import sys; sys.modules['pycuda'] = None\n{OPEN}", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("CUDA failed in cuda.bindings (compiled for another Python)")


def test_without_bindings_the_error_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MienError, match=r"Neither pycuda nor cuda\.bindings.*mien\[cuda\].*mien\[pycuda\]"):
        device.open_cuda()
