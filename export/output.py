"""The folder of a bundle: replaced as a whole or not at all, and only where a bundle was."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from mien.bundle import open_bundle
from mien.errors import MienError
from trainer.data.output import output_errors

_KEY = "[0-9a-f]" * 32


@contextmanager
def new_bundle(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write a bundle into; in the end it takes the place of the bundle that is there.

    What exports to the same place have left that were killed is removed.

    Raises:
        MienError: something else than a bundle is there, or the disk is full or cannot be written. Nothing has changed
            then, nor after any other error.
    """
    _check_is_bundle(folder)
    given, folder = folder, folder.resolve()
    partial, old = (folder.with_name(f".{folder.name}.{kind}-{uuid.uuid4().hex}") for kind in ("new", "old"))
    _remove_leftovers(folder)
    with output_errors(folder):
        partial.mkdir(parents=True)
    lock = _lock(partial)
    try:
        yield partial
        with output_errors(folder):
            if folder.exists():
                folder.rename(old)
            try:
                partial.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
    except MienError as error:  # nobody finds again what lies in `partial`
        raise MienError(error.problem.replace(str(partial), str(given)), error.remedy) from error
    finally:
        if lock is not None:
            os.close(lock)
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    for partial in folder.parent.glob(f".{escape(folder.name)}.new-{_KEY}"):
        lock = _lock(partial)
        if lock is not None:
            shutil.rmtree(partial, ignore_errors=True)
            os.close(lock)
    if folder.exists():  # otherwise the old one may be the only one
        for old in folder.parent.glob(f".{escape(folder.name)}.old-{_KEY}"):
            shutil.rmtree(old, ignore_errors=True)


def _lock(folder: Path) -> int | None:
    """Lock a folder until this process ends; None where another one holds it, or the file system has no locks."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise
        return handle
    return None


def write_file(folder: Path, name: str, data: bytes) -> str:
    """Write a file that lasts through a power cut.

    Returns:
        Its checksum.

    Raises:
        MienError: the disk is full, or the folder cannot be written.
    """
    path = folder / name
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    return hashlib.sha256(data).hexdigest()


def _check_is_bundle(folder: Path) -> None:
    """Refuse to replace what is not a bundle, or holds more than its files."""
    if folder.is_mount():
        raise MienError(f"{folder} is where a disk is mounted and cannot be replaced", "Name a new folder inside it")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    remedy = "Name a new folder, or a bundle's that may be replaced"
    try:
        bundle = open_bundle(folder) if folder.is_dir() else None
    except MienError as error:
        raise MienError(f"{folder} is there and is not a bundle", remedy) from error
    if bundle is None:
        raise MienError(f"{folder} is a file", remedy)
    own = {"manifest.json", *(file.path for file in bundle.files())}
    others = [
        path for path in folder.rglob("*") if not path.is_dir() and path.relative_to(folder).as_posix() not in own
    ]
    if others:
        raise MienError(f"{folder} holds a bundle and something else, as {others[0]}", remedy)
