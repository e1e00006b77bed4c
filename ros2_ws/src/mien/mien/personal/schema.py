"""The store's database: its tables and how they came to be, how it is opened, and what its errors mean.

Every connection erases the rows that it deletes (`secure_delete`) and waits for the disk (`synchronous=FULL`); nothing
is put into temporary files. Rows that carry what is learned from have a checksum: a page that went bad on the disk can
leave a database that looks whole.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mien.errors import MienError

MIGRATIONS = (
    """
    CREATE TABLE people (
        id TEXT PRIMARY KEY, kind INTEGER NOT NULL, name TEXT NOT NULL, statement TEXT NOT NULL,
        consent_time_s REAL NOT NULL, versions INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE members (
        person TEXT NOT NULL REFERENCES people ON DELETE CASCADE,
        owner TEXT NOT NULL REFERENCES people ON DELETE CASCADE,
        position INTEGER NOT NULL, PRIMARY KEY (person, owner));
    CREATE INDEX members_of ON members (owner);
    CREATE TABLE identities (
        id INTEGER PRIMARY KEY, person TEXT NOT NULL REFERENCES people ON DELETE CASCADE,
        network TEXT NOT NULL, embedding BLOB NOT NULL, checksum INTEGER NOT NULL, damaged INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX identities_of ON identities (person);
    CREATE TABLE samples (
        id INTEGER PRIMARY KEY, person TEXT NOT NULL REFERENCES people ON DELETE CASCADE,
        sample_id TEXT NOT NULL, stamp_s REAL NOT NULL, place TEXT REFERENCES people ON DELETE SET NULL,
        network TEXT NOT NULL, embedding BLOB NOT NULL, checksum INTEGER NOT NULL, damaged INTEGER NOT NULL DEFAULT 0,
        UNIQUE (person, sample_id));
    CREATE INDEX samples_at ON samples (place);
    CREATE TABLE labels (
        id INTEGER PRIMARY KEY, sample INTEGER NOT NULL REFERENCES samples ON DELETE CASCADE,
        annotator TEXT NOT NULL, source INTEGER NOT NULL, expression TEXT NOT NULL, valence REAL, arousal REAL,
        checksum INTEGER NOT NULL, damaged INTEGER NOT NULL DEFAULT 0, UNIQUE (sample, annotator, source));
    CREATE TABLE heads (
        id INTEGER PRIMARY KEY, owner TEXT NOT NULL REFERENCES people ON DELETE CASCADE,
        version INTEGER NOT NULL, model TEXT NOT NULL, learner TEXT NOT NULL, samples INTEGER NOT NULL,
        score_before REAL, score_after REAL, created_s REAL NOT NULL, tensors BLOB NOT NULL,
        checksum INTEGER NOT NULL, damaged INTEGER NOT NULL DEFAULT 0, UNIQUE (owner, version));
    CREATE TABLE learned_from (
        head INTEGER NOT NULL REFERENCES heads ON DELETE CASCADE,
        person TEXT NOT NULL REFERENCES people ON DELETE CASCADE, PRIMARY KEY (head, person));
    CREATE INDEX learned_from_whom ON learned_from (person);
    CREATE TABLE in_use (
        owner TEXT NOT NULL REFERENCES people ON DELETE CASCADE, model TEXT NOT NULL,
        version INTEGER NOT NULL, previous INTEGER NOT NULL, PRIMARY KEY (owner, model));
    CREATE TABLE marks (name TEXT PRIMARY KEY);
    """,
    """
    CREATE TABLE satisfaction (
        id INTEGER PRIMARY KEY, person TEXT NOT NULL REFERENCES people ON DELETE CASCADE, subject TEXT NOT NULL,
        score REAL NOT NULL, confidence REAL NOT NULL, observed_s REAL NOT NULL, stamp_s REAL NOT NULL);
    CREATE INDEX satisfaction_of ON satisfaction (person);
    """,
)
"""What makes version n + 1 of version n; the first makes version 1 of nothing."""
VERSION = len(MIGRATIONS)
TABLES = (
    *("people", "members", "identities", "samples", "labels", "heads", "learned_from", "in_use", "marks"),
    "satisfaction",
)
"""In an order in which each refers only to those before it."""
_BUSY_S = 1.0


def connect(path: Path) -> sqlite3.Connection:
    """Open a database that erases what it deletes. Used by one thread at a time, whichever that is.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        for setting in ("secure_delete=ON", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("PRAGMA journal_mode=WAL")
    except BaseException:
        connection.close()
        raise
    return connection


def read_version(path: Path) -> int:
    """The version of an existing database, which is not changed by looking.

    Raises:
        sqlite3.Error: it is no database.
    """
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database, perhaps an empty one, to this version; each step is there as a whole or not at all."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    for version, script in enumerate(MIGRATIONS[found:], found + 1):
        try:
            connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {version}; COMMIT;")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def checksum(*values: bytes | str | float | int | None) -> int:
    """Of a row's values."""
    return zlib.crc32(msgspec.msgpack.encode(values))


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into what a user can mend."""
    try:
        yield
    except sqlite3.Error as error:
        raise MienError(f"{path}: {error}", _remedy(str(error))) from error


def _remedy(text: str) -> str:
    if "full" in text:
        return "Nothing of this was stored, what was there before is safe: free some space and try again"
    if "malformed" in text or "not a database" in text:
        return "The disk may be failing: restart to have what is readable rescued; else move the file away"
    if "readonly" in text or "unable to open" in text:
        return "Give this user the right to write in that folder"
    if "locked" in text:
        return "End the other program that uses it, and try again"
    return "Look after the disk, and try again"
