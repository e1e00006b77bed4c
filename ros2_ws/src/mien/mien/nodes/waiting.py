"""Waiting in a callback for what another thread does, while the executor goes on."""

from __future__ import annotations

import concurrent.futures
from typing import TypeVar

from rclpy.node import Node
from rclpy.task import Future

T = TypeVar("T")


async def result_of(node: Node, asked: concurrent.futures.Future[T]) -> T:
    """Await a result in a coroutine that is a callback of the node; raises what the future raises.

    The callback must belong to a reentrant group, or the node's other callbacks wait, too.
    """
    executor = node.executor
    assert executor is not None  # noqa: S101  it runs this
    answered: Future[None] = Future(executor=executor)

    def wake(_: concurrent.futures.Future[T]) -> None:
        answered.set_result(None)
        # rclpy looks at awaited futures only when something wakes it.
        executor.wake()

    asked.add_done_callback(wake)
    await answered
    return asked.result()
