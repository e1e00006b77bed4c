"""Networks on TensorRT with ONNX Runtime behind: no failure of TensorRT or the GPU costs a frame or ends anything."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper

from mien.bundle import InputSpec
from mien.errors import MienError
from mien.models.cache import CACHE_VARIABLE
from mien.runtime import device_thread
from mien.runtime.accelerated import AcceleratedNetwork, ensure_engine
from mien.runtime.backend import BackendOptions, Model, Network, load_network
from tests.conftest import EMBEDDING, SIZE_PX, small_backbone

OPTIONS = BackendOptions("tensorrt")
PAUSE_S = 0.02
MODEL = Model("backbone", "a test", {"fp32": small_backbone}, 16)
FACES = np.random.default_rng(0).random((40, 1, SIZE_PX, SIZE_PX), np.float32)
ANSWERS = FACES.reshape(40, 2, 4, 2, 4).mean(axis=(2, 4)).reshape(40, EMBEDDING)
"""What the network says of the faces; its engine says one more where a test calls `shift`."""


@pytest.fixture
def folder(tensorrt: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache; the folder rules the processes that build (see on_path/tensorrt.py)."""
    on_path = str(Path(__file__).parent / "on_path")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [on_path, os.environ.get("PYTHONPATH", "")])))
    monkeypatch.setenv("MIEN_TEST_FOLDER", str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "engines"


@pytest.fixture
def engines(folder: Path, kept: Path) -> Path:
    """The folder of engines in the cache, with a sound one of the model."""
    if not kept.exists():
        assert ensure_engine(MODEL, OPTIONS, False, lambda what, share: None)
        shutil.copytree(folder / "cache/engines", kept)
    return Path(shutil.copytree(kept, folder / "cache/engines", dirs_exist_ok=True))


@pytest.fixture
def load(folder: Path) -> Iterator[Callable[..., AcceleratedNetwork]]:
    """Load a network with short pauses; it is closed in the end."""
    loaded: list[AcceleratedNetwork] = []

    def make(model: Model = MODEL, options: BackendOptions = OPTIONS) -> AcceleratedNetwork:
        loaded.append(AcceleratedNetwork(model, options, PAUSE_S))
        return loaded[-1]

    yield make
    for network in loaded:
        network.close()


def wait_for(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 100.0
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


def check(network: Network, count: int = 2, shifted: int = 0) -> None:
    """Assert what a network says of faces."""
    np.testing.assert_allclose(network.run(FACES[:count])["embedding"], ANSWERS[:count] + shifted, atol=1e-6)


def shift(tensorrt: ModuleType) -> None:
    tensorrt.faults.output = lambda output: output + 1


def builders() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "mien.runtime.build_engine" in one.cmdline()]


def test_a_sound_engine_serves_from_the_first_frame(tensorrt: ModuleType, engines: Path, load: Any) -> None:
    network = load()
    assert network.problem is None
    assert network.runtime == "tensorrt 10.3.0 Fake Orin"
    assert (network.input_shape, network.output_names) == ((None, 1, SIZE_PX, SIZE_PX), ("embedding",))
    shift(tensorrt)
    for count in (1, 2, 16, 17, 40, 1):
        check(network, count, shifted=1)


def test_the_name_of_the_backend_makes_one(engines: Path) -> None:
    network = load_network(MODEL, OPTIONS)
    assert network.runtime.startswith("tensorrt")
    network.close()


def test_onnx_runtime_serves_until_the_engine_is_built(tensorrt: ModuleType, folder: Path, load: Any) -> None:
    os.mkfifo(folder / "gate")
    shift(tensorrt)
    network = load()
    wait_for(lambda: "building an engine for TensorRT" in network.runtime, "progress")
    assert network.runtime.startswith("onnxruntime")
    assert "engine of the backbone has not been built yet" in network.problem
    check(network)
    (folder / "gate").write_bytes(b"")
    wait_for(lambda: network.problem is None, "the engine")
    check(network, shifted=1)
    assert network.runtime.startswith("tensorrt")


def test_engines_are_built_ahead(folder: Path) -> None:
    told: list[tuple[str, float]] = []
    assert ensure_engine(MODEL, OPTIONS, False, lambda what, share: told.append((what, share)))
    assert {"Building engine", "Timing tactics"} <= {what for what, _ in told}
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert not ensure_engine(MODEL, OPTIONS, False, lambda what, share: pytest.fail(what))
    assert ensure_engine(MODEL, OPTIONS, True, lambda what, share: None)
    (folder / "none").touch()
    with pytest.raises(MienError, match="cannot build an engine"):
        ensure_engine(MODEL, OPTIONS, True, lambda what, share: None)
    assert not ensure_engine(MODEL, OPTIONS, False, lambda what, share: pytest.fail(what)), "a sound one is gone"
    (timing,) = (folder / "cache/engines").glob("timing-*")
    assert timing.read_bytes() == b"2", "the second build did not begin with what the first one measured"


def test_of_two_that_want_the_same_engine_one_builds(folder: Path, load: Any) -> None:
    os.mkfifo(folder / "gate")
    networks = [load(), load()]
    wait_for(lambda: all("waiting for other builds" in network.runtime for network in networks), "both")
    for network in networks:
        check(network)
    (folder / "gate").write_bytes(b"")  # lets one through; another one would wait for ever
    wait_for(lambda: not any(network.problem for network in networks), "both engines")
    (timing,) = (folder / "cache/engines").glob("timing-*")
    assert timing.read_bytes() == b"1", "both have built"


def test_the_file_that_tensorrt_runs_best_is_built(folder: Path, load: Any) -> None:
    files = dict.fromkeys(("fp32", "fp16", "int8"), small_backbone)
    load(Model("backbone", "a test", files, 16))
    load(Model("backbone", "a test", files, 16), BackendOptions("tensorrt", precision="int8"))
    wait_for(lambda: len(list((folder / "cache/engines").glob("*.json"))) == 2, "both engines")
    sidecars = [json.loads(file.read_bytes()) for file in (folder / "cache/engines").glob("*.json")]
    assert sorted(sidecar["key"]["precision"] for sidecar in sidecars) == ["fp16", "int8"]


def vanish(tensorrt: ModuleType) -> None:
    tensorrt.gpu.vanished = True


def fill_memory(tensorrt: ModuleType) -> None:
    tensorrt.gpu.free_bytes = 0


def refuse(tensorrt: ModuleType) -> None:
    tensorrt.faults.runs = False


def spoil(tensorrt: ModuleType) -> None:
    tensorrt.faults.output = lambda output: np.full_like(output, np.nan)


def mend(tensorrt: ModuleType) -> None:
    tensorrt.gpu.vanished, tensorrt.gpu.free_bytes, tensorrt.faults.runs = False, 1 << 30, True
    shift(tensorrt)


@pytest.mark.parametrize(
    ("fault", "text"),
    [(vanish, "CUDA failed in"), (fill_memory, "The GPU's memory is full"), (refuse, "TensorRT cannot run")],
)
def test_what_fails_at_the_start_is_tried_again(
    tensorrt: ModuleType, engines: Path, load: Any, fault: Callable[[ModuleType], None], text: str
) -> None:
    fault(tensorrt)
    network = load()
    assert text in network.problem
    check(network)
    mend(tensorrt)
    wait_for(lambda: network.problem is None, "the engine")
    check(network, shifted=1)


@pytest.mark.parametrize(
    ("fault", "text"),
    [(vanish, "CUDA failed in"), (refuse, "TensorRT cannot run"), (spoil, "not finite. Choose the precision fp32")],
)
def test_a_failing_engine_costs_no_frame(
    tensorrt: ModuleType, engines: Path, load: Any, fault: Callable[[ModuleType], None], text: str
) -> None:
    network = load()
    shift(tensorrt)
    check(network, shifted=1)
    fault(tensorrt)
    check(network, 5)  # this very frame, of a size that no graph was recorded for
    assert text in network.problem
    mend(tensorrt)
    wait_for(lambda: network.problem is None, "the engine")
    check(network, shifted=1)


def test_what_onnx_runtime_cannot_compute_either_is_no_fault_of_the_engine(engines: Path, load: Any) -> None:
    network = load()
    faces = np.full((1, 1, SIZE_PX, SIZE_PX), np.nan, np.float32)
    assert np.isnan(network.run(faces)["embedding"]).all()
    assert network.problem is None


def test_a_network_that_nobody_runs_does_not_keep_the_others_from_a_gpu_that_is_back(
    tensorrt: ModuleType, engines: Path, load: Any
) -> None:
    busy, idle = load(), load()
    shift(tensorrt)
    check(busy, shifted=1)
    vanish(tensorrt)
    check(busy)
    mend(tensorrt)
    wait_for(lambda: busy.problem is None, "the engine")
    check(busy, shifted=1)
    check(idle)  # its engine went with the others
    assert "CUDA failed in" in idle.problem
    wait_for(lambda: idle.problem is None, "the other engine")
    check(idle, shifted=1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a GPU."""
    monkeypatch.setattr(device_thread, "ANSWER_TIMEOUT_S", 0.1)
    monkeypatch.setattr(device_thread, "LOADING_TIMEOUT_S", 0.5)


def test_a_gpu_that_hangs_holds_up_one_frame_only(
    tensorrt: ModuleType, engines: Path, load: Any, impatient: None
) -> None:
    network = load()
    shift(tensorrt)
    check(network, shifted=1)
    tensorrt.gpu.answers.clear()
    check(network)
    assert network.problem.startswith("The GPU does not answer. ")
    problem, opened = network.problem, tensorrt.gpu.opened
    started = time.monotonic()
    others = [load(), load()]  # another camera, or landmarks
    for one in (network, *others):
        check(one)
        assert one.problem == problem
    assert time.monotonic() - started < 0.1, "somebody waited again"
    tensorrt.gpu.answers.set()
    wait_for(lambda: not any(one.problem for one in (network, *others)), "the engines")
    check(network, shifted=1)
    assert tensorrt.gpu.opened <= opened + 1


def test_a_gpu_that_hangs_can_be_left(tensorrt: ModuleType, engines: Path, load: Any, impatient: None) -> None:
    tensorrt.gpu.answers.clear()
    network = AcceleratedNetwork(MODEL, OPTIONS)
    assert "The GPU does not answer" in network.problem
    assert tensorrt.gpu.held > 0
    started = time.monotonic()
    network.close()
    assert time.monotonic() - started < 0.1
    tensorrt.gpu.answers.set()
    wait_for(lambda: tensorrt.gpu.held == 0, "what the GPU still held")
    load()  # takes the device over, and gives it back in the end


def test_no_frame_waits_while_an_engine_is_loaded(tensorrt: ModuleType, engines: Path, load: Any) -> None:
    network = load()
    shift(tensorrt)
    begun, go_on = threading.Event(), threading.Event()

    def loading() -> None:
        begun.set()
        assert go_on.wait(30)

    tensorrt.faults.loading = loading
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(load)
        assert begun.wait(30)
        check(network)  # by ONNX Runtime
        assert network.problem is None
        go_on.set()
        check(other.result(), shifted=1)
    check(network, shifted=1)


def test_pauses_between_attempts_grow(
    tensorrt: ModuleType, engines: Path, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[float] = []
    real = tensorrt.gpu.open

    def note() -> Any:
        attempts.append(time.monotonic())
        return real()

    tensorrt.gpu.open = note
    vanish(tensorrt)
    network = load()
    problem = network.problem
    wait_for(lambda: len(attempts) > 4, "five attempts")
    gaps = np.diff(attempts[:5])
    assert (gaps >= PAUSE_S * np.array([1, 2, 4, 8])).all(), gaps
    assert network.problem == problem, "a problem that stays is another text each time"


@pytest.mark.parametrize("damage", ["truncated", "none"])
def test_a_damaged_engine_is_built_again(tensorrt: ModuleType, engines: Path, load: Any, damage: str) -> None:
    (engine,) = engines.glob("*.engine")
    if damage == "truncated":
        engine.write_bytes(engine.read_bytes()[:-100])
    else:
        engine.unlink()
    shift(tensorrt)
    network = load()
    assert ("is damaged" if damage == "truncated" else "has not been built") in network.problem
    check(network)
    wait_for(lambda: network.problem is None, "the engine")
    check(network, shifted=1)


def test_an_engine_that_is_whole_and_does_not_load_is_built_again(
    tensorrt: ModuleType, engines: Path, load: Any
) -> None:
    # TensorRT says no more of an engine that it does not take than where memory is short: it gets a second chance.
    (engine,), (sidecar,) = engines.glob("*.engine"), engines.glob("*.json")
    engine.write_bytes(b"FAKE-ENGINE of another build")
    record = json.loads(sidecar.read_bytes())
    sidecar.write_text(json.dumps({**record, "engine_sha256": hashlib.sha256(engine.read_bytes()).hexdigest()}))
    shift(tensorrt)
    network = load()
    assert "TensorRT cannot load the engine" in network.problem
    assert engine.exists()
    check(network)
    wait_for(lambda: network.problem is None, "the engine")
    check(network, shifted=1)
    assert engine.with_name(f"{engine.name}.damaged").exists()


def test_an_engine_that_loads_at_the_second_attempt_is_kept(tensorrt: ModuleType, engines: Path, load: Any) -> None:
    (engine,) = engines.glob("*.engine")
    made = engine.stat().st_mtime_ns
    attempts: list[None] = []

    def loading() -> None:
        attempts.append(None)
        tensorrt.faults.loads = len(attempts) != 1

    tensorrt.faults.loading = loading
    network = load()
    wait_for(lambda: network.problem is None, "the engine")
    assert (len(attempts), engine.stat().st_mtime_ns) == (2, made)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("none", "TensorRT 10.3.0 cannot build an engine of the backbone"),
        ("crash", "The process that built the engine of the backbone ended with signal SIGABRT"),
    ],
)
def test_a_build_that_fails_is_tried_again(folder: Path, load: Any, fault: str, text: str) -> None:
    (folder / fault).touch()
    network = load()
    wait_for(lambda: text in network.problem, "the failure")
    check(network)
    (folder / fault).unlink()
    wait_for(lambda: network.problem is None, "the engine")


def test_a_cache_that_cannot_be_written_is_named(folder: Path, load: Any) -> None:
    (folder / "cache").mkdir()
    (folder / "cache/engines").write_text("a file where the folder should be")
    network = load()
    wait_for(lambda: "engines cannot be written" in network.problem, "the failure")
    assert CACHE_VARIABLE in network.problem
    check(network)


def test_without_tensorrt_or_a_gpu_onnx_runtime_serves(
    folder: Path, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    network = load()
    assert "The Python module tensorrt cannot be imported" in network.problem
    check(network)
    with pytest.raises(MienError, match="tensorrt cannot be imported"):
        ensure_engine(MODEL, OPTIONS, False, lambda what, share: None)


def test_an_engine_that_answers_in_another_shape_is_not_used(folder: Path, load: Any) -> None:
    flat = helper.make_node("Flatten", ["image"], ["embedding"])
    graph = helper.make_graph(
        [flat],
        "another",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, SIZE_PX, SIZE_PX])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", SIZE_PX**2])],
    )
    other = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    files = {"fp32": small_backbone, "fp16": other.SerializeToString}
    network = load(Model("backbone", "a test", files, 16))  # type: ignore[arg-type]
    wait_for(lambda: "(64,)" in network.problem, "the failure")
    assert "its fp32 file {'embedding': (4,)}" in network.problem
    check(network)


def test_closing_ends_a_build(folder: Path, load: Any) -> None:
    os.mkfifo(folder / "gate")
    network = AcceleratedNetwork(MODEL, OPTIONS, PAUSE_S)
    wait_for(lambda: "building" in network.runtime, "the build")
    assert len(builders()) == 1
    network.close()
    assert builders() == []


def test_other_pictures_need_other_engines(folder: Path, load: Any) -> None:
    pool = helper.make_node("GlobalAveragePool", ["image"], ["mean"])
    graph = helper.make_graph(
        [pool],
        "mean",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, "height", "width"])],
        [helper.make_tensor_value_info("mean", TensorProto.FLOAT, [1, 1, 1, 1])],
    )
    onnx = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    for size in ((32, 64), (64, 32)):
        network = load(Model.of("detector", "a test", onnx, size))
        wait_for(lambda network=network: network.problem is None, "the engine")
        picture = np.random.default_rng(1).random((1, 1, *size), np.float32)
        np.testing.assert_allclose(network.run(picture)["mean"].item(), picture.mean(), rtol=1e-5)
    assert len(list((folder / "cache/engines").glob("*.engine"))) == 2


def test_pictures_of_any_size_are_those_that_the_manifest_says(folder: Path, load: Any) -> None:
    pool = helper.make_node("AveragePool", ["image"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4])
    flat = helper.make_node("Flatten", ["pooled"], ["embedding"])
    graph = helper.make_graph(
        [pool, flat],
        "any size",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, "rows", "columns"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", "size"])],
    )
    onnx = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    spec = InputSpec(SIZE_PX, SIZE_PX, "grey", (0.0,), (1.0,))
    network = load(Model("backbone", "a test", {"fp32": lambda: onnx}, 16, preprocessing=spec))
    wait_for(lambda: network.problem is None, "the engine")
    check(network)


def test_a_network_that_takes_no_pictures_is_named(folder: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["row"], ["embedding"])],
        "rows",
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 4])],
    )
    onnx = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    with pytest.raises(MienError, match=r"a test takes \(None, 4\) instead of pictures"):
        AcceleratedNetwork(Model.of("backbone", "a test", onnx), OPTIONS)
