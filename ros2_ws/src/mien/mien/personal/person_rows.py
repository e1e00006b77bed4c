"""People, groups and places in the store: who they are, what they agreed to, and how satisfied they were."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from mien.errors import MienError
from mien.personal.messages import Enroll, Identity, Kind, RememberSatisfaction, SubjectSatisfaction
from mien.personal.store import Store

MAXIMUM_IDENTITIES = 16
MAXIMUM_INTERACTIONS = 1000
"""Of each person; the oldest go first."""


class PersonRows:
    """Everyone who is enrolled.

    Args:
        store: where they are kept.
        network: which identity network their identity embeddings come from.
    """

    def __init__(self, store: Store, network: str) -> None:
        self._store, self._network = store, network

    def kind(self, person_id: str) -> Kind | None:
        """What is enrolled under an id; None where nothing is."""
        with self._store.reading() as database:
            row = database.execute("SELECT kind FROM people WHERE id = ?", (person_id,)).fetchone()
        return None if row is None else Kind(row[0])

    def require(self, person_id: str) -> Kind:
        """What is enrolled under an id.

        Raises:
            MienError: nothing is.
        """
        kind = self.kind(person_id)
        if kind is None:
            raise MienError(
                f"Nobody is enrolled with the id {person_id!r}", "Enrol the person, with consent, or see who is there"
            )
        return kind

    def ids(self) -> list[str]:
        """Everyone's, in the order of enrolment."""
        with self._store.reading() as database:
            return [row[0] for row in database.execute("SELECT id FROM people ORDER BY rowid")]

    def record(self, person_id: str) -> tuple[Kind, str, str, float, tuple[str, ...], int]:
        """Kind, name, statement and time of consent, groups and places, number of identity embeddings."""
        with self._store.reading() as database:
            query = "SELECT kind, name, statement, consent_time_s FROM people WHERE id = ?"
            kind, name, statement, consent_time_s = database.execute(query, (person_id,)).fetchone()
            query = "SELECT owner FROM members WHERE person = ? ORDER BY position"
            groups = tuple(row[0] for row in database.execute(query, (person_id,)))
            query = "SELECT COUNT(*) FROM identities WHERE person = ? AND network = ? AND NOT damaged"
            (identities,) = database.execute(query, (person_id, self._network)).fetchone()
        return Kind(kind), name, statement, consent_time_s, groups, identities

    def put(self, person_id: str, request: Enroll, now_s: float) -> None:
        """Enrol under an id, or change the record of one who is enrolled. Inside `writing`."""
        with self._store.reading() as database:
            consent_time_s = now_s if request.consent and request.kind is Kind.PERSON else 0.0
            values = (request.display_name, request.consent_statement, consent_time_s)
            database.execute(
                "INSERT INTO people (id, kind, name, statement, consent_time_s) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET name = excluded.name, statement = excluded.statement, "
                "consent_time_s = excluded.consent_time_s",
                (person_id, int(request.kind), *values),
            )
            database.execute("DELETE FROM members WHERE person = ?", (person_id,))
            pairs = [(person_id, group, place) for place, group in enumerate(dict.fromkeys(request.groups))]
            database.executemany("INSERT INTO members VALUES (?, ?, ?)", pairs)

    def identity_size(self) -> int | None:
        """How many numbers the identity embeddings of this network have; None without any."""
        with self._store.reading() as database:
            query = "SELECT LENGTH(embedding) FROM identities WHERE network = ? AND NOT damaged LIMIT 1"
            row = database.execute(query, (self._network,)).fetchone()
        return None if row is None else int(row[0]) // 4

    def add_identities(self, person_id: str, embeddings: Sequence[bytes]) -> None:
        """Add identity embeddings (float32 bytes). Inside `writing`."""
        with self._store.reading() as database:
            for embedding in embeddings:
                self._store.insert("identities", person=person_id, network=self._network, embedding=embedding)
            _keep_newest(database, "identities", person_id, MAXIMUM_IDENTITIES)

    def identities(self) -> tuple[Identity, ...]:
        """The identity embeddings of this network."""
        rows = self._store.select("identities", "network = ? ORDER BY id", self._network)
        return tuple(Identity(row["person"], row["embedding"]) for row in rows)

    def add_satisfaction(self, request: RememberSatisfaction) -> None:
        """Remember one interaction. Inside `writing`."""
        with self._store.reading() as database:
            self._store.insert(
                "satisfaction",
                person=request.person_id,
                subject=request.subject,
                score=request.score,
                confidence=request.confidence,
                observed_s=request.observed_s,
                stamp_s=request.stamp_s,
            )
            _keep_newest(database, "satisfaction", request.person_id, MAXIMUM_INTERACTIONS)

    def satisfaction(self, person_id: str) -> tuple[SubjectSatisfaction, ...]:
        """One entry per subject, by name."""
        query = (
            "SELECT subject, score, confidence * observed_s, stamp_s FROM satisfaction WHERE person = ? "
            "ORDER BY subject, stamp_s, id"
        )
        with self._store.reading() as database:
            rows = database.execute(query, (person_id,)).fetchall()
        told = []
        for subject in dict.fromkeys(row[0] for row in rows):
            scores, weights, stamps = zip(*(row[1:] for row in rows if row[0] == subject), strict=True)
            total = sum(weights)
            weighted = sum(score * weight for score, weight in zip(scores, weights, strict=True))
            mean = weighted / total if total else sum(scores) / len(scores)
            told.append(SubjectSatisfaction(subject, len(scores), mean, scores[-1], stamps[-1]))
        return tuple(told)


def _keep_newest(database: sqlite3.Connection, table: str, person_id: str, count: int) -> None:
    database.execute(
        f"DELETE FROM {table} WHERE person = ? AND id NOT IN "  # noqa: S608
        f"(SELECT id FROM {table} WHERE person = ? ORDER BY id DESC LIMIT ?)",
        (person_id, person_id, count),
    )
