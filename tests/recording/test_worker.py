"""The bounded queue with its thread."""

from __future__ import annotations

import threading

from mien.recording.worker import Worker


def test_items_are_handled_in_order_and_none_is_left_at_the_end() -> None:
    handled = []
    worker = Worker("test", handled.append, capacity=1000)
    for number in range(500):
        worker.offer(number)
    worker.close()
    assert handled == list(range(500))
    assert (worker.handled, worker.dropped, worker.failed) == (500, 0, 0)


def test_a_full_queue_drops_without_holding_anybody_up() -> None:
    busy, release, handled = threading.Event(), threading.Event(), []

    def handle(number: int) -> None:
        busy.set()
        assert release.wait(10)
        handled.append(number)

    worker = Worker("test", handle, capacity=2)
    worker.offer(0)
    assert busy.wait(10)
    for number in range(1, 6):
        worker.offer(number)  # would hang here if it waited: nothing is taken until release
    assert worker.dropped == 3
    release.set()
    worker.close()
    assert handled == [0, 1, 2]


def test_a_failure_is_counted_and_named_and_the_next_item_is_handled() -> None:
    handled = []

    def handle(number: int) -> None:
        if number == 1:
            raise OSError("the disk is full")
        handled.append(number)

    worker = Worker("test", handle, capacity=10)
    for number in range(3):
        worker.offer(number)
    worker.close()
    assert handled == [0, 2]
    assert (worker.handled, worker.failed) == (2, 1)
    assert worker.problem == "OSError: the disk is full"
