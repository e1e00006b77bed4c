"""Owns a robot's people: python -m mien.personal.process.

Runs `People` beside the nodes with a lower priority, so that neither learning nor the disk ever delays a frame. It is
asked on its standard input, answers on its standard output (`mien.personal.wire`), and ends with its input.
Requests are done one after another; labels that have come together are learned together; `personalise` learns beside
them in yet another process (`mien.personal.afresh`), for which a thread of this one waits.
"""

from __future__ import annotations

import math
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import safetensors.numpy

from mien.errors import MienError
from mien.personal.afresh import learn_apart
from mien.personal.messages import (
    AddIdentity,
    AddLabel,
    Cancel,
    Enroll,
    Export,
    Forget,
    Heads,
    Identities,
    ListPeople,
    Open,
    Outcome,
    Personalise,
    Problems,
    Progress,
    Relabel,
    RememberSatisfaction,
    Rollback,
    StoredHead,
)
from mien.personal.people import People
from mien.personal.samples import BaseHead, Cancelled
from mien.personal.wire import Answered, Asked, Failed, Told, asked_decoder, encode_message, read_message, take_output

_LOWER_PRIORITY = 10
_MOST_TOGETHER = 256
"""Requests that are taken from the queue at once."""


class _Answers:
    """The way back, for any thread."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._turn = file, threading.Lock()

    def send(self, message: Answered | Failed | Told) -> None:
        with self._turn:
            self._file.write(encode_message(message))
            self._file.flush()

    def give(self, number: int, result: Any) -> None:
        if isinstance(result, MienError):
            self.send(Failed(number, result.problem, result.remedy))
        else:
            self.send(Answered(number, msgspec.Raw(msgspec.msgpack.encode(result))))


class _Service:
    """Answers requests until there are no more."""

    def __init__(self, people: People, answers: _Answers) -> None:
        self._people, self._answers = people, answers
        self._learning = ThreadPoolExecutor(1, "personalise")
        self._order = threading.Lock()  # heads are told in the order in which they came into use
        self._cancels: dict[int, tuple[str, threading.Event]] = {}

    def run(self, asked: queue.Queue[Asked | None]) -> None:
        ended = False
        while not ended:
            together = [asked.get()]
            while len(together) < _MOST_TOGETHER and not asked.empty():
                together.append(asked.get())
            ended = None in together
            requests = [one for one in together if one is not None]
            for are_labels, group in groupby(requests, lambda one: isinstance(one.request, AddLabel)):
                if are_labels:
                    self._add_labels(list(group))
                else:
                    for one in group:
                        self._answer(one)
        for _, event in list(self._cancels.values()):
            event.set()
        self._learning.shutdown()

    def _add_labels(self, asked: list[Asked]) -> None:
        labels = [one.request for one in asked if isinstance(one.request, AddLabel)]
        with self._order:
            results = _attempt(lambda: self._people.add_labels(labels))
            for i, one in enumerate(asked):
                self._answers.give(one.number, results if isinstance(results, MienError) else results[i])

    def _answer(self, asked: Asked) -> None:
        request = asked.request
        if isinstance(request, Personalise):
            event = threading.Event()
            self._cancels[asked.number] = request.run_id, event
            self._learning.submit(self._personalise, asked.number, request, event)
        else:
            with self._order:
                self._answers.give(asked.number, _attempt(lambda: self._do(request)))

    def _do(self, request: Any) -> Any:
        people = self._people
        actions: dict[type, Callable[[], Any]] = {
            Enroll: lambda: people.enroll(request),
            AddIdentity: lambda: people.add_identity(request.person_id, request.embedding),
            Relabel: lambda: people.relabel(request.sample_id, request.label),
            Cancel: lambda: self._cancel(request.run_id),
            Rollback: lambda: people.rollback(request.person_id, request.version),
            Forget: lambda: people.forget(request.person_id),
            Export: lambda: str(people.export(request.person_id)),
            ListPeople: people.list_people,
            Heads: people.heads,
            Identities: people.identities,
            Problems: people.problems,
            RememberSatisfaction: lambda: people.remember_satisfaction(request),
        }
        return actions[type(request)]()

    def _cancel(self, run_id: str) -> None:
        for which, event in list(self._cancels.values()):
            if which == run_id:
                event.set()

    def _personalise(self, number: int, request: Personalise, event: threading.Event) -> None:
        def tell(progress: Progress) -> None:
            self._answers.send(Told(number, progress))

        def learn() -> Outcome:
            try:
                return self._people.personalise(request, tell, event.is_set)
            except Cancelled:
                nothing = StoredHead(request.person_id, 0, b"")
                return Outcome(False, "Cancelled: nothing of it was kept", nothing, 0, math.nan, math.nan, 0.0)

        result = _attempt(learn)
        del self._cancels[number]
        with self._order:
            if isinstance(result, Outcome):  # labels may have changed the head since
                result = msgspec.structs.replace(result, head=self._people.head(request.person_id))
            self._answers.give(number, result)


def _attempt(act: Callable[[], Any]) -> Any:
    """What an action gives, or a MienError."""
    try:
        return act()
    except MienError as error:
        return error
    except Exception as error:  # noqa: BLE001  a mistake in one request must not take the others along
        print(type(error).__name__, file=sys.stderr)  # not its text, which may name somebody
        traceback.print_tb(error.__traceback__)
        return MienError(f"A request failed unexpectedly ({type(error).__name__})", "Report it with the log")


def _open(request: Open) -> People:
    base = BaseHead(
        request.spec,
        safetensors.numpy.load(request.tensors),
        request.labels,
        request.embedding_size,
        request.affect_range,
    )
    folder = Path(request.folder)
    learn = partial(learn_apart, folder)
    return People(folder, base, request.embedding_id, request.identity_id, request.learner, learn)


def _read(file: BinaryIO) -> Asked | None:
    data = read_message(file)
    return None if data is None else asked_decoder.decode(data)


def _read_all(file: BinaryIO, asked: queue.Queue[Asked | None]) -> None:
    try:
        while (one := _read(file)) is not None:
            asked.put(one)
    finally:
        asked.put(None)


def main() -> int:
    """Answer what standard input asks; returns the exit status."""
    with suppress(PermissionError):  # where the node is idle's equal, so may this be
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # the node may run in real time: this must not
    os.nice(_LOWER_PRIORITY)
    os.umask(0o077)  # what is stored here is nobody else's business
    for number in (signal.SIGINT, signal.SIGTERM):  # they go to the node's whole group; the node says when to end
        signal.signal(number, signal.SIG_IGN)
    answers = _Answers(take_output())
    first = _read(sys.stdin.buffer)
    if first is None or not isinstance(first.request, Open):
        return 2
    try:
        people = _open(first.request)
    except MienError as error:
        answers.give(first.number, error)
        return 1
    answers.give(first.number, None)
    asked: queue.Queue[Asked | None] = queue.Queue()
    threading.Thread(target=_read_all, args=(sys.stdin.buffer, asked), daemon=True).start()
    try:
        _Service(people, answers).run(asked)
    except BrokenPipeError:  # nobody listens any more
        return 1
    finally:
        people.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
