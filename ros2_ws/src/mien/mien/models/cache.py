"""The user's cache folder: where downloaded models and the bundles made with them are kept."""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path

import platformdirs

from mien.errors import MienError

CACHE_VARIABLE = "MIEN_CACHE"
"""Environment variable that names another cache folder."""


def cache_folder() -> Path:
    """The cache folder; it need not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("mien")


def make_folder(folder: Path) -> Path:
    """Create a folder of the cache with its parents and return it.

    Raises:
        MienError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cache_error(folder, error) from error
    return folder


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that other processes, and this one after a power cut, see all of it or nothing.

    Raises:
        MienError: the disk is full, or the folder cannot be written.
    """
    make_folder(path.parent)
    # Not tempfile: its files are for one user, a robot's cache is often filled by root and read by the nodes' user.
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise cache_error(path, error) from error


def cache_error(path: Path, error: OSError) -> MienError:
    """What to tell the user of an error in the cache folder."""
    if error.errno == errno.ENOSPC:
        return MienError(f"{path} cannot be written: the disk is full", "Free some space and try again")
    return MienError(
        f"{path} cannot be written ({error.strerror})",
        f"Give this user the right to write there, or set {CACHE_VARIABLE} to another folder",
    )
