"""A small model, its people and their moments, for the tests of store, People and client."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from mien.errors import MienError
from mien.expression.head import DenseLayerSpec, Head, HeadOutputSpec, HeadPartSpec, HeadSpec
from mien.personal.messages import AddLabel, Enroll, Kind, Labelled, Personalise, StoredHead
from mien.personal.people import People
from mien.personal.samples import Array, BaseHead, Label, Source

SIZE = 24
LABELS = ("neutral", "happiness", "anger")
LAYER = DenseLayerSpec("weight", "bias")
BASE = BaseHead(
    spec=HeadSpec(classes=HeadOutputSpec("softmax", (HeadPartSpec("face", 0, SIZE, (LAYER,)),))),
    tensors={"weight": np.eye(len(LABELS), SIZE, dtype=np.float32), "bias": np.zeros(len(LABELS), np.float32)},
    labels=LABELS,
    embedding_size=SIZE,
    affect_range=None,
)
NETWORK = "network-one"
IDENTITY_SIZE = 8


def open_people(folder: Path, base: BaseHead = BASE, embedding_id: str = NETWORK) -> People:
    return People(folder, base, embedding_id, "identity-one", "")


def enrolment(person_id: str, kind: Kind = Kind.PERSON, **changes: Any) -> Enroll:
    is_person = kind is Kind.PERSON
    values: dict[str, Any] = {
        "kind": kind,
        "person_id": person_id,
        "display_name": f"Name of {person_id}",
        "consent": is_person,
        "consent_statement": "May learn from me" if is_person else "",
        "groups": (),
        "identity": (),
    }
    return Enroll(**values | changes)


def embedding(seed: int, size: int = SIZE) -> Array:
    """Of a face that plainly shows one class; seeds take turns."""
    values = np.random.default_rng(seed).normal(0, 0.1, size).astype(np.float32)
    values[seed % len(LABELS)] += 2
    return values


def says(expression: str = "", valence: float = math.nan, arousal: float = math.nan, **changes: Any) -> Label:
    return Label(expression, valence, arousal, changes.get("source", Source.SELF), changes.get("annotator", ""))


def moment(person_id: str, seed: int, label: Label, place: str = "", sample_id: str = "") -> AddLabel:
    """A moment whose embedding, time and id follow from its seed."""
    name = sample_id or f"moment-{person_id}-{seed}"
    return AddLabel(person_id, place, name, 10.0 * seed, embedding(seed).tobytes(), label)


def otherwise(seed: int) -> str:
    """What a person shows whose face the base head reads wrongly: each class in place of another."""
    return LABELS[(seed + 1) % len(LABELS)]


def probability(stored: StoredHead, seed: int, expression: str) -> float:
    tensors = stored.tensors() or BASE.tensors
    head = Head(BASE.spec, dict(tensors), len(LABELS), SIZE)
    return float(head.predict(embedding(seed)[None]).probabilities[0, LABELS.index(expression)])


def patterns_of(person_id: str, seeds: Iterable[int], heads: Iterable[StoredHead]) -> list[bytes]:
    """What must not be found any more: id, name, and the first 16 bytes of every embedding and head."""
    embeddings = [embedding(seed).tobytes()[:16] for seed in seeds]
    tensors = [safetensors.numpy.load(head.data)["weight"].tobytes()[:16] for head in heads]
    return [person_id.encode(), f"Name of {person_id}".encode(), *embeddings, *tensors]


def traces(folder: Path, patterns: Iterable[bytes]) -> dict[str, int]:
    """How many of the patterns each file has, of files that have some."""
    wanted = list(patterns)
    found = {}
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        count = sum(pattern in data for pattern in wanted) + sum(one in path.name.encode() for one in wanted)
        if count:
            found[path.name] = count
    return found


def label(people: People, request: AddLabel) -> Labelled:
    (result,) = people.add_labels([request])
    if isinstance(result, MienError):
        raise result
    return result


def teach(people: People, person_id: str, seeds: range, place: str = "") -> list[Labelled]:
    """Let a person say something else than the base head of each moment."""
    requests = [moment(person_id, seed, says(otherwise(seed)), place) for seed in seeds]
    results = people.add_labels(requests)
    assert not [one for one in results if isinstance(one, MienError)]
    return [one for one in results if isinstance(one, Labelled)]


def personalise(people: People, person_id: str, learner: str = "", steps: int = 0) -> Any:
    return people.personalise(Personalise(person_id, learner, steps), lambda progress: None, lambda: False)
