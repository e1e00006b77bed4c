"""The store on its disk: what is forgotten leaves no byte, what went bad is never used, what is full loses nothing."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mien.errors import MienError
from mien.personal.messages import Kind, Labelled, Personalise, StoredHead
from mien.personal.people import People
from mien.personal.samples import Source
from mien.personal.schema import VERSION, connect
from mien.personal.store import DATABASE_FILE
from tests.personal.small_people import (
    IDENTITY_SIZE,
    embedding,
    enrolment,
    moment,
    open_people,
    otherwise,
    patterns_of,
    says,
    traces,
)

VERSION_1 = """
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
    INSERT INTO people VALUES ('anna', 0, 'Anna', 'May learn from me', 1000.0, 0), ('family', 1, '', '', 0.0, 0);
    INSERT INTO members VALUES ('anna', 'family', 0);
    PRAGMA user_version = 1;
"""


SPLITTING = 103
"""A seed with which, without the VACUUM, one copy of a forgotten id stays in the unused part of a page."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "people"


@pytest.fixture
def people(folder: Path) -> Iterator[People]:
    opened = open_people(folder)
    yield opened
    opened.close()


def fill(people: People, person_id: str, seeds: range) -> list[StoredHead]:
    """Enrol a person and let it say something of each moment, one at a time."""
    look = embedding(1000 + seeds[0], IDENTITY_SIZE)
    people.enroll(enrolment(person_id, identity=(look.tobytes(),)))
    heads = []
    for seed in seeds:
        (result,) = people.add_labels([moment(person_id, seed, says(otherwise(seed)))])
        assert isinstance(result, Labelled)
        heads += [result.head] if result.head else []
    return heads


# ---- forgetting


def test_forgetting_leaves_no_byte_in_any_file(people: People, folder: Path) -> None:
    bob = fill(people, "robert", range(40, 52))
    anna = fill(people, "annalena", range(12))
    people.add_labels([moment("robert", 41, says("anger", source=Source.OBSERVER, annotator="annalena"))])
    people.export("annalena")
    people.export("robert")  # annalena's labels are in it
    patterns = patterns_of("annalena", range(12), anna)
    patterns.append(embedding(1000, IDENTITY_SIZE).tobytes()[:16])
    assert len(patterns) == 2 + 12 + 12 + 1
    assert set(traces(folder, patterns)) >= {f"{DATABASE_FILE}-wal", "annalena.zip"}
    forgotten = people.forget("annalena")
    assert (forgotten.samples, forgotten.heads) == (12, 12)
    assert traces(folder, patterns) == {}
    assert people.list_people()[0].samples == 12
    assert traces(folder, patterns_of("robert", range(40, 52), bob))


def test_forgetting_leaves_no_copy_that_a_split_page_kept(people: People, folder: Path) -> None:
    random = np.random.default_rng(SPLITTING)
    names = [f"person-{i}-{'x' * random.integers(1, 50)}" for i in range(6)]
    for name in names:
        people.enroll(enrolment(name))
    owners = [names[i] for i in random.integers(0, 6, 150)]
    people.add_labels([moment(one, i, says("anger"), sample_id=f"{one[:40]}-{i}") for i, one in enumerate(owners)])
    people.forget(names[0])
    assert traces(folder, [names[0].encode(), f"{names[0][:40]}-".encode()]) == {}


