"""The engine cache: nothing is handed out whose sidecar or checksum differs in anything; trouble is named."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mien.bundle import InputSpec
from mien.errors import MienError
from mien.runtime.engines import ENGINES_KEPT, EngineCache, EngineKey, MissingEngineError
from mien.runtime.tensorrt import Built, Tensor

KEY = EngineKey(
    network="backbone",
    onnx_sha256="a" * 64,
    precision="fp16",
    input_shape=(-1, 3, 48, 64),
    largest_batch=16,
    outputs=("embedding", "feature_map"),
    preprocessing=InputSpec(64, 48, "rgb", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    tensorrt="10.3.0",
    cuda_driver="12.6",
    cuda_runtime="12.6",
    gpu="Orin",
    compute_capability="8.7",
    l4t="36.4.3",
)
TENSORS = (
    Tensor("image", "FLOAT", (-1, 3, 48, 64), True),
    Tensor("embedding", "FLOAT", (-1, 8), False),
    Tensor("feature_map", "FLOAT", (-1, 8, 2, 2), False),
)
CHANGES: dict[str, Any] = {
    "network": "identity",
    "onnx_sha256": "a" * 63 + "b",  # the same file name
    "precision": "int8",
    "input_shape": (1, 3, 48, 64),
    "largest_batch": 8,
    "outputs": ("embedding",),
    "preprocessing": InputSpec(64, 48, "bgr", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "tensorrt": "10.3.0.1",
    "cuda_driver": "12.8",
    "cuda_runtime": "12.2",
    "gpu": "Thor",
    "compute_capability": "11.0",
    "l4t": "36.4.4",
}


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def built(engine: bytes = b"an engine", tensors: tuple[Tensor, ...] = TENSORS, timing: bytes = b"timing") -> Built:
    return Built(engine, timing, tensors)


def files(tmp_path: Path, pattern: str) -> list[Path]:
    return sorted((tmp_path / "engines").glob(pattern))


def rewrite(tmp_path: Path, change: dict[str, Any]) -> None:
    """Change fields of the one sidecar; of its key, where they are named so."""
    (file,) = files(tmp_path, "*.json")
    sidecar = json.loads(file.read_bytes())
    for name, value in change.items():
        (sidecar if name in sidecar else sidecar["key"])[name] = msgspec.to_builtins(value)
    file.write_text(json.dumps(sidecar))


def test_what_was_stored_is_found(cache: EngineCache) -> None:
    cache.store(KEY, built())
    assert cache.find(KEY) == b"an engine"
    cache.store(KEY, built(b"a newer engine"))
    assert cache.find(KEY) == b"a newer engine"


def test_engines_of_different_files_sizes_and_precisions_live_side_by_side(cache: EngineCache) -> None:
    keys = [
        KEY,
        msgspec.structs.replace(KEY, onnx_sha256="b" * 64),
        msgspec.structs.replace(KEY, input_shape=(1, 3, 192, 320)),
        msgspec.structs.replace(KEY, precision="fp32"),
    ]
    for number, key in enumerate(keys):
        tensors = (Tensor("image", "FLOAT", key.input_shape, True), *TENSORS[1:])
        cache.store(key, built(bytes([number]), tensors))
    assert [cache.find(key) for key in keys] == [b"\0", b"\1", b"\2", b"\3"]


def test_every_field_of_the_key_is_tested_here() -> None:
    assert set(CHANGES) == set(EngineKey.__struct_fields__)


@pytest.mark.parametrize("field", CHANGES)
def test_a_difference_in_any_field_asks_for_another_engine(cache: EngineCache, tmp_path: Path, field: str) -> None:
    cache.store(KEY, built())
    with pytest.raises(MissingEngineError):
        cache.find(msgspec.structs.replace(KEY, **{field: CHANGES[field]}))
    assert cache.find(KEY)
    rewrite(tmp_path, {field: CHANGES[field]})
    with pytest.raises(MissingEngineError, match=f"was built for {field} .*, not .*mien engine"):
        cache.find(KEY)


@pytest.mark.parametrize(
    "tensors",
    [
        TENSORS[1:],
        TENSORS[:2],
        (*TENSORS, Tensor("another", "FLOAT", (-1, 3, 48, 64), True)),
        (*TENSORS, Tensor("more", "FLOAT", (-1, 1), False)),
        (Tensor("image", "FLOAT", (-1, 3, 48, 48), True), *TENSORS[1:]),
        (Tensor("image", "FLOAT", (-1, 48, 64), True), *TENSORS[1:]),
        (Tensor("image", "UINT8", (-1, 3, 48, 64), True), *TENSORS[1:]),
        (*TENSORS[:2], Tensor("feature_map", "HALF", (-1, 8, 2, 2), False)),
    ],
)
def test_an_engine_with_other_tensors_is_not_loaded(cache: EngineCache, tensors: tuple[Tensor, ...]) -> None:
    cache.store(KEY, built(tensors=tensors))
    with pytest.raises(MissingEngineError, match="was built for the tensors"):
        cache.find(KEY)


def test_a_sidecar_of_another_version_asks_for_another_engine(cache: EngineCache, tmp_path: Path) -> None:
    cache.store(KEY, built())
    rewrite(tmp_path, {"version": 2})
    with pytest.raises(MissingEngineError, match="another version of mien"):
        cache.find(KEY)


def test_without_an_engine_the_text_says_how_to_get_one(cache: EngineCache) -> None:
    with pytest.raises(MissingEngineError, match=r"engine of the backbone has not been built yet.*run: mien engine"):
        cache.find(KEY)


@pytest.mark.parametrize(
    "damage",
    ["truncated", "flipped", "sidecar", "sidecar_not_json", "sidecar_not_text", "sidecar_too_deep", "engine_sha256"],
)
def test_a_damaged_engine_is_set_aside(cache: EngineCache, tmp_path: Path, damage: str) -> None:
    cache.store(KEY, built(b"an engine"))
    (engine,), (sidecar,) = files(tmp_path, "*.engine"), files(tmp_path, "*.json")
    if damage == "truncated":
        engine.write_bytes(b"an en")
    elif damage == "flipped":
        engine.write_bytes(b"an enginf")
    elif damage == "sidecar":
        rewrite(tmp_path, {"precision": "fp12"})
    elif damage == "sidecar_not_json":
        sidecar.write_bytes(sidecar.read_bytes()[:40])
    elif damage == "sidecar_not_text":
        sidecar.write_bytes(sidecar.read_bytes().replace(b"Orin", b"Or\xe9n"))
    elif damage == "sidecar_too_deep":
        sidecar.write_bytes(b"[" * 100_000)
    else:
        rewrite(tmp_path, {"engine_sha256": "0" * 64})
    with pytest.raises(MissingEngineError, match=r"damaged|cannot be read"):
        cache.find(KEY)
    assert [path.name for path in files(tmp_path, "*")] == [
        f"{engine.name}.damaged",
        f"{sidecar.name}.damaged",
        *(path.name for path in files(tmp_path, "timing-*")),
    ]
    with pytest.raises(MissingEngineError, match="has not been built yet"):
        cache.find(KEY)
    cache.store(KEY, built())
    assert cache.find(KEY) == b"an engine"


def test_an_engine_whose_sidecar_was_never_written_is_not_loaded(cache: EngineCache, tmp_path: Path) -> None:
    cache.store(KEY, built(b"the old engine"))
    (engine,) = files(tmp_path, "*.engine")
    engine.write_bytes(b"the new engine")  # the power went between the two files
    with pytest.raises(MissingEngineError, match="checksum"):
        cache.find(KEY)


def test_engines_longest_unused_make_room_for_a_new_one(cache: EngineCache, tmp_path: Path) -> None:
    keys = [msgspec.structs.replace(KEY, onnx_sha256=f"{number:064x}"[::-1]) for number in range(ENGINES_KEPT + 1)]
    detector = msgspec.structs.replace(KEY, network="detector")
    cache.store(detector, built())
    for age, key in enumerate(keys[:-1]):
        cache.store(key, built())
        for path in files(tmp_path, f"*{key.onnx_sha256[:12]}*"):
            os.utime(path, (1e9 + age, 1e9 + age))
    cache.find(keys[0])  # in use, though it was built first
    cache.set_aside(keys[1])
    cache.store(keys[-1], built())
    for key in (detector, keys[0], *keys[2:]):
        assert cache.find(key)
    assert files(tmp_path, f"*{keys[1].onnx_sha256[:12]}*") == []


def test_what_a_killed_build_left_is_removed(cache: EngineCache, tmp_path: Path) -> None:
    cache.store(KEY, built())
    (engine,) = files(tmp_path, "*.engine")
    engine.with_name(f".{engine.name}.{'0' * 32}").write_bytes(b"half")
    with cache.lock():
        cache.store(KEY, built())
    assert [path.name for path in files(tmp_path, ".*")] == [".lock"]


def test_an_engine_is_found_where_nothing_can_be_written(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.store(KEY, built())

    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    assert cache.find(KEY) == b"an engine"


def test_timing_belongs_to_the_gpu_and_the_tensorrt_that_measured(cache: EngineCache) -> None:
    cache.store(KEY, built(timing=b"measured on Orin"))
    assert cache.read_timing(msgspec.structs.replace(KEY, network="detector", precision="fp32")) == b"measured on Orin"
    for field in ("gpu", "compute_capability", "tensorrt", "cuda_runtime"):
        assert cache.read_timing(msgspec.structs.replace(KEY, **{field: CHANGES[field]})) == b""


def test_a_folder_that_cannot_be_written_is_named_before_a_build(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("a file where the folder should be")
    cache = EngineCache(tmp_path / "engines")
    for use in (lambda: cache.check_room(1), lambda: cache.store(KEY, built()), lambda: cache.lock().__enter__()):
        with pytest.raises(MienError, match=f"{tmp_path}/engines.* cannot be written.*MIEN_CACHE"):
            use()
    with pytest.raises(MissingEngineError):
        cache.find(KEY)


def test_a_full_disk_is_named_before_a_build(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.check_room(1000)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=70_000_000))
    cache.check_room(1_000_000)
    with pytest.raises(MienError, match=r"has room for 70 MB, an engine may need 267 MB.*Free some space"):
        cache.check_room(100_000_000)


def test_one_process_builds_at_a_time(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    reports: Any = context.SimpleQueue()  # written before put returns; a Queue's own thread writes later

    def build(name: str) -> None:
        with EngineCache(tmp_path / "engines").lock():
            reports.put(f"{name} begins")
            cache = EngineCache(tmp_path / "engines")
            for number in range(20):
                cache.store(KEY, built(bytes([number])))
            reports.put(f"{name} ends")

    processes = [context.Process(target=build, args=(name,)) for name in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    told = [reports.get() for _ in range(6)]
    assert [text.split()[0] for text in told[::2]] == [text.split()[0] for text in told[1::2]]
    assert [text.split()[1] for text in told] == ["begins", "ends"] * 3
