"""Processes for tests: forks of a server that loads torch once for all tests, so that they start at once."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from trainer.__main__ import main

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.trainer.stages.small", "tests.trainer.shared_loss", "trainer.stages.run"])


def start(function: Callable[..., object], *arguments: Any, said: Path, **environment: str) -> BaseProcess:
    """Call a function of a module in another process, with one thread; what it says goes to a file."""
    child = _CONTEXT.Process(target=_call, args=(function, arguments, said, environment))
    child.start()
    return child


def start_command(*words: object, said: Path) -> BaseProcess:
    """Give a command, the words after `mien-train`, in another process."""
    return start(_command, list(map(str, words)), said=said, **os.environ)


def _command(words: list[str]) -> None:
    sys.argv = ["mien-train", *words]
    main()


def _call(function: Callable[..., object], arguments: tuple[Any, ...], said: Path, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    with said.open("w") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    torch.set_num_threads(1)
    function(*arguments)
