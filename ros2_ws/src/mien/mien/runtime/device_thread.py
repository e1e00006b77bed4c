"""The one thread of the process that may touch the GPU.

CUDA contexts belong to threads and ROS calls back from many: every call goes through `DeviceThread`, which retains the
device's primary context when it starts and releases it when its last user has gone.

Where CUDA fails, the context is of no use to anybody any more: the thread frees all engines, releases it at once, and
the next holder gets another thread. A GPU may also never answer: nobody waits for it longer than a limit, and from then
on not at all until it has answered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitedInVainError
from contextlib import ExitStack, contextmanager, suppress
from queue import SimpleQueue
from traceback import clear_frames
from typing import Any, TypeVar

from mien.errors import MienError
from mien.runtime import device
from mien.runtime.cuda_graphs import CudaError
from mien.runtime.device import Cuda

Result = TypeVar("Result")
ANSWER_TIMEOUT_S = 2.0
"""For a frame: one that takes longer is worth nothing any more."""
LOADING_TIMEOUT_S = 60.0
"""For what may take its time, as opening the device and loading an engine."""


class DeviceBusyError(MienError):
    """An engine is being loaded, which no frame should wait for."""


class DeviceThread:
    """The thread that owns the device. None of its methods may be called from the thread itself.

    Args:
        open_device: opens it; called on the thread, as `open_cuda`. What it raises, every call raises.

    Attributes:
        holders: how many hold it.
        engines: what is to be closed, on the thread, where CUDA fails.
    """

    def __init__(self, open_device: Callable[[], Cuda]) -> None:
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._loads = 0
        self._unanswered: Future[Any] | None = None
        self._failure: CudaError | None = None
        self.holders = 0
        self.engines: set[ExitStack] = set()
        # A daemon: a GPU that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="mien-device", daemon=True)
        self._thread.start()
        self._cuda = self._queue(open_device)

    @property
    def is_stuck(self) -> bool:
        """Whether somebody has waited in vain, and still would."""
        return self._unanswered is not None and not self._unanswered.done()

    @property
    def has_failed(self) -> bool:
        """Whether CUDA has failed; every call fails from then on."""
        return self._failure is not None

    def call(self, function: Callable[[Cuda], Result]) -> Result:
        """Run a function on the thread and wait for it; raises what it raises.

        Raises:
            MienError: the GPU does not answer.
        """
        self._check_answers()
        return self._wait(self._submit(function), LOADING_TIMEOUT_S)

    def call_for_frame(self, function: Callable[[Cuda], Result]) -> Result:
        """The same where a frame waits.

        Raises:
            DeviceBusyError: an engine is being loaded.
            MienError: the GPU does not answer.
        """
        self._check_answers()
        with self._lock:
            if self._loads:
                raise DeviceBusyError("The GPU is loading an engine", "Try again when it has done so")
            submitted = self._submit(function)
        return self._wait(submitted, ANSWER_TIMEOUT_S)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Frames do without the GPU meanwhile."""
        with self._lock:
            self._loads += 1
        try:
            yield
        finally:
            with self._lock:
                self._loads -= 1

    def free(self, function: Callable[[Cuda], object]) -> None:
        """Run what frees something and wait for it; where the GPU does not answer, it is done when it does."""
        submitted = self._submit(function)
        if not self.is_stuck:
            with suppress(MienError):  # a device that has gone frees everything itself
                self._wait(submitted, LOADING_TIMEOUT_S)

    def close(self) -> None:
        """Release the device after all that is queued, and end the thread."""
        closed = self._queue(self._close_device)
        self._tasks.put(None)
        self._thread.join(LOADING_TIMEOUT_S)
        if closed.done():
            closed.result()

    def _check_answers(self) -> None:
        if self.is_stuck:
            raise _no_answer()

    def _submit(self, function: Callable[[Cuda], Result]) -> Future[Result]:
        def run() -> Result:
            if self._failure is not None:
                raise MienError(self._failure.problem, self._failure.remedy)
            cuda = self._cuda.result()
            try:
                return function(cuda)
            except BaseException as error:
                clear_frames(error.__traceback__)  # what they hold of TensorRT must end here, and before the device
                if isinstance(error, CudaError):
                    self._give_up(error)
                raise

        return self._queue(run)

    def _give_up(self, failure: CudaError) -> None:
        """On the thread."""
        while self.engines:
            self.engines.pop().close()
        self._close_device()
        self._failure = failure

    def _close_device(self) -> None:
        """On the thread."""
        if self._failure is None and self._cuda.exception() is None:
            with suppress(MienError):  # a device that has gone cannot be released
                self._cuda.result().close()

    def _queue(self, task: Callable[[], Result]) -> Future[Result]:
        future: Future[Result] = Future()

        def settle() -> None:
            try:
                future.set_result(task())
            except BaseException as error:  # noqa: BLE001  raised again where somebody waits
                future.set_exception(error)

        self._tasks.put(settle)
        return future

    def _wait(self, future: Future[Result], timeout_s: float) -> Result:
        try:
            return future.result(timeout_s)
        except WaitedInVainError:
            self._unanswered = future
            raise _no_answer() from None

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
            del task  # what it refers to may be freed before the next one comes


def _no_answer() -> MienError:
    return MienError(
        "The GPU does not answer",
        "If it does not come back, restart the node, then the robot; dmesg may say why, on a PC nvidia-smi",
    )


class _Shared:
    """The process's device thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: DeviceThread | None = None


_shared = _Shared()


def hold_device() -> DeviceThread:
    """The process's device thread, started for the first holder; give it back with `release_device`.

    Raises:
        MienError: the device cannot be opened, or does not answer.
    """
    with _shared.lock:
        if _shared.thread is None or _shared.thread.has_failed:
            _shared.thread = DeviceThread(device.open_cuda)
        thread = _shared.thread
        thread.holders += 1
    try:
        thread.call(lambda _: None)
    except BaseException:
        release_device(thread)
        raise
    return thread


def release_device(thread: DeviceThread) -> None:
    """Give the device thread back; the last holder's release frees the device's context and ends the thread.

    One that does not answer is kept for the next holder instead: another thread would wait for the same GPU.
    """
    with _shared.lock:
        thread.holders -= 1
        if thread.holders == 0 and not thread.is_stuck:
            _shared.thread = None if _shared.thread is thread else _shared.thread
            thread.close()
