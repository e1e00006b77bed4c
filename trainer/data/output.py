"""Folders that long commands write into: one writer at a time, every file whole or not there, errors that help."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.errors import MienError


@contextmanager
def sole_writer(folder: Path, wait: bool = False) -> Iterator[None]:
    """Make the folder and keep other processes from writing into it; the system ends this with the process.

    Args:
        folder: to write into.
        wait: for another process to end its work, instead of refusing.

    Raises:
        MienError: another process is writing there, or the folder cannot be made.
    """
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            raise MienError(
                f"{folder}: another process is writing there", "Wait until it has ended, or name another folder"
            ) from error
        yield


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; what is there in the end takes the path's place in one step.

    Raises:
        MienError: the disk is full, or the folder cannot be written. Nothing has changed then.
    """
    partial = path.with_name(f".{path.name}.partial")
    with output_errors(path):
        try:
            yield partial
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors in writing a path into MienErrors."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise MienError(
                f"{path} cannot be written: the disk is full",
                "Free some space and give the same command again: it goes on where it stopped",
            ) from error
        raise MienError(f"{path} cannot be written ({error.strerror or error})", "Name a folder of your own") from error
