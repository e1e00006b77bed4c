"""Folders that long commands write into: one writer at a time, every file whole or not there, errors that help."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.errors import MienError

_AGAIN = "give the same command again"
"""Whether it goes on where it stopped, or begins anew, the command's own help says."""


@contextmanager
def sole_writer(folder: Path, wait: bool = False) -> Iterator[None]:
    """Make the folder and keep other processes from writing into it; the system ends this with the process.

    Where an error ends it, a folder that was not there before, and holds nothing, is removed.

    Args:
        folder: to write into.
        wait: for another process to end its work, instead of refusing.

    Raises:
        MienError: another process is writing there, or the folder cannot be made.
    """
    was_there = folder.exists()
    with _locked(folder, wait) as lock:
        try:
            yield
        except BaseException:
            if not was_there and [path.name for path in folder.iterdir()] == [lock.name]:
                lock.unlink()
                folder.rmdir()
            raise


@contextmanager
def _locked(folder: Path, wait: bool) -> Iterator[Path]:
    path = folder / ".lock"
    while True:
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = path.open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:
                raise MienError(
                    f"{folder}: another process is writing there", "Wait until it has ended, or name another folder"
                ) from error
            # Who removes a folder that was not needed removes the lock with it: then this one locks nothing.
            if path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                yield path
                return


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
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MienError(
                f"{path} cannot be written: the disk is full, or this user's share of it",
                f"Free some space and {_AGAIN}",
            ) from error
        if error.errno == errno.EFBIG:
            raise MienError(
                f"{path} cannot be written: it becomes larger than files may be here",
                f"Raise the limit (ulimit -f), or choose a file system for larger files, and {_AGAIN}",
            ) from error
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            raise MienError(
                f"{path} cannot be made: it, or what it is to lie in, is a file", "Name another folder"
            ) from error
        raise MienError(f"{path} cannot be written ({error.strerror or error})", "Name a folder of your own") from error
