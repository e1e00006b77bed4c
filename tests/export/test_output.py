"""The folder that a bundle is written into: what cannot be replaced is said before work begins, by its own name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export.output import new_bundle
from mien.errors import MienError


def test_a_mounted_disk_is_not_replaced() -> None:
    with pytest.raises(MienError, match=r"^/proc is where a disk is mounted.*folder inside"), new_bundle(Path("/proc")):
        raise AssertionError("work has begun")


def test_what_killed_exports_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    export = (
        "import sys, time, pathlib; from export.output import new_bundle\nwith new_bundle(pathlib.Path(sys.argv[1])) "
    )
    export += "as partial: (partial / 'file').touch(); print(partial, flush=True); time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-c", export, folder], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        assert left.is_dir()
        os.kill(process.pid, signal.SIGKILL)
    notes = tmp_path / ".bundle.new-ideas"
    notes.touch()
    with new_bundle(folder) as mine, new_bundle(folder) as other:
        assert sorted(tmp_path.iterdir()) == sorted([mine, other, notes])
    assert sorted(tmp_path.iterdir()) == [notes, folder]


def test_an_error_names_the_folder_that_the_user_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MienError, match=r"^out/head\.safetensors is damaged"), new_bundle(Path("out")) as partial:
        raise MienError(f"{partial / 'head.safetensors'} is damaged", "Write it again")
    assert list(tmp_path.iterdir()) == []
