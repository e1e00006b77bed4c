"""Reading what a bundle holds: a folder or a .zip, which may be damaged or made to do harm."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from mien.errors import MienError

_MOST_BYTES = 1 << 30


def read_from_bundle(bundle: Path, name: str) -> bytes:
    """Read a file of a bundle.

    Args:
        bundle: folder or .zip.
        name: path of the file below it.

    Raises:
        MienError: the name leaves the bundle, or the file is missing, huge, a link out of it or cannot be read.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or any(sign in name for sign in "\\:\0") or ".." in parts:
        raise MienError(
            f"{bundle}: the path {name!r} leaves the bundle",
            "Do not use this bundle; export it again or fetch it from its author",
        )
    try:
        return _read_from_folder(bundle, parts) if bundle.is_dir() else _read_from_zip(bundle, "/".join(parts))
    except (FileNotFoundError, KeyError) as error:
        raise MienError(f"{bundle / name} is missing", "The bundle is incomplete: fetch or export it again") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        reason = error.strerror if isinstance(error, OSError) else error
        raise MienError(f"{bundle / name} cannot be read ({reason})", "Give this user the right to read it") from error


def read_head_file(path: Path) -> bytes:
    """Read a head that a user names, outside the bundle.

    Raises:
        MienError: it is missing or huge, or cannot be read.
    """
    try:
        if not path.is_file():
            raise MienError(f"{path}: no such file", "Give the path of a head.safetensors")
        if path.stat().st_size > _MOST_BYTES:
            raise MienError(f"{path} is larger than {_MOST_BYTES} bytes", "Give the path of a head.safetensors")
        return path.read_bytes()
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror})", "Give this user the right to read it") from error


def _read_from_folder(bundle: Path, parts: tuple[str, ...]) -> bytes:
    file = bundle.joinpath(*parts)
    if not file.resolve().is_relative_to(bundle.resolve()):
        raise MienError(
            f"{file} is a link out of the bundle",
            "Do not use this bundle; export it again or fetch it from its author",
        )
    if file.stat().st_size > _MOST_BYTES:
        raise MienError(f"{file} is larger than {_MOST_BYTES} bytes", "Export the bundle again")
    return file.read_bytes()


def _read_from_zip(bundle: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(bundle) as archive:
            info = archive.getinfo(name)
            if stat.S_ISLNK(info.external_attr >> 16) or info.file_size > _MOST_BYTES:
                raise MienError(f"{bundle}: {name} is a link or too large", "Export the bundle again")
            return archive.read(info)
    except (KeyError, OSError, MienError):
        raise
    except Exception as error:  # whatever zipfile and its decompressors say of damaged or encrypted files
        raise MienError(
            f"{bundle} is neither a folder nor a readable .zip ({error})", "Fetch or export the bundle again"
        ) from error
