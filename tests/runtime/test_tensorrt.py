"""Building and running engines, on a TensorRT and a GPU that compute on the CPU."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper

from mien.errors import MienError
from mien.runtime import device
from mien.runtime.device_thread import hold_device, release_device
from mien.runtime.execution import WARM_PICTURES
from mien.runtime.tensorrt import Built, Engine, Profile, build_engine, import_tensorrt, profile_of
from tests.conftest import SIZE_PX, small_backbone

LARGEST = WARM_PICTURES + 2
PROFILE = Profile("image", (1, 1, SIZE_PX, SIZE_PX), (2, 1, SIZE_PX, SIZE_PX), (LARGEST, 1, SIZE_PX, SIZE_PX))


def build(trt: ModuleType, model: bytes | None = None, timing_cache: bytes = b"") -> Built:
    return build_engine(trt, model or small_backbone(), "the backbone", PROFILE, timing_cache, lambda *_: None)


def load(trt: ModuleType) -> Engine:
    return Engine(trt, build(trt).engine, "the backbone")


def pictures(number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((number, 1, SIZE_PX, SIZE_PX), np.float32)


def quadrants(batch: np.ndarray) -> np.ndarray:
    """What the small backbone computes."""
    half = SIZE_PX // 2
    return batch.reshape(len(batch), 2, half, 2, half).mean((2, 4)).reshape(len(batch), 4)


def fixed_model(pictures: int) -> bytes:
    """A network with a batch of its own and two outputs: the picture's square, and its sum over columns."""
    shape = [pictures, 1, 4, 6]
    nodes = [
        helper.make_node("Mul", ["input", "input"], ["square"]),
        helper.make_node("ReduceSum", ["input"], ["rows"], keepdims=0, noop_with_empty_axes=0),
    ]
    nodes[1].input.append("axes")
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [3])
    outputs = [("square", shape), ("rows", shape[:3])]
    graph = helper.make_graph(
        nodes,
        "fixed",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in outputs],
        [axes],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


# ---- profiles


def test_a_free_batch_gets_a_profile() -> None:
    found = profile_of(small_backbone(), "the backbone", largest_batch=16)
    assert found == Profile("image", (1, 1, 8, 8), (2, 1, 8, 8), (16, 1, 8, 8))
    assert profile_of(fixed_model(1), "the network", largest_batch=16) is None


def test_a_free_size_must_be_said() -> None:
    value = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "height", "width"])
    graph = helper.make_graph([helper.make_node("Relu", ["input"], ["output"])], "free", [value], [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString()
    shape = (1, 3, 96, 160)
    assert profile_of(model, "the detector", 1, (96, 160)) == Profile("input", shape, shape, shape)
    with pytest.raises(MienError, match=r"the detector takes pictures of any size.*Say which"):
        profile_of(model, "the detector", 1)


# ---- building


def test_a_build_says_what_it_made_and_how_far_it_is(tensorrt: ModuleType) -> None:
    told: list[tuple[str, float]] = []
    built = build_engine(
        tensorrt, small_backbone(), "the backbone", PROFILE, b"", lambda what, done: told.append((what, done))
    )
    assert [(one.name, one.dtype, one.shape, one.is_input) for one in built.tensors] == [
        ("image", "FLOAT", (-1, 1, SIZE_PX, SIZE_PX), True),
        ("embedding", "FLOAT", (-1, 4), False),
    ]
    assert [done for _, done in told] == [0.5, 0.625, 0.75, 0.875, 1.0, 1.0]
    assert told[1][0] == "Timing tactics"


def test_the_timing_cache_is_taken_up_and_a_damaged_one_is_not(tensorrt: ModuleType) -> None:
    first = build(tensorrt).timing_cache
    assert build(tensorrt, timing_cache=first).timing_cache == b"2"
    assert build(tensorrt, timing_cache=b"damaged").timing_cache == b"1"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("builder_starts", "its builder does not start"),
        ("parses", "Sparkle sparkle_1: no importer registered for op: Sparkle"),
        ("builds", "the build gave no engine: Error Code 10: could not find any implementation"),
    ],
)
def test_a_failed_build_says_what_tensorrt_said(tensorrt: ModuleType, fault: str, said: str) -> None:
    setattr(tensorrt.faults, fault, False)
    with pytest.raises(MienError) as caught:
        build(tensorrt)
    assert str(caught.value).startswith("TensorRT 10.3.0 cannot build an engine of the backbone")
    assert said in str(caught.value)
    tensorrt.faults.builds = tensorrt.faults.parses = tensorrt.faults.builder_starts = True
    build(tensorrt)  # and the next one is not told of it


