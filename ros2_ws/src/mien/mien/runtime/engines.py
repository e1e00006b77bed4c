"""Engines that were built on this machine, kept in the cache folder beside what they were built for.

An engine fits one GPU and one version of TensorRT, so nothing is deserialized before every field of its sidecar and
its checksum have been compared. Labels and heads are no part of it: another head never touches an engine.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from mien.bundle import InputSpec, Precision, Sha256
from mien.errors import MienError
from mien.models.cache import CACHE_VARIABLE, cache_error, cache_folder, make_folder, write_atomically
from mien.runtime.tensorrt import Built, Tensor

SIDECAR_VERSION = 1
ENGINES_KEPT = 8
"""Of one network, for different files, precisions and sizes: those used last."""
_SPARE_BYTES = 64 << 20
"""Room that a build needs on the disk beside the engine, which is about as large as its ONNX file."""
_DTYPE = "FLOAT"
"""TensorRT's name for float32, which goes in and comes out whatever the precision inside."""


class MissingEngineError(MienError):
    """There is no engine that may be loaded: it must be built."""


class EngineKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an engine is built for; another value in any field asks for another engine.

    Attributes:
        network: "backbone", "detector", "landmarks" or "identity".
        onnx_sha256: of the file that it is built from.
        precision: of that file.
        input_shape: NCHW; -1 where the number of pictures is free.
        largest_batch: the most pictures in one run, where it is free.
        outputs: names of the outputs in the order of the graph.
        preprocessing: how pixels become its input, where that is known.
        tensorrt: full version.
        cuda_driver: newest CUDA version that the driver knows.
        cuda_runtime: CUDA version of the Python binding.
        gpu: name of the GPU.
        compute_capability: as "8.7".
        l4t: version of a Jetson's Linux; empty elsewhere.
    """

    network: str
    onnx_sha256: Sha256
    precision: Precision
    input_shape: tuple[int, ...]
    largest_batch: int
    outputs: tuple[str, ...]
    preprocessing: InputSpec | None
    tensorrt: str
    cuda_driver: str
    cuda_runtime: str
    gpu: str
    compute_capability: str
    l4t: str


class Sidecar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file beside an engine: what it was built for, its inputs and outputs, and its checksum."""

    version: int
    key: EngineKey
    tensors: tuple[Tensor, ...]
    engine_sha256: Sha256


