"""A network on the GPU that never fails: TensorRT runs it, and ONNX Runtime whenever TensorRT cannot.

ONNX Runtime's session is loaded first and stays. A sound engine in the cache serves from the first frame on; else one
is built in the background and takes over between two frames. Whatever goes wrong on the way, or later, costs no frame:
ONNX Runtime serves it, `problem` says why, and the engine is tried again after pauses that grow. It also serves while
the GPU is busy with loading another engine.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from mien.bundle import Precision
from mien.errors import MienError
from mien.runtime.backend import Array, BackendOptions, Model, Network, load_network
from mien.runtime.build_engine import EngineBuild
from mien.runtime.device import Gpu
from mien.runtime.device_thread import DeviceBusyError, hold_device, release_device
from mien.runtime.engines import EngineCache, EngineKey, MissingEngineError
from mien.runtime.execution import UnloadableEngineError
from mien.runtime.jetson import l4t_version
from mien.runtime.tensorrt import Engine, Progress, import_tensorrt

FIRST_PAUSE_S = 10.0
"""How long to wait after the first failure before the engine is tried again; each further failure doubles it."""
LONGEST_PAUSE_S = 3600.0


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which engine a model needs here."""

    model: Model
    precision: Precision
    input_shape: tuple[int, ...]
    outputs: tuple[str, ...]

    def read_onnx(self) -> bytes:
        """The file that the engine is built from."""
        return self.model.files[self.precision]()

    def key(self, trt: ModuleType, gpu: Gpu) -> EngineKey:
        """What the engine must be built for, on this machine."""
        return EngineKey(
            network=self.model.name,
            onnx_sha256=hashlib.sha256(self.read_onnx()).hexdigest(),
            precision=self.precision,
            input_shape=self.input_shape,
            largest_batch=self.model.largest_batch,
            outputs=self.outputs,
            preprocessing=self.model.preprocessing,
            tensorrt=trt.__version__,
            cuda_driver=gpu.cuda_driver,
            cuda_runtime=gpu.cuda_runtime,
            gpu=gpu.name,
            compute_capability=gpu.compute_capability,
            l4t=l4t_version(),
        )


def _plan(model: Model, options: BackendOptions, twin: Network) -> _Plan:
    precision = model.choose(*([options.precision] if options.precision else []), "fp16", "fp32")
    if len(twin.input_shape) != 4:
        raise MienError(f"{model.path} takes {twin.input_shape} instead of pictures (n, c, h, w)", "Export it again")
    spec = model.preprocessing
    picture = model.input_size or ((spec.height, spec.width) if spec is not None else (-1, -1))
    free = zip(twin.input_shape, (-1, -1, *picture), strict=True)
    shape = tuple(size if side is None else side for side, size in free)
    return _Plan(model, precision, shape, twin.output_names)


def _load_twin(model: Model, options: BackendOptions) -> Network:
    return load_network(model, replace(options, name="onnxruntime", precision="fp32"))


def ensure_engine(model: Model, options: BackendOptions, again: bool, progress: Progress) -> bool:
    """Build a model's engine ahead unless it is in the cache; returns whether it was built now.

    Args:
        model: the network.
        options: what it will be run with.
        again: build it even so.
        progress: told how far the build is.

    Raises:
        MienError: TensorRT or the GPU cannot be used, or the build fails.
    """
    twin = _load_twin(model, options)
    plan = _plan(model, options, twin)
    twin.close()
    with _held_gpu() as (trt, gpu):
        key = plan.key(trt, gpu)
    if not again:
        with suppress(MissingEngineError):
            EngineCache().find(key)
            return False
    EngineBuild(key, again).wait(plan.read_onnx, progress)
    return True


