"""The default bundle: built once from package weights, then found in the cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import uuid
from importlib import resources
from pathlib import Path

import msgspec

from mien.bundle import open_bundle
from mien.errors import MienError
from mien.models.cache import cache_error, cache_folder, make_folder
from mien.models.fetch import fetch
from mien.models.own_landmarks import own_landmarks

_MADE_FROM = (
    *("bundle.py", "expression/circumplex.py", "expression/head.py", "models/build_default_bundle.py"),
    *("models/catalogue.json", "models/mini_xception.py", "models/own_landmarks.py", "models/yunet.py"),
)
"""What decides the bundle's content, beside the card of our landmarks: a change of any gives another folder."""


def default_bundle() -> Path:
    """The folder of the default bundle, verified; the first call fetches the weights and converts them.

    The conversion runs in another process, so that its libraries do not stay in this one's memory. Safe to call from
    several processes at once.

    Raises:
        MienError: weights cannot be fetched, a library of the conversion is missing, or the cache cannot be written.
    """
    folder = cache_folder() / "bundles" / f"default-{_fingerprint()[:12]}"
    if not _is_sound(folder):
        _build(folder)
    return folder


def _fingerprint() -> str:
    result = hashlib.sha256()
    for name in _MADE_FROM:
        result.update(resources.files("mien").joinpath(name).read_bytes())
    result.update(msgspec.json.encode(own_landmarks().card))
    return result.hexdigest()


def _is_sound(folder: Path) -> bool:
    try:
        open_bundle(folder).verify()
    except MienError:
        return False
    return True


def _build(folder: Path) -> None:
    weights = [str(fetch("yunet")), str(fetch("mini_xception"))]
    print("mien: building the default bundle …", file=sys.stderr, flush=True)
    partial = make_folder(folder.with_name(f".{folder.name}.{uuid.uuid4().hex}"))
    try:
        command = [sys.executable, "-m", "mien.models.build_default_bundle", *weights, str(partial)]
        # In the new folder, because -m would find modules in the current one.
        done = subprocess.run(command, cwd=partial, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
            raise MienError(f"The default bundle cannot be built: {reason}", "Mend that, then run: mien models fetch")
        _put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put_in_place(partial: Path, folder: Path) -> None:
    """Rename the finished folder; where another process was first, its bundle is as good."""
    try:
        if folder.exists() and not _is_sound(folder):
            damaged = folder.rename(folder.with_name(f".{folder.name}.{uuid.uuid4().hex}"))
            shutil.rmtree(damaged, ignore_errors=True)
        partial.rename(folder)
    except OSError as error:
        if not _is_sound(folder):
            raise cache_error(folder, error) from error