def test_an_open_reader_keeps_forgetting_from_succeeding(people: People, folder: Path) -> None:
    heads = fill(people, "annalena", range(12))
    patterns = patterns_of("annalena", range(12), heads)
    with closing(sqlite3.connect(folder / DATABASE_FILE, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM people").fetchone()
        with pytest.raises(MienError, match="being read by another program"):
            people.forget("annalena")
        assert people.list_people() == ()
        assert traces(folder, patterns)
    people.forget("annalena")
    assert traces(folder, patterns) == {}


def test_who_else_writes_into_the_database_is_to_end(people: People, folder: Path) -> None:
    fill(people, "annalena", range(1))
    with closing(sqlite3.connect(folder / DATABASE_FILE, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(MienError, match=r"is locked. End the other program"):
            people.forget("annalena")
    assert people.forget("annalena").samples == 1


def test_forgetting_goes_on_after_a_crash(people: People, folder: Path, tmp_path: Path) -> None:
    heads = fill(people, "annalena", range(12))
    export = people.export("annalena")
    exported = export.read_bytes()
    patterns = patterns_of("annalena", range(12), heads)
    with closing(sqlite3.connect(folder / DATABASE_FILE, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM people").fetchone()
        with pytest.raises(MienError):
            people.forget("annalena")
        crashed = tmp_path / "crashed"  # the files as they are when the power goes now
        shutil.copytree(folder, crashed)
    (crashed / "exports/annalena.zip").write_bytes(exported)
    (crashed / "exports/.annalena.zip.1234").write_bytes(exported[:1000])
    assert len(traces(crashed, patterns)) >= 3
    after = open_people(crashed)
    assert after.list_people() == ()
    assert traces(crashed, patterns) == {}
    after.close()


def test_what_is_in_use_by_another_process_is_refused(people: People, folder: Path) -> None:
    with pytest.raises(MienError, match="is used by process"):
        open_people(folder)


# ---- versions


def test_a_store_of_a_newer_version_is_refused_untouched(folder: Path) -> None:
    people = open_people(folder)
    fill(people, "anna", range(3))
    people.close()
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = (folder / DATABASE_FILE).read_bytes()
    with pytest.raises(MienError, match=rf"has version {VERSION + 1}, this mien reads up to version {VERSION}"):
        open_people(folder)
    assert (folder / DATABASE_FILE).read_bytes() == before
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
        database.execute(f"PRAGMA user_version = {VERSION}")
    again = open_people(folder)
    assert again.list_people()[0].samples == 3
    again.close()


def test_a_store_of_version_1_is_migrated(folder: Path) -> None:
    folder.mkdir()
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
        database.executescript(VERSION_1)
    people = open_people(folder)
    anna, family = people.list_people()
    assert (anna.display_name, anna.groups, anna.consent_time_s) == ("Anna", ("family",), 1000.0)
    assert family.kind is Kind.GROUP
    people.add_labels([moment("anna", 1, says("anger"))])
    people.close()
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert database.execute("SELECT COUNT(*) FROM satisfaction").fetchone() == (0,)


# ---- damage


def overwrite(path: Path, pattern: bytes) -> None:
    """Damage every place of a file that begins with a pattern."""
    data = path.read_bytes()
    assert pattern in data
    path.write_bytes(data.replace(pattern, bytes(byte ^ 0x55 for byte in pattern)))


def test_a_moment_or_head_that_went_bad_is_set_aside_and_said(folder: Path) -> None:
    people = open_people(folder)
    heads = fill(people, "anna", range(12))
    people.close()
    overwrite(folder / DATABASE_FILE, embedding(5).tobytes()[:32])
    overwrite(folder / DATABASE_FILE, heads[-1].data[-32:])
    again = open_people(folder)
    (anna,) = again.list_people()
    assert anna.samples == 11
    assert again.heads() == (heads[-2],)
    assert len(anna.versions) == 11
    told = " ".join(again.problems())
    assert "rows of samples are damaged; they are set aside" in told
    assert "rows of heads are damaged; they are set aside" in told
    outcome = again.personalise(Personalise("anna", "", 0), lambda progress: None, lambda: False)
    assert outcome.samples == 11
    again.forget("anna")
    assert traces(folder, patterns_of("anna", range(12), heads)) == {}
    again.close()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_page_went_bad_what_is_read_is_true(folder: Path, seed: int) -> None:
    people = open_people(folder)
    stored = {
        head.data for name, seeds in (("anna", range(12)), ("bob", range(40, 52))) for head in fill(people, name, seeds)
    }
    people.close()
    path, random = folder / DATABASE_FILE, np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    page = int(random.integers(1, len(data) // 4096))
    data[4096 * page : 4096 * (page + 1)] = random.bytes(4096) if seed % 2 else bytes(4096)
    path.write_bytes(data)
    again = open_people(folder)
    assert {person.display_name for person in again.list_people()} <= {"Name of anna", "Name of bob"}
    assert {head.data for head in again.heads()} <= stored
    for person in again.list_people():
        archive = again.export(person.person_id).read_bytes()
        known = {embedding(one).tobytes() for one in (range(12) if person.person_id == "anna" else range(40, 52))}
        assert sum(one in archive for one in known) >= person.samples
        again.add_labels([moment(person.person_id, 99, says("anger"))])
    again.close()
    rescued = folder / "people.damaged"
    if rescued.exists():
        last = open_people(folder)
        last.enroll(enrolment("carl"))
        last.forget("carl")
        assert not rescued.exists()
        last.close()


def test_a_number_that_went_bad_is_not_counted_up_to(folder: Path) -> None:
    people = open_people(folder)
    fill(people, "anna", range(3))
    people.close()
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database, database:
        database.execute(f"UPDATE labels SET id = {1 << 60} WHERE id = 3")
    again = open_people(folder)
    assert again.list_people()[0].samples == 3
    again.close()


def test_what_is_no_database_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / DATABASE_FILE).write_bytes(b"a letter to my grandmother\n" * 400)
    with pytest.raises(MienError, match=r"people\.sqlite3: file is not a database.*move the file away"):
        open_people(folder)
    assert (folder / DATABASE_FILE).read_bytes().startswith(b"a letter")


# ---- a full disk


def test_a_disk_that_is_nearly_full_takes_no_more_but_forgets(
    people: People, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(people, "anna", range(3))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=60_000_000))
    (refused,) = people.add_labels([moment("anna", 5, says("anger"))])
    assert "the disk is nearly full (60 MB free)" in str(refused)
    for wanted in (lambda: people.enroll(enrolment("bob")), lambda: people.export("anna")):
        with pytest.raises(MienError, match="the disk is nearly full"):
            wanted()
    assert [(one.person_id, one.samples) for one in people.list_people()] == [("anna", 3)]
    assert people.forget("anna").samples == 3


def test_a_full_disk_is_said_and_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = open_people(folder)
    heads = fill(people, "anna", range(12))
    people.close()
    pages = (folder / DATABASE_FILE).stat().st_size // 4096

    def connect_to_a_full_disk(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        return connection

    monkeypatch.setattr("mien.personal.store.connect", connect_to_a_full_disk)
    full = open_people(folder)
    for result in full.add_labels([moment("anna", seed, says("anger")) for seed in range(100, 400)]):
        assert isinstance(result, MienError)
        assert re.search(r"full. Nothing of this was stored.*free some space", str(result))
    full.close()
    monkeypatch.undo()
    again = open_people(folder)
    assert (again.heads(), again.problems()) == ((heads[-1],), ())
    outcome = again.personalise(Personalise("anna", "", 0), lambda progress: None, lambda: False)
    assert (again.list_people()[0].samples, outcome.samples) == (12, 12)
    again.close()
