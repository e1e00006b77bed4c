"""A database with bad pages: what can still be read is copied into a new one, the bad one is set aside."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from mien.personal.schema import TABLES, connect, migrate

Row = tuple[Any, ...]
_LONGEST_GAP = 100_000
"""A number that went bad must not be counted up to."""


def is_whole(connection: sqlite3.Connection) -> bool:
    """Whether SQLite finds every page and index of a database in order."""
    try:
        return connection.execute("PRAGMA integrity_check(1)").fetchall() == [("ok",)]
    except sqlite3.DatabaseError:
        return False


def rescue(path: Path, damaged: Path) -> str:
    """Replace a damaged database of this version by what can be read of it.

    Args:
        path: of the database; nobody has it open.
        damaged: where the bad one is kept, to be looked at.

    Returns:
        What was done, for people to read.
    """
    partial = path.with_name(f"{path.name}.rescued")
    delete_database(partial)
    kept = 0
    with closing(connect(path)) as source, closing(connect(partial)) as target:
        migrate(target)
        target.execute("PRAGMA foreign_keys=OFF")  # what a lost row is missed by is sorted out below
        target.execute("BEGIN")
        for table in TABLES:
            for row in _readable_rows(source, table):
                places = ", ".join("?" * len(row))
                done = target.execute(f"INSERT OR IGNORE INTO {table} VALUES ({places})", row)  # noqa: S608
                kept += done.rowcount
        _drop_orphans(target)
        target.execute("COMMIT")
    delete_database(damaged)
    shutil.copyfile(path, damaged)
    for suffix in ("-wal", "-shm"):  # they would be taken for the new one's
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    partial.replace(path)
    _flush(path.parent)
    return (
        f"{path} was damaged: {kept} readable rows were rescued; the damaged file is {damaged} until somebody is "
        "forgotten"
    )


def delete_database(path: Path) -> None:
    """Delete a database with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _readable_rows(source: sqlite3.Connection, table: str) -> Iterator[Row]:
    """Each row once or twice: from both ends up to what cannot be read, then by number in between."""
    ends = []
    for order in ("ASC", "DESC"):
        last = 0
        with suppress(sqlite3.DatabaseError):
            query = f"SELECT rowid, * FROM {table} NOT INDEXED ORDER BY rowid {order}"  # noqa: S608
            for number, *row in source.execute(query):
                last = number
                yield tuple(row)
            return
        ends.append(last)
    for number in range(ends[0] + 1, min(ends[1], ends[0] + _LONGEST_GAP)):
        with suppress(sqlite3.DatabaseError):
            yield from source.execute(f"SELECT * FROM {table} NOT INDEXED WHERE rowid = ?", (number,))  # noqa: S608


def _drop_orphans(target: sqlite3.Connection) -> None:
    """Drop what belongs to nobody any more, until nothing does."""
    target.execute("UPDATE samples SET place = NULL WHERE place NOT IN (SELECT id FROM people)")
    while orphans := target.execute("PRAGMA foreign_key_check").fetchall():
        for table, number, *_ in orphans:
            target.execute(f"DELETE FROM {table} WHERE rowid = ?", (number,))  # noqa: S608


def _flush(folder: Path) -> None:
    """Have the folder's entries on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