class AcceleratedNetwork:
    """A network on TensorRT with ONNX Runtime behind it; see `mien.runtime.backend.Network`.

    Args:
        model: the network.
        options: what it is run with.
        first_pause_s: how long to wait after the first failure, seconds.

    Raises:
        MienError: ONNX Runtime cannot load the file.
    """

    def __init__(self, model: Model, options: BackendOptions, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._twin = _load_twin(model, options)
        self._plan = _plan(model, options, self._twin)
        one = np.zeros([abs(side) for side in self._plan.input_shape], np.float32)
        self._expected = _shapes(self._twin.run(one))
        self._pause_s = first_pause_s
        self._key: EngineKey | None = None
        self._engine: Engine | None = None
        self._is_suspect = False
        self._building = ""
        self._problem: str | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._build: EngineBuild | None = None
        self._thread: threading.Thread | None = None
        try:
            self._engine = self._load()
        except MissingEngineError as error:
            self._try_later(error, 0.0)
        except Exception as error:  # noqa: BLE001  TensorRT, CUDA and their bindings raise what they like
            self._try_later(error, self._next_pause_s())

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the input, NCHW; None where the size is free."""
        return self._twin.input_shape

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self._twin.output_names

    @property
    def runtime(self) -> str:
        """What runs it now; while an engine is built, how far that is."""
        engine = self._engine
        return f"{self._twin.runtime}{self._building}" if engine is None else engine.runtime

    @property
    def problem(self) -> str | None:
        """Why ONNX Runtime serves, with the remedy; None while TensorRT does."""
        return self._problem

    def run(self, batch: Array) -> Mapping[str, Array]:
        """Run a batch; where the engine fails or gives what is not finite, ONNX Runtime's answer."""
        engine = self._engine
        if engine is None:
            return self._twin.run(batch)
        try:
            outputs = engine.run(batch)
        except DeviceBusyError:
            return self._twin.run(batch)
        except Exception as error:  # noqa: BLE001  as above
            self._drop(engine, error)
            return self._twin.run(batch)
        if _is_finite(outputs):
            return outputs
        reference = self._twin.run(batch)
        if _is_finite(reference):
            problem = f"The TensorRT engine of the {self._plan.model.name} gives numbers that are not finite"
            self._drop(engine, MienError(problem, "Choose the precision fp32, or the backend onnxruntime"))
        return reference

    def close(self) -> None:
        """End a build, free engine and session."""
        with self._lock:
            self._closed.set()
            if self._build is not None:
                self._build.cancel()
        if self._thread is not None:
            self._thread.join()
        if self._engine is not None:
            self._engine.close()
        self._twin.close()

    def _drop(self, engine: Engine, error: Exception) -> None:
        self._engine = None
        self._try_later(error, self._next_pause_s(), engine)

    def _try_later(self, error: Exception, pause_s: float, failed: Engine | None = None) -> None:
        self._problem = _reason(error)
        self._thread = threading.Thread(target=self._work, args=(pause_s, failed), name="mien-engine", daemon=True)
        self._thread.start()

    def _next_pause_s(self) -> float:
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        return pause_s

    def _work(self, pause_s: float, failed: Engine | None) -> None:
        """Until an engine runs: wait, load or build it."""
        if failed is not None:
            failed.close()
        while not self._closed.wait(pause_s):
            try:
                engine = self._load_or_build()
            except Exception as error:  # noqa: BLE001  as above
                self._problem = _reason(error)
                pause_s = self._next_pause_s()
            else:
                self._problem = None  # first: from the next line on the engine may fail
                self._engine = engine
                return

    def _load_or_build(self) -> Engine:
        with suppress(MissingEngineError):
            return self._load()
        with self._lock:
            if self._closed.is_set() or self._key is None:
                raise MienError("The network was closed", "Load it again")
            self._build = EngineBuild(self._key)
        try:
            self._build.wait(self._plan.read_onnx, self._show)
        finally:
            self._build, self._building = None, ""
        return self._load()

    def _show(self, what: str, share: float) -> None:
        self._building = f"; building an engine for TensorRT: {share:.0%}, {what}"

    def _load(self) -> Engine:
        """The engine from the cache, whose outputs are those of the fp32 file."""
        name = self._plan.model.name
        with _held_gpu() as (trt, gpu), ExitStack() as on_error:
            self._key = self._plan.key(trt, gpu)
            engine = self._open(trt, self._key)
            on_error.callback(engine.close)
            found = engine.output_shapes
            if found != self._expected:
                raise MienError(
                    f"The TensorRT engine of the {name} gives {found}, its fp32 file {self._expected}",
                    "Export the bundle again",
                )
            on_error.pop_all()
        return engine

    def _open(self, trt: ModuleType, key: EngineKey) -> Engine:
        """Load an engine; one that TensorRT does not take twice is no matter of memory, and is built again."""
        cache = EngineCache()
        try:
            engine = Engine(trt, cache.find(key), f"the {key.network}")
        except UnloadableEngineError:
            if self._is_suspect:
                cache.set_aside(key)
            self._is_suspect = not self._is_suspect
            raise
        self._is_suspect = False
        return engine


@contextmanager
def _held_gpu() -> Iterator[tuple[ModuleType, Gpu]]:
    """TensorRT's module, and the GPU, kept open meanwhile."""
    trt, device = import_tensorrt(), hold_device()
    try:
        yield trt, device.call(lambda cuda: cuda.gpu)
    finally:
        release_device(device)


def _shapes(outputs: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    return {name: output.shape[1:] for name, output in outputs.items()}


def _is_finite(outputs: Mapping[str, Array]) -> bool:
    return all(bool(np.isfinite(output).all()) for output in outputs.values())


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, MienError) else f"{type(error).__name__}: {error}"
