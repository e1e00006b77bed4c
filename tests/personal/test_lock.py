"""One owner for a store, on this machine and on others."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mien.errors import MienError
from mien.personal import lock
from mien.personal.lock import LOCK_FILE, Owner, StoreLock, file_system_of

MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/root rw
30 22 0:40 / {0}/robot\\040share rw - nfs4 server:/x rw
31 22 8:2 / {0}/robot rw - xfs /dev/sdb rw
"""


def test_a_store_has_one_owner(tmp_path: Path) -> None:
    first = StoreLock(tmp_path)
    with pytest.raises(MienError, match=r"is used by process \d+ on .*Stop it first"):
        StoreLock(tmp_path)
    first.release()
    assert (tmp_path / LOCK_FILE).read_bytes() == b""
    StoreLock(tmp_path).release()


def leave_behind(folder: Path, owner: Owner) -> None:
    (folder / LOCK_FILE).write_bytes(msgspec.json.encode(owner))


def test_an_owner_on_another_machine_is_believed(tmp_path: Path) -> None:
    leave_behind(tmp_path, Owner("otherrobot 1234", "another-boot", 77))
    with pytest.raises(MienError, match=rf"another machine, otherrobot,.*delete {tmp_path / LOCK_FILE}"):
        StoreLock(tmp_path)
    assert b"otherrobot" in (tmp_path / LOCK_FILE).read_bytes()
    (tmp_path / LOCK_FILE).unlink()
    StoreLock(tmp_path).release()


def test_a_machine_that_lost_power_takes_its_store_back(tmp_path: Path) -> None:
    held = StoreLock(tmp_path)
    mine = msgspec.json.decode((tmp_path / LOCK_FILE).read_bytes(), type=Owner)
    held.release()
    for before in (Owner(mine.host, "the-boot-before", 77), Owner("a-container", mine.boot, 77)):
        leave_behind(tmp_path, before)
        held = StoreLock(tmp_path)
        assert msgspec.json.decode((tmp_path / LOCK_FILE).read_bytes(), type=Owner) == mine
        held.release()
    for damaged in (b'{"host": "cut o', b'{"host": "caf\xe9"}'):
        (tmp_path / LOCK_FILE).write_bytes(damaged)
        StoreLock(tmp_path).release()


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = MOUNTS.format(tmp_path.resolve())
    for name, kind in (("robot share/deep", "nfs4"), ("robot/deep", "xfs"), ("elsewhere", "ext4")):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        assert file_system_of(folder, mounts) == kind
    assert file_system_of(tmp_path, "") == ""
    assert file_system_of(tmp_path, "damaged\nlines - ") == ""


def test_a_network_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "robot share").mkdir()
    (tmp_path / "mounts").write_bytes(
        MOUNTS.format(tmp_path.resolve()).encode() + b"32 22 8:3 / /caf\xe9 rw - ext4 x rw\n"
    )
    monkeypatch.setattr(lock, "_MOUNTS", tmp_path / "mounts")
    with pytest.raises(MienError, match=r"on a network disk \(nfs4\).*on a disk of this robot"):
        StoreLock(tmp_path / "robot share")


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(MienError, match=rf"{tmp_path / LOCK_FILE} cannot be written"):
        StoreLock(tmp_path)