class EngineCache:
    """The engines of this machine; several processes may use it at once.

    Args:
        folder: where they are kept; None = "engines" in the cache folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or cache_folder() / "engines"

    def find(self, key: EngineKey) -> bytes:
        """The engine for a key, with nothing left to compare before it is deserialized.

        A damaged one is set aside, so that it is built again and can be looked at.

        Raises:
            MissingEngineError: there is none, it is damaged, or it was built for something else; the text says which.
        """
        engine, file = self._paths(key)
        try:
            data, sidecar = engine.read_bytes(), msgspec.json.decode(file.read_bytes(), type=Sidecar)
        except FileNotFoundError:
            raise _not_usable(key, "has not been built yet") from None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self.set_aside(key)
            raise _not_usable(key, f"cannot be read ({error})") from error
        difference = _difference(sidecar, key)
        if difference:
            raise _not_usable(key, f"was built for {difference}")
        if hashlib.sha256(data).hexdigest() != sidecar.engine_sha256:
            self.set_aside(key)
            raise _not_usable(key, "is damaged (wrong checksum)")
        with suppress(OSError):  # a folder that cannot be written
            os.utime(file)  # it is in use
        return data

    def store(self, key: EngineKey, built: Built) -> None:
        """Keep an engine, and what its build measured; readers see the old engine, none, or this one.

        Of its network's engines those longest unused go. To be called while the lock is held.

        Raises:
            MienError: the disk is full, or the folder cannot be written.
        """
        path, file = self._paths(key)
        sidecar = Sidecar(SIDECAR_VERSION, key, built.tensors, hashlib.sha256(built.engine).hexdigest())
        self._make_room(key)
        # In this order: until the new sidecar is there, the old one refuses the new engine.
        write_atomically(path, built.engine)
        write_atomically(file, msgspec.json.format(msgspec.json.encode(sidecar), indent=2) + b"\n")
        write_atomically(self._timing_path(key), built.timing_cache)

    def _make_room(self, key: EngineKey) -> None:
        """Remove what a killed build left, and all but the newest engines, damaged ones with them."""
        used_s: dict[str, float] = {}
        for path in self._folder.glob(f"{key.network}-*"):
            with suppress(OSError):  # another process has renamed it
                name = path.name.partition(".")[0]
                used_s[name] = max(used_s.get(name, 0.0), path.stat().st_mtime)
        used_s.pop(self._paths(key)[0].stem, None)
        old = sorted(used_s, key=used_s.__getitem__)[: 1 - ENGINES_KEPT]
        for pattern in (*(f"{name}.*" for name in old), ".*.*"):
            for path in self._folder.glob(pattern):
                with suppress(OSError):
                    path.unlink()

    def set_aside(self, key: EngineKey) -> None:
        """Rename an engine that turned out bad, so that it is never loaded again."""
        for path in self._paths(key):
            with suppress(OSError):  # a folder that cannot be written keeps it; the checks refuse it every time
                path.replace(path.with_name(f"{path.name}.damaged"))

    def check_room(self, onnx_bytes: int) -> None:
        """Find out before a build of minutes whether its engine can be kept.

        Args:
            onnx_bytes: size of the file that it is built from.

        Raises:
            MienError: the folder cannot be written, or the disk is nearly full.
        """
        folder = make_folder(self._folder)
        if not os.access(folder, os.W_OK):
            raise cache_error(folder, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        free, needed = shutil.disk_usage(folder).free, 2 * onnx_bytes + _SPARE_BYTES
        if free < needed:
            raise MienError(
                f"{folder} has room for {free / 1e6:.0f} MB, an engine may need {needed / 1e6:.0f} MB",
                f"Free some space, or set {CACHE_VARIABLE} to another folder",
            )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Wait until no other process on this machine builds, and keep others waiting.

        The system gives the lock back when a process ends, however it ends.

        Raises:
            MienError: the folder cannot be written.
        """
        path = make_folder(self._folder) / ".lock"
        try:
            file = path.open("wb")
        except OSError as error:
            raise cache_error(path, error) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def read_timing(self, key: EngineKey) -> bytes:
        """What earlier builds with this GPU and TensorRT measured; empty where there was none."""
        try:
            return self._timing_path(key).read_bytes()
        except OSError:
            return b""

    def _paths(self, key: EngineKey) -> tuple[Path, Path]:
        size = "x".join(str(side) for side in key.input_shape[1:])
        name = f"{key.network}-{key.precision}-{size}-{key.onnx_sha256[:12]}"
        return self._folder / f"{name}.engine", self._folder / f"{name}.json"

    def _timing_path(self, key: EngineKey) -> Path:
        machine = "\0".join((key.gpu, key.compute_capability, key.tensorrt, key.cuda_runtime))
        return self._folder / f"timing-{hashlib.sha256(machine.encode()).hexdigest()[:12]}.cache"


def _difference(sidecar: Sidecar, key: EngineKey) -> str:
    """The first thing in which an engine differs from what is needed; "" if nothing does."""
    if sidecar.version != SIDECAR_VERSION:
        return f"another version of mien (sidecar {sidecar.version}, not {SIDECAR_VERSION})"
    for field in EngineKey.__struct_fields__:
        found, wanted = getattr(sidecar.key, field), getattr(key, field)
        if found != wanted:
            return f"{field} {found}, not {wanted}"
    inputs = [tensor for tensor in sidecar.tensors if tensor.is_input]
    names = {tensor.name for tensor in sidecar.tensors if not tensor.is_input}
    dtypes = {tensor.dtype for tensor in sidecar.tensors}
    if (
        len(inputs) == 1
        and _covers(inputs[0].shape, key.input_shape)
        and names == set(key.outputs)
        and dtypes == {_DTYPE}
    ):
        return ""
    found = ", ".join(f"{tensor.name} {tensor.dtype} {tensor.shape}" for tensor in sidecar.tensors)
    return f"the tensors {found}, not one input {key.input_shape} and {', '.join(key.outputs)}, all {_DTYPE}"


def _covers(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(size in (-1, want) for size, want in zip(shape, wanted, strict=True))


def _not_usable(key: EngineKey, why: str) -> MissingEngineError:
    return MissingEngineError(
        f"The TensorRT engine of the {key.network} {why}",
        "It is built in the background while ONNX Runtime serves; to have it ready beforehand, run: mien engine",
    )
