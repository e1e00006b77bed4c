"""What a robot remembers of its people, on its disk: an SQLite database and the files exported from it.

A committed row survives the death of the process and, as far as the disk keeps its promises, of the power. Deleted rows
are overwritten; sectors that a flash disk has put aside are beyond reach. Ids appear in names of files and in
messages, names of people do not.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mien.errors import MienError
from mien.personal.lock import StoreLock, make_private_folder
from mien.personal.rescue import delete_database, is_whole, rescue
from mien.personal.schema import VERSION, checksum, connect, explained, migrate, read_version

DATABASE_FILE = "people.sqlite3"
_SPARE_BYTES = 64 << 20
_ROWS_TOGETHER = 100
_DAMAGED_FILE = "people.damaged"
_FORGET_MARK = "forget"
_CHECKED = {
    "identities": ("network", "embedding"),
    "samples": ("sample_id", "stamp_s", "network", "embedding"),
    "labels": ("annotator", "source", "expression", "valence", "arousal"),
    "heads": ("owner", "version", "model", "learner", "tensors"),
}
"""Tables whose rows have a checksum, and what it is of."""


class Store:
    """The database in a folder, owned by this process. Used by one thread at a time, whichever that is.

    Args:
        folder: made where it does not exist.

    Raises:
        MienError: somebody else owns it, it is on a network disk, a newer mien wrote it, or it cannot be used.

    Attributes:
        problems: what was found damaged and set aside, for people to read.
        exports: folder of the files that people asked for.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._damaged = folder / DATABASE_FILE, folder / _DAMAGED_FILE
        self.exports = folder / "exports"
        self.problems: list[str] = []
        make_private_folder(folder)
        self._lock = StoreLock(folder)
        try:
            with explained(self._path):
                self._connection = self._open()
        except BaseException:
            self._lock.release()
            raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The database, with errors that people can read."""
        with explained(self._path):
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All that is written inside is on the disk at the end; after an error, none of it. May be nested."""
        with self.reading() as connection:
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk has ended it already
                    connection.execute("ROLLBACK")
                raise

    def check_room(self) -> None:
        """Refuse to store more while there is still room to forget: what is overwritten is written to the log first.

        Raises:
            MienError: the disk is nearly full.
        """
        free = shutil.disk_usage(self._path.parent).free
        spare = _SPARE_BYTES + self._path.stat().st_size
        if free < spare:
            raise MienError(
                f"{self._path}: the disk is nearly full ({free / 1e6:.0f} MB free); nothing of this was stored",
                f"Free some space: {spare / 1e6:.0f} MB are kept for forgetting people",
            )

    def insert(self, table: str, **values: Any) -> int:
        """Insert a row, with its checksum where the table has one; returns its number. Inside `writing`."""
        if table in _CHECKED:
            values["checksum"] = checksum(*(values[column] for column in _CHECKED[table]))
        names, places = ", ".join(values), ", ".join("?" * len(values))
        query = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608  names are ours
        number = self._connection.execute(query, tuple(values.values())).lastrowid
        assert number is not None  # noqa: S101  it was an INSERT
        return number

    def select(self, table: str, where: str, *values: Any) -> list[dict[str, Any]]:
        """The sound rows of a table with a checksum; those that went bad are set aside and never given out.

        Args:
            table: one with a checksum.
            where: condition and order, with a ? for each value.
            *values: those.
        """
        sound = []
        with self.reading() as connection:
            cursor = connection.execute(f"SELECT * FROM {table} WHERE NOT damaged AND {where}", values)  # noqa: S608
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                named = dict(zip(names, row, strict=True))
                if checksum(*(named[column] for column in _CHECKED[table])) == named["checksum"]:
                    sound.append(named)
                else:
                    self._set_aside(table, named["id"])
        return sound

    @contextmanager
    def forgetting(self, person_id: str) -> Iterator[sqlite3.Connection]:
        """Like `writing`; then the person, group or place is removed with all that belongs to it, to the last byte.

        Raises:
            MienError: another program reads the database. What was asked is not lost: the next call, or the next
                start, goes on with it.
        """
        self._delete_exports(person_id)
        with self.writing() as connection:
            yield connection
            connection.execute("DELETE FROM people WHERE id = ?", (person_id,))
            connection.execute("INSERT OR IGNORE INTO marks VALUES (?)", (_FORGET_MARK,))
        self.finish_forgetting()

    def finish_forgetting(self) -> bool:
        """Clean up behind a `forget` that was interrupted; returns whether there was one."""
        with self.reading() as connection:
            if not connection.execute("SELECT 1 FROM marks WHERE name = ?", (_FORGET_MARK,)).fetchone():
                return False
            delete_database(self._damaged)  # it may hold the same person, and nothing can be deleted in it
            # `secure_delete` overwrites rows, not the copies that stay behind where a page was split or merged.
            connection.execute("VACUUM")
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise MienError(
                    f"{self._path} is being read by another program, so that deleted data are still in "
                    f"{self._path.name}-wal",
                    "End that program and forget the person again",
                )
            connection.execute("DELETE FROM marks WHERE name = ?", (_FORGET_MARK,))
        return True

    def close(self) -> None:
        """Give the store back."""
        self._connection.close()
        self._lock.release()

    def _open(self) -> sqlite3.Connection:
        if self._path.exists():
            found = read_version(self._path)
            if found > VERSION:
                raise MienError(
                    f"{self._path} has version {found}, this mien reads up to version {VERSION}",
                    "Update mien, or choose another people_folder",
                )
        connection = connect(self._path)
        try:
            if not is_whole(connection):
                connection.close()
                self.problems.append(rescue(self._path, self._damaged))
                connection = connect(self._path)
            migrate(connection)
            self._connection = connection
            for table in _CHECKED:
                self._check_all(table)
            self.finish_forgetting()
            self._delete_exports()
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_all(self, table: str) -> None:
        """Set aside what went bad, without holding more than some rows in memory."""
        query = f"SELECT id FROM {table} WHERE id > ? ORDER BY id LIMIT {_ROWS_TOGETHER}"  # noqa: S608
        last = -(1 << 63)
        while found := self._connection.execute(query, (last,)).fetchall():
            self.select(table, "id > ? AND id <= ?", last, found[-1][0])
            last = found[-1][0]
        (aside,) = self._connection.execute(f"SELECT COUNT(*) FROM {table} WHERE damaged").fetchone()  # noqa: S608
        if aside:
            self.problems.append(f"{self._path}: {aside} rows of {table} are damaged; they are set aside and not used")

    def _set_aside(self, table: str, number: int) -> None:
        with self.writing() as connection:
            connection.execute(f"UPDATE {table} SET damaged = 1 WHERE id = ?", (number,))  # noqa: S608
        self.problems.append(f"{self._path}: row {number} of {table} is damaged; it is set aside and not used")

    def _delete_exports(self, person_id: str = "") -> None:
        """Delete the exports of a person, of people who are not there, and what an interrupted export left."""
        known = {row[0] for row in self._connection.execute("SELECT id FROM people")} - {person_id}
        try:
            for path in self.exports.glob("*"):
                unpacked = path.is_dir() and not path.is_symlink()
                if path.stem in known and (unpacked or path.suffix == ".zip"):
                    continue
                if unpacked:
                    shutil.rmtree(path)
                else:
                    path.unlink()
        except OSError as error:
            problem = f"{error.filename} cannot be deleted ({error.strerror})"
            raise MienError(problem, "Give this user the right to delete exports, and try again") from error
