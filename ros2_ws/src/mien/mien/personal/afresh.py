"""Learning a head afresh: the gate and the fit, without store or lock; here, or in a process of its own.

That process, `python -m mien.personal.afresh`, gets only the time that nothing else wants. It must not be a thread of
the process that owns the store: while it waits for a core it would hold Python's interpreter lock, and labels would
wait for it. Its messages are those of `mien.personal.wire`, its answers' number is 0. It writes to no file.
"""

from __future__ import annotations

import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mien.errors import MienError
from mien.personal.gate import Decision, decide
from mien.personal.learners import LEARNERS, Tell, find_learner
from mien.personal.messages import Progress
from mien.personal.samples import BaseHead, Samples, Tensors
from mien.personal.start import start_module
from mien.personal.wire import (
    Answered,
    Failed,
    Told,
    answer_decoder,
    array_from_wire,
    array_to_wire,
    encode_message,
    read_message,
    take_output,
)

_MODULE = "mien.personal.afresh"
_TELL_EVERY_S = 0.5
"""How far learning is: thousands of steps a second would keep the node busier than its frames."""
_ASK_EVERY_S = 0.25
_LONGEST_REST_S = 0.05
"""After a step: a neighbour that never rests slows a node's slowest frames by a tenth also where it never runs before
them; they share caches and memory."""

Hear = Callable[[Progress | None], None]
"""Told how far learning is, and now and then None; returns quickly, and may raise `Cancelled`."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be learned afresh.

    Attributes:
        base: where learning is anchored.
        samples: all labelled moments.
        learner: name of what learns.
        before: name of what made the head in use; empty where that is the base head.
        start: where learning goes on from; None: from the base head.
        steps: at most so many; 0: the learner's own default.
    """

    base: BaseHead
    samples: Samples
    learner: str
    before: str
    start: Tensors | None
    steps: int


@dataclass(frozen=True, slots=True)
class Learned:
    """What the gate says, and the head; None where it refuses."""

    decision: Decision
    tensors: Tensors | None


Learn = Callable[[Task, Hear], Learned]


def learn(task: Task, hear: Hear) -> Learned:
    """Judge what the learner makes of the samples, and make it of all of them.

    Raises:
        MienError: there is no such learner, or it cannot learn such a head.
        Cancelled: from `hear`.
    """

    def telling(score: float) -> Tell:
        return lambda step, steps, loss: hear(Progress(step, steps, loss, score))

    learner, before = find_learner(task.learner), LEARNERS.get(task.before)
    decision = decide(learner, task.base, task.samples, before, task.steps, telling(math.nan))
    if not decision.accepted:
        return Learned(decision, None)
    on_step = telling(decision.score_after)
    return Learned(decision, learner.fit(task.base, task.samples, task.start, task.steps, on_step))


def learn_apart(folder: Path, task: Task, hear: Hear) -> Learned:
    """`learn` in a process of its own, which ends with this one; some of the steps are told.

    Args:
        folder: an existing private folder, in which it runs.
        task: what.
        hear: called every quarter of a second at least.

    Raises:
        MienError: as `learn`, or that process could not be started or died.
        Cancelled: from `hear`.
    """
    hear(None)  # what was cancelled while it waited needs no process
    process = start_module(_MODULE, folder, "learns afresh")
    answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    try:
        threading.Thread(target=_exchange, args=(process, encode_message(task), answers), daemon=True).start()
        while True:
            hear(None)
            with suppress(queue.Empty):
                data = answers.get(timeout=_ASK_EVERY_S)
                if data is None:
                    status = subprocess.CalledProcessError(process.returncode, _MODULE)
                    problem = f"The process that learns afresh ended before it was done: {status}".rstrip(".")
                    raise MienError(problem, "Nothing of it was kept; free some memory, and learn again")
                answer = answer_decoder.decode(data)
                if isinstance(answer, Answered):
                    return _learned.decode(answer.result)
                if isinstance(answer, Failed):
                    raise MienError(answer.problem, answer.remedy)
                hear(answer.progress)
    finally:
        process.kill()  # the thread waits for its end, for which a busy machine may have no time for long


def _exchange(process: subprocess.Popen[bytes], message: bytes, answers: queue.SimpleQueue[bytes | None]) -> None:
    assert process.stdin is not None  # noqa: S101  both are pipes
    assert process.stdout is not None  # noqa: S101
    with suppress(BrokenPipeError), process.stdin as stdin:  # that it died its output says
        stdin.write(message)
    with process.stdout as stdout:
        while (data := read_message(stdout)) is not None:
            answers.put(data)
    process.wait()
    answers.put(None)


_task = msgspec.msgpack.Decoder(Task, dec_hook=array_from_wire)
_learned = msgspec.msgpack.Decoder(Learned, dec_hook=array_from_wire)


def main() -> int:
    """Learn what standard input says; returns the exit status."""
    output = take_output()
    told_s, rested_s = -math.inf, time.monotonic()

    def send(message: Answered | Failed | Told) -> None:
        output.write(encode_message(message))
        output.flush()

    def hear(progress: Progress | None) -> None:
        """Tells the first step, the last ones and some between; rests as long as the step took."""
        nonlocal told_s, rested_s
        now_s = time.monotonic()
        if progress is not None and (progress.step == progress.steps or now_s - told_s >= _TELL_EVERY_S):
            told_s = now_s
            send(Told(0, progress))
        time.sleep(min(now_s - rested_s, _LONGEST_REST_S))
        rested_s = time.monotonic()

    data = read_message(sys.stdin.buffer)
    if data is None:
        return 2
    task = _task.decode(data)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # only now: starting shall not take long
    try:
        learned = learn(task, hear)
        send(Answered(0, msgspec.Raw(msgspec.msgpack.encode(learned, enc_hook=array_to_wire))))
    except MienError as error:
        send(Failed(0, error.problem, error.remedy))
    except BrokenPipeError:  # whoever wanted it is no more
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
