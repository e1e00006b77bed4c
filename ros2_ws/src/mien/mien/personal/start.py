"""How the processes of personalisation are started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mien.errors import MienError

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Learning takes one core from the camera, not all of them."""


def start_module(module: str, folder: Path, what: str) -> subprocess.Popen[bytes]:
    """Run a module as a process that is asked on its standard input and answers on its standard output.

    Args:
        module: of this package.
        folder: an existing folder that nobody else may write to, as its current one: -m would find modules there.
        what: it does, for people: the process that ...

    Raises:
        MienError: it cannot be started.
    """
    try:
        return subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=folder,
            env={**os.environ, **_ONE_THREAD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    except OSError as error:
        raise MienError(
            f"The process that {what} cannot be started in {folder} ({error.strerror})", "Free some memory"
        ) from error
