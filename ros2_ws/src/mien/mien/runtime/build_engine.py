"""Builds one engine in a process of its own: python -m mien.runtime.build_engine.

A builder that crashes or takes all memory ends that process, never the node. Its standard input is the engine's key
as one line of JSON, then the ONNX file; on its standard output each line of JSON says how far it is, or what failed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import msgspec

from mien.errors import MienError
from mien.models.cache import cache_folder, make_folder
from mien.runtime.engines import EngineCache, EngineKey, MissingEngineError
from mien.runtime.tensorrt import Progress, build_engine, import_tensorrt, profile_of

_LOWER_PRIORITY = 10
_LINES_KEPT = 20
_AGAIN = "--again"


class Done(msgspec.Struct, frozen=True, tag=True):
    """How far the build is: what is being done, and the share of the whole that is done, 0…1."""

    what: str
    share: float


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Why there is no engine."""

    problem: str
    remedy: str


_decoder = msgspec.json.Decoder(Done | Failed)


class EngineBuild:
    """A build in another process, begun at once.

    Args:
        key: what to build for.
        again: also where a sound engine is in the cache; that one stays until the new one is there.

    Raises:
        MienError: the cache folder cannot be written.
    """

    def __init__(self, key: EngineKey, again: bool = False) -> None:
        self._key = key
        command = [sys.executable, "-m", "mien.runtime.build_engine", *([_AGAIN] if again else [])]
        # In the cache, because -m would find modules in the current folder.
        self._process = subprocess.Popen(
            command,
            cwd=make_folder(cache_folder()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def wait(self, read_onnx: Callable[[], bytes], progress: Progress) -> None:
        """Wait until the engine is in the cache, built by this process or by another one that was first.

        Args:
            read_onnx: gives the file to build from.
            progress: told how far the build is.

        Raises:
            MienError: the build failed, its process ended early, or it was cancelled.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101  both are pipes
        assert stdout is not None  # noqa: S101
        failed: Failed | None = None
        others: deque[str] = deque(maxlen=_LINES_KEPT)
        with self._process:
            with suppress(BrokenPipeError), stdin:  # one that ends early has said why
                stdin.write(msgspec.json.encode(self._key) + b"\n" + read_onnx())
            for line in stdout:
                try:
                    told = _decoder.decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    others.append(line.decode(errors="replace").strip())
                    continue
                if isinstance(told, Done):
                    progress(told.what, told.share)
                else:
                    failed = told
            status = self._process.wait()
        if failed is not None:
            raise MienError(failed.problem, failed.remedy)
        if status != 0:
            raise MienError(
                f"The process that built the engine of the {self._key.network} ended with {_meaning(status)}"
                + (f": {others[-1]}" if others else ""),
                "Free some memory, or choose the backend onnxruntime",
            )

    def cancel(self) -> None:
        """End the build; `wait` raises in the thread that waits."""
        self._process.kill()


def _meaning(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


def main() -> int:
    """Build what standard input asks for; returns the exit status."""
    os.nice(_LOWER_PRIORITY)
    key = msgspec.json.decode(sys.stdin.buffer.readline(), type=EngineKey)
    try:
        _build(key, sys.stdin.buffer.read(), _AGAIN in sys.argv)
    except MienError as error:
        _say(Failed(error.problem, error.remedy))
        return 1
    return 0


def _build(key: EngineKey, onnx: bytes, again: bool) -> None:
    cache = EngineCache()
    _say(Done("waiting for other builds", 0.0))
    with cache.lock():
        if not again and _is_there(cache, key):
            return  # another process was first
        cache.check_room(len(onnx))
        name = f"the {key.network}"
        profile = profile_of(onnx, name, key.largest_batch, (key.input_shape[2], key.input_shape[3]))
        built = build_engine(
            import_tensorrt(), onnx, name, profile, cache.read_timing(key), lambda what, share: _say(Done(what, share))
        )
        cache.store(key, built)


def _is_there(cache: EngineCache, key: EngineKey) -> bool:
    with suppress(MissingEngineError):
        cache.find(key)
        return True
    return False


def _say(what: Done | Failed) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