def test_shapes_in_the_wrong_order_are_refused(tensorrt: ModuleType) -> None:
    wrong = Profile("image", PROFILE.largest, PROFILE.usual, PROFILE.smallest)
    with pytest.raises(MienError, match="does not take the shapes"):
        build_engine(tensorrt, small_backbone(), "the backbone", wrong, b"", lambda *_: None)


def test_a_closed_pipe_ends_the_build(tensorrt: ModuleType) -> None:
    def tell(what: str, done: float) -> None:
        raise BrokenPipeError

    with pytest.raises(MienError, match="the build gave no engine"):
        build_engine(tensorrt, small_backbone(), "the backbone", PROFILE, b"", tell)


def test_without_tensorrt_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    with pytest.raises(MienError, match=r"On a Jetson: .*python3-libnvinfer.*mien\[tensorrt\]"):
        import_tensorrt()


# ---- running


def test_an_engine_computes_what_the_file_says(tensorrt: ModuleType) -> None:
    engine = load(tensorrt)
    try:
        assert engine.input_shape == (None, 1, SIZE_PX, SIZE_PX)
        assert engine.output_shapes == {"embedding": (4,)}
        assert engine.runtime == "tensorrt 10.3.0 Fake Orin"
        for number in (1, 3, LARGEST, 3, 1, 2 * LARGEST + 1):
            batch = pictures(number, seed=number)
            found = engine.run(batch)["embedding"]
            np.testing.assert_allclose(found, quadrants(batch), atol=1e-6)
        before = found.copy()
        engine.run(pictures(LARGEST, seed=9))
        np.testing.assert_array_equal(found, before)  # results are the caller's own
        assert engine.run(pictures(0))["embedding"].shape == (0, 4)
    finally:
        engine.close()


def test_a_fixed_batch_runs_picture_by_picture(tensorrt: ModuleType) -> None:
    built = build_engine(tensorrt, fixed_model(1), "the network", None, b"", lambda *_: None)
    engine = Engine(tensorrt, built.engine, "the network")
    batch = np.random.default_rng(0).random((3, 1, 4, 6), np.float32)
    try:
        found = engine.run(batch)
        np.testing.assert_array_equal(found["square"], batch * batch)
        np.testing.assert_allclose(found["rows"], batch.sum(3), rtol=1e-6)
        with pytest.raises(MienError, match=r"takes \(1, 1, 4, 6\), not \(1, 1, 6, 4\)"):
            engine.run(np.zeros((1, 1, 6, 4), np.float32))
    finally:
        engine.close()


def test_each_batch_size_is_recorded_once_and_launched_from_then_on(tensorrt: ModuleType) -> None:
    engine = load(tensorrt)
    try:
        contexts = len(tensorrt.contexts)
        for number in [*range(1, WARM_PICTURES + 1)] * 2:
            engine.run(pictures(number))
        assert tensorrt.gpu.launches == 2 * WARM_PICTURES, "a frame waited for a graph"
        assert len(tensorrt.contexts) == contexts, "a frame waited for a context"
        for _ in range(3):
            engine.run(pictures(LARGEST))
        assert tensorrt.gpu.launches == 2 * WARM_PICTURES + 2
        assert len(tensorrt.gpu.graphs) == WARM_PICTURES + 1
    finally:
        engine.close()


