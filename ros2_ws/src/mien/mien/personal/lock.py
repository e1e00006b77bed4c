"""One owner for a store: a lock that the system gives back, and the owner's name for machines that it does not reach.

SQLite's write-ahead log needs memory that all its users share, so a store on a network disk is refused. Where a disk is
shared in a way that cannot be told, the lock file names host and boot of an owner that did not give it back.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import re
from pathlib import Path

import msgspec

from mien.errors import MienError

LOCK_FILE = "owner.lock"
NETWORK_FILE_SYSTEMS = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "gfs2", "glusterfs", "gpfs"),
        *("lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs"),
    }
)
_MOUNTS = Path("/proc/self/mountinfo")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MACHINE_ID = Path("/etc/machine-id")


class Owner(msgspec.Struct, frozen=True):
    """Who holds a store: host, boot of that host, process."""

    host: str
    boot: str
    pid: int


class StoreLock:
    """Holds a store until it is released or the process ends.

    Args:
        folder: of the store; it exists.

    Raises:
        MienError: another process or host holds it, it is on a network disk, or the lock cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        kind = file_system_of(folder, _read(_MOUNTS))
        if kind in NETWORK_FILE_SYSTEMS:
            raise MienError(
                f"{folder} is on a network disk ({kind}), where the people of a robot cannot be kept safely",
                "Choose a people_folder on a disk of this robot",
            )
        path = folder / LOCK_FILE
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                self._take(path)
            except BaseException:
                os.close(self._file)
                raise
        except OSError as error:
            raise _cannot_write(path, error) from error

    def release(self) -> None:
        """Give it back; an empty file says that nobody holds it."""
        os.ftruncate(self._file, 0)
        os.close(self._file)

    def _take(self, path: Path) -> None:
        mine = Owner(f"{platform.node()} {_read(_MACHINE_ID)}".strip(), _read(_BOOT_ID), os.getpid())
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise MienError(
                    f"{path} cannot be locked ({error.strerror})", "Choose a people_folder on a disk of this robot"
                ) from error
            holder = self._holder()
            who = f"process {holder.pid} on {holder.host.partition(' ')[0]}" if holder else "another process"
            raise MienError(
                f"{path.parent} is used by {who}", "Stop it first, or give each robot a people_folder of its own"
            ) from error
        holder = self._holder()
        # Its own host may have lost power; the lock above says that nobody there holds it now. So it does where only
        # the host's name differs, as in containers.
        if holder is not None and holder.host != mine.host and holder.boot != mine.boot:
            raise MienError(
                f"{path.parent} is in use on another machine, {holder.host.partition(' ')[0]}, or was when that "
                "machine stopped",
                f"Give each robot a people_folder of its own; if no other robot uses it, delete {path}",
            )
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, msgspec.json.encode(mine), 0)
        os.fsync(self._file)

    def _holder(self) -> Owner | None:
        try:
            return msgspec.json.decode(os.pread(self._file, 4096, 0), type=Owner)
        except (msgspec.DecodeError, UnicodeDecodeError):  # empty, or not written to its end
            return None


def make_private_folder(folder: Path) -> None:
    """Make the folder of a store where it does not exist, for this user alone.

    Raises:
        MienError: it cannot be made, or belongs to another user.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(path: Path, error: OSError) -> MienError:
    remedy = "Free some space, give this user the right to write there, or choose another people_folder"
    return MienError(f"{path} cannot be written ({error.strerror})", remedy)


def file_system_of(folder: Path, mounts: str) -> str:
    """The type of the file system that a folder is on, as "ext4"; empty when it is not told.

    Args:
        folder: it exists.
        mounts: contents of /proc/self/mountinfo.
    """
    resolved, found = folder.resolve(), (-1, "")
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))  # spaces are \040
        if resolved.is_relative_to(point) and len(point.parts) >= found[0]:
            found = len(point.parts), after.split()[0]
    return found[1]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").strip()  # folders may be called anything
    except OSError:  # not on this system
        return ""
