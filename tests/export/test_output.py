"""The folder that a bundle is written into: what cannot be replaced is said before work begins, by its own name."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.output import new_bundle
from mien.errors import MienError


def test_a_mounted_disk_is_not_replaced() -> None:
    with pytest.raises(MienError, match=r"^/proc is where a disk is mounted.*folder inside"), new_bundle(Path("/proc")):
        raise AssertionError("work has begun")


def test_an_error_names_the_folder_that_the_user_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MienError, match=r"^out/head\.safetensors is damaged"), new_bundle(Path("out")) as partial:
        raise MienError(f"{partial / 'head.safetensors'} is damaged", "Write it again")
    assert list(tmp_path.iterdir()) == []
