"""Only the process that a user has started answers Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from trainer.data.deaf import deaf_children


def hears() -> bool:
    """Whether a process that is started now hears Ctrl-C."""
    code = "import signal, sys; sys.exit(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    return subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_children_are_deaf_and_their_parent_is_not() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert hears()
        with deaf_children():
            assert not hears()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_threads_may_start_processes_too() -> None:
    def work() -> int:
        with deaf_children():
            return 7

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == 7
