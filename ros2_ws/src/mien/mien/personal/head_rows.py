"""Heads in the store: versions per person, group or place, and which one is in use with which model."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from mien.errors import MienError
from mien.personal.messages import StoredHead
from mien.personal.store import Store

MAXIMUM_HEADS = 50
MAXIMUM_BYTES = 32 << 20
"""Of all heads of one owner, beside the one in use and its predecessor."""


@dataclass(frozen=True, slots=True)
class InUse:
    """A head in use, how it was made, and its held-out score then, 0 to 1; NaN when unknown."""

    head: StoredHead
    learner: str
    score: float


class HeadRows:
    """The heads of everyone.

    Args:
        store: where they are kept.
        model: `head_id` of the model; heads of others are kept and not applied.
    """

    def __init__(self, store: Store, model: str) -> None:
        self._store, self._model = store, model

    def add(
        self,
        owner: str,
        learner: str,
        tensors: bytes,
        samples: int,
        people: Collection[str],
        scores: tuple[float, float],
    ) -> StoredHead:
        """Store a head as the newest version and use it. Inside `writing`.

        Args:
            owner: whose it is.
            learner: name of what made it.
            tensors: as safetensors.
            samples: number of moments it learned from.
            people: whose moments are in it, also by the head that it went on from.
            scores: before and after; NaN when unknown.
        """
        with self._store.reading() as database:
            database.execute("UPDATE people SET versions = versions + 1 WHERE id = ?", (owner,))
            (version,) = database.execute("SELECT versions FROM people WHERE id = ?", (owner,)).fetchone()
            number = self._store.insert(
                "heads",
                owner=owner,
                version=version,
                model=self._model,
                learner=learner,
                samples=samples,
                score_before=None if math.isnan(scores[0]) else scores[0],
                score_after=None if math.isnan(scores[1]) else scores[1],
                created_s=time.time(),
                tensors=tensors,
            )
            database.executemany("INSERT INTO learned_from VALUES (?, ?)", [(number, one) for one in sorted(people)])
            self._use(database, owner, version)
            self._prune(database, owner)
        return StoredHead(owner, version, tensors)

    def in_use(self, owner: str) -> InUse:
        """The head in use. Where that one has gone bad the version below answers, or at last the bundle's own."""
        with self._store.reading() as database:
            query = (
                "SELECT heads.version FROM heads JOIN in_use USING (owner, model) WHERE owner = ? AND model = ? "
                "AND NOT damaged AND heads.version <= in_use.version ORDER BY heads.version DESC"
            )
            for (version,) in database.execute(query, (owner, self._model)).fetchall():
                rows = self._rows(owner, version)
                if rows:
                    score = rows[0]["score_after"]
                    head = StoredHead(owner, version, rows[0]["tensors"])
                    return InUse(head, rows[0]["learner"], math.nan if score is None else score)
        return InUse(StoredHead(owner, 0, b""), "", math.nan)

    def learned_from(self, owner: str, version: int) -> set[str]:
        """Whose moments are in a head; nobody's in version 0."""
        query = "SELECT person FROM learned_from JOIN heads ON heads.id = head WHERE owner = ? AND version = ?"
        with self._store.reading() as database:
            return {row[0] for row in database.execute(query, (owner, version))}

    def all_in_use(self) -> tuple[StoredHead, ...]:
        """The heads in use of everyone, without those who use the bundle's own."""
        with self._store.reading() as database:
            owners = database.execute("SELECT owner FROM in_use WHERE model = ?", (self._model,)).fetchall()
            heads = [self.in_use(owner).head for (owner,) in owners]
        return tuple(head for head in heads if head.version)

    def versions(self, owner: str) -> tuple[tuple[int, ...], int]:
        """The versions of this model, oldest first, and how many there are of other models."""
        with self._store.reading() as database:
            query = "SELECT version, model FROM heads WHERE owner = ? AND NOT damaged ORDER BY version"
            found = database.execute(query, (owner,)).fetchall()
        mine = tuple(version for version, model in found if model == self._model)
        return mine, len(found) - len(mine)

    def count(self, owner: str) -> int:
        """How many are stored, of whatever model."""
        with self._store.reading() as database:
            return int(database.execute("SELECT COUNT(*) FROM heads WHERE owner = ?", (owner,)).fetchone()[0])

    def roll_back(self, owner: str, version: int) -> StoredHead:
        """Use a stored version, or 0, the bundle's own; returns it.

        Raises:
            MienError: there is no such version for this model.
        """
        with self._store.writing() as database:
            rows = self._rows(owner, version) if version else []
            if version and not rows:
                versions = self.versions(owner)[0]
                raise MienError(
                    f"{owner} has no head of version {version} for this model",
                    f"Choose one of {[0, *versions]}",
                )
            self._use(database, owner, version)
        return StoredHead(owner, version, rows[0]["tensors"] if rows else b"")

    def remove_learned_from(self, person: str) -> tuple[int, set[str]]:
        """Remove all heads of groups and places that a person's moments are in; how many, and whose. Inside `writing`.

        The newest of the remaining ones is used instead.
        """
        with self._store.reading() as database:
            query = "SELECT head, owner FROM learned_from JOIN heads ON heads.id = head WHERE person = ? AND owner != ?"
            found = database.execute(query, (person, person)).fetchall()
            database.executemany("DELETE FROM heads WHERE id = ?", [(head,) for head, _ in found])
            owners = {owner for _, owner in found}
            for owner in owners:
                newest = (
                    "COALESCE((SELECT MAX(version) FROM heads WHERE owner = in_use.owner AND model = in_use.model "
                    "AND version <= in_use.{0} AND NOT damaged), 0)"
                )
                for column in ("version", "previous"):
                    database.execute(f"UPDATE in_use SET {column} = {newest.format(column)} WHERE owner = ?", (owner,))  # noqa: S608
        return len(found), owners

    def _rows(self, owner: str, version: int) -> list[dict[str, Any]]:
        return self._store.select("heads", "owner = ? AND version = ? AND model = ?", owner, version, self._model)

    def _use(self, database: sqlite3.Connection, owner: str, version: int) -> None:
        database.execute(
            "INSERT INTO in_use VALUES (?, ?, ?, 0) ON CONFLICT (owner, model) DO UPDATE "
            "SET previous = version, version = excluded.version WHERE version != excluded.version",
            (owner, self._model, version),
        )

    def _prune(self, database: sqlite3.Connection, owner: str) -> None:
        """Drop the oldest versions beyond what is allowed, never one in use or its predecessor."""
        kept = database.execute("SELECT version, previous FROM in_use WHERE owner = ?", (owner,)).fetchall()
        needed = {version for pair in kept for version in pair}
        query = "SELECT id, version, LENGTH(tensors) FROM heads WHERE owner = ? ORDER BY version DESC"
        total = 0
        for count, (number, version, size) in enumerate(database.execute(query, (owner,)).fetchall(), 1):
            total += size
            if (count > MAXIMUM_HEADS or total > MAXIMUM_BYTES) and version not in needed:
                database.execute("DELETE FROM heads WHERE id = ?", (number,))
