"""All that is stored about a person, as one file that others can read: JSON, and safetensors for the numbers."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.numpy

from mien.errors import MienError
from mien.models.cache import write_atomically
from mien.personal.messages import Person
from mien.personal.samples import Source
from mien.personal.store import Store


def export_person(store: Store, person: Person) -> Path:
    """Write `ID.zip` into the store's folder of exports; `Store.forget` deletes it.

    It holds `person.json` (the record, each moment with its labels, each interaction), `embeddings.safetensors` (the
    embedding of each moment by its sample id), `identities.safetensors` and `heads/VERSION.safetensors`. Who else gave
    labels is left out: they may want to be forgotten.

    Raises:
        MienError: the disk is full, or the folder cannot be written.
    """
    samples = store.select("samples", "person = ? ORDER BY stamp_s, id", person.person_id)
    record = {
        "record": person,
        "moments": [_moment(store, row) for row in samples],
        "heads": [
            {name: row[name] for name in ("version", "model", "learner", "samples", "score_before", "score_after")}
            for row in store.select("heads", "owner = ? ORDER BY version", person.person_id)
        ],
        "interactions": _interactions(store, person.person_id),
    }
    embeddings = {row["sample_id"]: np.frombuffer(row["embedding"], "<f4") for row in samples}
    identities = {
        str(row["id"]): np.frombuffer(row["embedding"], "<f4")
        for row in store.select("identities", "person = ? ORDER BY id", person.person_id)
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("person.json", msgspec.json.format(msgspec.json.encode(record), indent=2))
        archive.writestr("embeddings.safetensors", safetensors.numpy.save(embeddings))
        archive.writestr("identities.safetensors", safetensors.numpy.save(identities))
        for row in store.select("heads", "owner = ? ORDER BY version", person.person_id):
            archive.writestr(f"heads/{row['version']}.safetensors", row["tensors"])
    path = store.exports / f"{person.person_id}.zip"
    try:
        write_atomically(path, written.getvalue())
    except MienError as error:
        raise MienError(error.problem, "Free some space, or give this user the right to write there") from error
    return path


def _moment(store: Store, row: dict[str, Any]) -> dict[str, Any]:
    labels = store.select("labels", "sample = ? ORDER BY id", row["id"])
    return {
        "sample_id": row["sample_id"],
        "stamp_s": row["stamp_s"],
        "place": row["place"],
        "model": row["network"],
        "labels": [
            {
                "source": Source(label["source"]).name.lower(),
                **{name: label[name] for name in ("expression", "valence", "arousal")},
            }
            for label in labels
        ],
    }


def _interactions(store: Store, person_id: str) -> list[dict[str, Any]]:
    with store.reading() as database:
        query = (
            "SELECT subject, score, confidence, observed_s, stamp_s FROM satisfaction WHERE person = ? ORDER BY stamp_s"
        )
        rows = database.execute(query, (person_id,)).fetchall()
    names = ("subject", "score", "confidence", "observed_s", "stamp_s")
    return [dict(zip(names, row, strict=True)) for row in rows]