@pytest.mark.parametrize("where", ["begin", "within"])
def test_what_cannot_be_recorded_runs_without(
    tensorrt: ModuleType, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensorrt.gpu.records = where != "begin"
    if where == "within":
        run = tensorrt.IExecutionContext.execute_async_v3
        monkeypatch.setattr(
            tensorrt.IExecutionContext,
            "execute_async_v3",
            lambda self, stream: tensorrt.gpu.recording is None and run(self, stream),
        )
    engine = load(tensorrt)
    try:
        batch = pictures(2)
        for _ in range(3):
            np.testing.assert_allclose(engine.run(batch)["embedding"], quadrants(batch), atol=1e-6)
        assert tensorrt.gpu.launches == 0
        assert not tensorrt.gpu.graphs
    finally:
        engine.close()


@pytest.mark.timeout(300)
def test_ten_thousand_mixed_runs_of_three_threads_neither_leak_nor_mix(tensorrt: ModuleType) -> None:
    engines = [load(tensorrt), load(tensorrt)]
    wrong: list[str] = []
    process, sizes_mb, held = psutil.Process(), [], []

    def work(seed: int, runs: int) -> None:
        random = np.random.default_rng(seed)
        for turn in range(runs):
            batch = random.random((int(random.integers(1, LARGEST + 3)), 1, SIZE_PX, SIZE_PX), np.float32)
            found = engines[(turn + seed) % 2].run(batch)["embedding"]
            if not np.allclose(found, quadrants(batch), atol=1e-5):
                wrong.append(f"thread {seed}, run {turn}")

    def all_threads(runs: int) -> None:
        with ThreadPoolExecutor(3) as threads:
            for done in [threads.submit(work, seed, runs) for seed in range(3)]:
                done.result()

    try:
        all_threads(100)  # every size has its context and graph
        for _ in range(5):
            all_threads(650)
            gc.collect()
            sizes_mb.append(process.memory_info().rss / 2**20)
            held.append((tensorrt.gpu.held, len(tensorrt.contexts)))
    finally:
        for engine in engines:
            engine.close()
    assert wrong == []
    assert len(set(held)) == 1
    slope_mb = np.polyfit(range(len(sizes_mb)), sizes_mb, 1)[0]
    assert slope_mb < 1, f"memory grows by {slope_mb:.1f} MB in 1950 runs: {sizes_mb}"


# ---- failures


def test_a_truncated_engine_is_refused(tensorrt: ModuleType) -> None:
    engine = build(tensorrt).engine
    with pytest.raises(MienError, match=r"backbone.*cannot load the engine: Error Code 1: Serialization.*Build"):
        Engine(tensorrt, engine[:-10], "the backbone")


def test_out_of_memory_leaves_nothing_behind(tensorrt: ModuleType) -> None:
    tensorrt.gpu.free_bytes = 1200  # enough for the activations, not for the pictures
    engine = build(tensorrt).engine
    with pytest.raises(MienError, match="memory is full"):
        Engine(tensorrt, engine, "the backbone")
    assert tensorrt.gpu.held == 0
    tensorrt.gpu.free_bytes = 1 << 20
    tensorrt.faults.has_context_memory = False
    with pytest.raises(MienError, match="cannot make an execution context"):
        Engine(tensorrt, engine, "the backbone")
    assert tensorrt.gpu.held == 0
    assert tensorrt.gpu.free_bytes == 1 << 20


def test_a_run_that_fails_says_so_and_the_next_one_works(tensorrt: ModuleType) -> None:
    engine = load(tensorrt)
    try:
        tensorrt.faults.runs = False
        with pytest.raises(MienError, match="cannot run"):
            engine.run(pictures(LARGEST))
        tensorrt.faults.runs = True
        batch = pictures(LARGEST)
        np.testing.assert_allclose(engine.run(batch)["embedding"], quadrants(batch), atol=1e-6)
    finally:
        engine.close()


def test_a_vanished_device_fails_every_run_and_can_still_be_closed(tensorrt: ModuleType) -> None:
    engine = load(tensorrt)
    engine.run(pictures(1))
    tensorrt.gpu.vanished = True
    for _ in range(2):
        with pytest.raises(MienError, match="unspecified launch failure"):
            engine.run(pictures(1))
    engine.close()
    tensorrt.gpu.vanished = False
    again = load(tensorrt)  # a new context on the device that has come back
    again.run(pictures(1))
    again.close()
    assert tensorrt.gpu.opened == 2


def test_nothing_of_tensorrt_outlives_the_device_in_an_error(tensorrt: ModuleType) -> None:
    engine = load(tensorrt)
    tensorrt.gpu.vanished = True
    with pytest.raises(MienError) as caught:
        engine.run(pictures(LARGEST))
    assert caught.value.__traceback__ is not None
    assert tensorrt.gpu.closed == 1
    assert len(tensorrt.contexts) == 0
    engine.close()


def test_half_precision_inputs_are_refused(tensorrt: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt.ICudaEngine, "get_tensor_dtype", lambda self, name: tensorrt.DataType.HALF)
    with pytest.raises(MienError, match="image is not float32"):
        load(tensorrt)


# ---- the device's thread


def test_all_engines_share_one_device_which_the_last_one_releases(tensorrt: ModuleType) -> None:
    first, second = load(tensorrt), load(tensorrt)
    first.close()
    assert (tensorrt.gpu.opened, tensorrt.gpu.closed) == (1, 0)
    second.close()
    assert (tensorrt.gpu.opened, tensorrt.gpu.closed) == (1, 1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mien-device")]


def test_a_binding_that_does_not_work_leaves_no_thread_behind(
    tensorrt: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("compiled for another Python")

    monkeypatch.setattr(device, "open_cuda", fail)
    with pytest.raises(RuntimeError, match="another Python"):
        hold_device()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mien-device")]


def test_a_device_that_does_not_open_is_tried_again(tensorrt: ModuleType) -> None:
    tensorrt.gpu.vanished = True
    with pytest.raises(MienError, match="CUDA failed"):
        hold_device()
    tensorrt.gpu.vanished = False
    thread = hold_device()
    assert thread.call(lambda cuda: cuda.gpu.name) == "Fake Orin"
    release_device(thread)
