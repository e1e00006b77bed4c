"""Work that must not hold up whoever asks for it: a bounded queue and one thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Worker(Generic[Item]):
    """Handles items one after the other in a thread; items that find the queue full are dropped and counted.

    Args:
        name: of the thread.
        handle: what to do with an item; an exception counts as a failure and the next item is taken.
        capacity: how many items may wait.

    Attributes:
        handled: items done.
        dropped: items that found the queue full.
        failed: items whose handling raised an exception.
        problem: text of the latest exception, or None.
    """

    def __init__(self, name: str, handle: Callable[[Item], None], capacity: int) -> None:
        self.handled = self.dropped = self.failed = 0
        self.problem: str | None = None
        self._handle = handle
        self._queue: queue.Queue[Item | None] = queue.Queue(capacity)
        self._thread = threading.Thread(target=self._work, name=name)
        self._thread.start()

    def offer(self, item: Item) -> None:
        """Hand over an item without waiting."""
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Handle what waits, then end the thread; nothing may be offered afterwards."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                self._handle(item)
                self.handled += 1
            except Exception as error:  # noqa: BLE001  a full disk or an odd picture must not end the recording
                self.failed += 1
                self.problem = f"{type(error).__name__}: {error}"
