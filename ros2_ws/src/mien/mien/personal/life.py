"""One run of the process that owns the store: questions go in, answers come out, and its end is noticed."""

from __future__ import annotations

import itertools
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from mien.errors import MienError
from mien.personal.lock import make_private_folder
from mien.personal.messages import Open, Progress
from mien.personal.start import start_module
from mien.personal.wire import Answered, Asked, Failed, Request, Told, answer_decoder, encode_message, read_message

MAXIMUM_WAITING = 1000
"""Questions without an answer; more are refused at once."""
_MODULE = "mien.personal.process"
_ENDING_S = 10.0

Tell = Callable[[Progress], None]


@dataclass
class _Question:
    future: Future[Any]
    decode: Callable[[msgspec.Raw], Any]
    tell: Tell | None


class Life:
    """The process from its start to its end. For any thread.

    Args:
        opening: the first request; what it cannot open fails all the others.
        on_end: called once, in a thread of this life, when the process has ended and every question has an answer.

    Raises:
        MienError: the folder cannot be made, or the process not be started.

    Attributes:
        opened: the store was opened.
        ended: nothing more is answered.
        started_s: when it began, on the monotonic clock.
    """

    def __init__(self, opening: Open, on_end: Callable[[Life], None]) -> None:
        self.opened = self.ended = False
        self.started_s = time.monotonic()
        self._on_end = on_end
        self._turn, self._numbers = threading.Lock(), itertools.count()
        self._questions: dict[int, _Question] = {}
        self._out: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        folder = Path(opening.folder)
        make_private_folder(folder)
        self._process = start_module(_MODULE, folder, "keeps the people")
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101  both are pipes
        assert stdout is not None  # noqa: S101
        self._opening = self.ask(opening, msgspec.msgpack.Decoder(type(None)).decode)
        self._threads = [
            threading.Thread(target=self._write, args=(stdin,), daemon=True),
            threading.Thread(target=self._read, args=(stdout,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, request: Request, decode: Callable[[msgspec.Raw], Any], tell: Tell | None = None) -> Future[Any]:
        """Ask without waiting.

        Args:
            request: what.
            decode: makes the result of the answer.
            tell: told how far it is; an error in it ends in the future.
        """
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # whoever holds it cannot take back what was asked
        with self._turn:
            if not self.ended and len(self._questions) < MAXIMUM_WAITING:
                number = next(self._numbers)
                message = encode_message(Asked(number, request))
                self._questions[number] = _Question(future, decode, tell)
                self._out.put(message)
                return future
        if self.ended:
            future.set_exception(self._reason())
        else:
            problem = f"{MAXIMUM_WAITING} requests about people wait for an answer already"
            future.set_exception(MienError(problem, "Ask more slowly; nothing of this one was stored"))
        return future

    def close(self) -> None:
        """Let it answer what it was asked, and end it; the last answers may still come in its threads."""
        self._out.put(None)
        try:
            self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_ENDING_S)

    def _write(self, stdin: BinaryIO) -> None:
        try:
            with stdin:
                while (message := self._out.get()) is not None:
                    stdin.write(message)
                    stdin.flush()
        except BrokenPipeError:  # its end is noticed by the other thread
            return

    def _read(self, stdout: BinaryIO) -> None:
        with stdout:
            while (data := read_message(stdout)) is not None:
                self._take(answer_decoder.decode(data))
        self._process.wait()
        with self._turn:
            self.ended = True
            questions = list(self._questions.values())
            self._questions.clear()
        self._out.put(None)
        for question in questions:
            question.future.set_exception(self._reason())
        self._on_end(self)

    def _take(self, answer: Answered | Failed | Told) -> None:
        with self._turn:
            told = isinstance(answer, Told)
            question = self._questions.get(answer.number) if told else self._questions.pop(answer.number, None)
        if question is None:  # one whose `tell` had failed
            return
        try:
            if isinstance(answer, Told):
                if question.tell is not None:
                    question.tell(answer.progress)
            elif isinstance(answer, Failed):
                question.future.set_exception(MienError(answer.problem, answer.remedy))
            else:
                self.opened |= question.future is self._opening
                question.future.set_result(question.decode(answer.result))
        except Exception as error:  # noqa: BLE001  a caller's mistake must not silence the others' answers
            with self._turn:
                self._questions.pop(answer.number, None)
            question.future.set_exception(error)

    def _reason(self) -> MienError:
        """Why there are no answers any more."""
        failure = self._opening.exception() if self._opening.done() else None
        if isinstance(failure, MienError):
            return failure
        status = subprocess.CalledProcessError(self._process.wait(), _MODULE)
        return MienError(
            f"The process that keeps the people ended before it had answered: {status}".rstrip("."),
            "It is started again: ask again",
        )
