"""Labelled moments in the store: who labelled what, and the samples that learners take from it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np

from mien.errors import MienError
from mien.personal.messages import AddLabel, Kind
from mien.personal.samples import SOURCE_WEIGHTS, Label, Samples, Source
from mien.personal.sampling import gsx
from mien.personal.store import Store

MAXIMUM_SAMPLES = 320
"""Labelled moments that are kept of one person and model; the moments that GSx finds most different stay."""
_SLACK = 64
"""So many more may gather until some must go: choosing takes far longer than storing."""
_MAXIMUM_ANNOTATORS = 32
_OF_PERSON = "person = ?"
_OF_GROUP = "person IN (SELECT person FROM members WHERE owner = ?)"
_AT_PLACE = "place = ?"


class SampleRows:
    """The moments of all people.

    Args:
        store: where they are kept.
        network: `embedding_id` of the model that learns; moments of others are kept and left alone.
    """

    def __init__(self, store: Store, network: str) -> None:
        self._store, self._network = store, network

    def check(self, request: AddLabel) -> None:
        """Raises MienError where the same moment was stored with the embedding of another model."""
        found = self._find(request)
        if found is not None and found[1] != self._network:
            raise MienError(
                f"The moment {request.sample_id} was stored with another model", "Label a moment that is seen now"
            )

    def add(self, request: AddLabel, place: str | None) -> None:
        """Store a label that `check` lets pass, and its moment where that is new. Inside `writing`."""
        with self._store.reading() as database:
            found = self._find(request)
            if found is None:
                moment = (request.person_id, request.sample_id)
                database.execute("DELETE FROM samples WHERE person = ? AND sample_id = ?", moment)  # one that went bad
            number = found[0] if found is not None else self._add_sample(request, place)
            label, key = request.label, (request.label.annotator, int(request.label.source))
            database.execute("DELETE FROM labels WHERE sample = ? AND annotator = ? AND source = ?", (number, *key))
            self._store.insert(
                "labels",
                sample=number,
                annotator=key[0],
                source=key[1],
                expression=label.expression,
                valence=_number_or_none(label.valence),
                arousal=_number_or_none(label.arousal),
            )
            database.execute(
                "DELETE FROM labels WHERE sample = ? AND id NOT IN "
                "(SELECT id FROM labels WHERE sample = ? ORDER BY id DESC LIMIT ?)",
                (number, number, _MAXIMUM_ANNOTATORS),
            )

    def stored(self, sample_id: str, label: Label) -> AddLabel | None:
        """A label of a moment that is there, whoever's it is; None where it is not."""
        for row in self._store.select("samples", "sample_id = ?", sample_id):
            return AddLabel(row["person"], "", sample_id, row["stamp_s"], row["embedding"], label)
        return None

    def take_back(self, request: AddLabel) -> bool:
        """Remove the label of the same annotator and source, and a moment without any. Inside `writing`.

        Returns:
            Whether there was such a label.
        """
        key = (request.person_id, request.sample_id)
        of_sample = "sample IN (SELECT id FROM samples WHERE person = ? AND sample_id = ?)"
        with self._store.reading() as database:
            said = (*key, request.label.annotator, int(request.label.source))
            query = f"DELETE FROM labels WHERE {of_sample} AND annotator = ? AND source = ?"  # noqa: S608
            removed = database.execute(query, said).rowcount
            database.execute(
                "DELETE FROM samples WHERE person = ? AND sample_id = ? AND id NOT IN (SELECT sample FROM labels)", key
            )
        return removed > 0

    def load(self, owner: str, kind: Kind, labels: Sequence[str]) -> tuple[Samples, list[str]]:
        """What the head of a person, group or place learns from, in the order of time.

        Args:
            owner: whose head.
            kind: people learn from their own moments, groups from their members', places from those labelled there.
            labels: of the model; what was labelled otherwise counts as not said.

        Returns:
            The samples, and whose they are, one id for each.
        """
        mine = f"{_whose(kind)} AND network = ?"
        rows = self._store.select("samples", f"{mine} ORDER BY stamp_s, id", owner, self._network)
        of_sample: dict[int, list[dict[str, Any]]] = {row["id"]: [] for row in rows}
        query = f"sample IN (SELECT id FROM samples WHERE {mine}) ORDER BY id"  # noqa: S608
        for label in self._store.select("labels", query, owner, self._network):
            if label["sample"] in of_sample:
                of_sample[label["sample"]].append(label)
        rows = [row for row in rows if of_sample[row["id"]]]
        told = [_mean(of_sample[row["id"]], labels) for row in rows]
        size = len(rows[0]["embedding"]) if rows else 0
        return Samples(
            embeddings=np.frombuffer(b"".join(row["embedding"] for row in rows), "<f4").reshape(len(rows), size // 4),
            stamps_s=np.array([row["stamp_s"] for row in rows], np.float64),
            classes=np.array([one[0] for one in told], np.float32).reshape(len(rows), len(labels)),
            valence=np.array([one[1] for one in told], np.float32),
            arousal=np.array([one[2] for one in told], np.float32),
            weights=np.array([one[3] for one in told], np.float32),
        ), [row["person"] for row in rows]

    def count(self, owner: str, kind: Kind) -> tuple[int, int]:
        """Moments that can be learned from, and those of other models."""
        with self._store.reading() as database:
            query = f"SELECT SUM(network = ?), SUM(network != ?) FROM samples WHERE NOT damaged AND {_whose(kind)}"  # noqa: S608
            mine, others = database.execute(query, (self._network, self._network, owner)).fetchone()
        return mine or 0, others or 0

    def trim(self, person: str) -> None:
        """Let those moments of a person go that are most like others, where there are too many. Inside `writing`."""
        mine, others = self.count(person, Kind.PERSON)
        with self._store.reading() as database:
            if mine > MAXIMUM_SAMPLES + _SLACK:
                rows = self._store.select("samples", "person = ? AND network = ? ORDER BY id", person, self._network)
                embeddings = np.frombuffer(b"".join(row["embedding"] for row in rows), "<f4").reshape(len(rows), -1)
                stay = set(gsx(embeddings, min(MAXIMUM_SAMPLES, len(rows))).tolist())
                gone = [(row["id"],) for i, row in enumerate(rows) if i not in stay]
                database.executemany("DELETE FROM samples WHERE id = ?", gone)
            if others > MAXIMUM_SAMPLES:
                database.execute(
                    "DELETE FROM samples WHERE person = ? AND network != ? AND id NOT IN (SELECT id FROM samples "
                    "WHERE person = ? AND network != ? ORDER BY id DESC LIMIT ?)",
                    (person, self._network, person, self._network, MAXIMUM_SAMPLES),
                )

    def forget_annotator(self, annotator: str) -> None:
        """Let what somebody said of others stay, but not who it was. Inside `writing`."""
        nobody = uuid.uuid4().hex  # not empty: labels of one moment are told apart by it
        with self._store.reading() as database:
            for row in self._store.select("labels", "annotator = ?", annotator):
                database.execute("DELETE FROM labels WHERE id = ?", (row["id"],))
                values = {name: row[name] for name in ("sample", "source", "expression", "valence", "arousal")}
                self._store.insert("labels", annotator=nobody, **values)
            database.execute("DELETE FROM labels WHERE annotator = ?", (annotator,))  # what went bad

    def _find(self, request: AddLabel) -> tuple[int, str] | None:
        """Number and network of the sound moment that a label is about."""
        with self._store.reading() as database:
            query = "SELECT id, network FROM samples WHERE person = ? AND sample_id = ? AND NOT damaged"
            found: tuple[int, str] | None
            found = database.execute(query, (request.person_id, request.sample_id)).fetchone()
        return found

    def _add_sample(self, request: AddLabel, place: str | None) -> int:
        return self._store.insert(
            "samples",
            person=request.person_id,
            sample_id=request.sample_id,
            stamp_s=request.stamp_s,
            place=place,
            network=self._network,
            embedding=request.embedding,
        )


def _whose(kind: Kind) -> str:
    return {Kind.PERSON: _OF_PERSON, Kind.GROUP: _OF_GROUP, Kind.PLACE: _AT_PLACE}[kind]


def _number_or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _mean(rows: list[dict[str, Any]], labels: Sequence[str]) -> tuple[list[float], float, float, float]:
    """What several annotators say together: class shares, valence, arousal, and the weight of the surest source."""
    weights = [SOURCE_WEIGHTS[Source(row["source"])] for row in rows]
    named = [
        (labels.index(row["expression"]), w)
        for row, w in zip(rows, weights, strict=True)
        if row["expression"] in labels
    ]
    shares = [0.0 if named else math.nan] * len(labels)
    for number, weight in named:
        shares[number] += weight / sum(w for _, w in named)
    affect = []
    for name in ("valence", "arousal"):
        said = [(row[name], w) for row, w in zip(rows, weights, strict=True) if row[name] is not None]
        total = sum(w for _, w in said)
        affect.append(sum(value * w for value, w in said) / total if said else math.nan)
    return shares, affect[0], affect[1], max(weights)
