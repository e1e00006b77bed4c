"""What may be told about people: everything that comes from outside is looked at here before it is stored."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mien.errors import MienError
from mien.personal.messages import AddLabel, Enroll, Kind, RememberSatisfaction
from mien.personal.samples import BaseHead

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_CONTROL = re.compile(r"[^\t\n -~\u00a0-\ud7ff\ue000-\U0010ffff]")
_LONGEST = {"display_name": 256, "consent_statement": 4096, "subject": 256, "annotator": 64}


def check_enrolment(request: Enroll) -> None:
    """Of a person, group or place; raises MienError."""
    if request.person_id and not _ID.fullmatch(request.person_id):
        raise MienError(
            f"The id {request.person_id[:80]!r} cannot be used",
            "Give 1 to 64 letters, digits, _ or -, beginning with a letter or digit, or none to have one made",
        )
    _check_text("display_name", request.display_name)
    _check_text("consent_statement", request.consent_statement)
    if request.kind is not Kind.PERSON and (request.identity or request.groups):
        raise MienError("Groups and places have no face and belong to no group", "Leave face and groups empty")
    if request.kind is Kind.PERSON and not (request.consent and request.consent_statement.strip()):
        raise MienError(
            "A person is enrolled only with consent",
            "Ask the person, then give consent = true and what they agreed to as consent_statement; forget who takes "
            "it back",
        )


def check_label(request: AddLabel, base: BaseHead) -> None:
    """Of a label and its moment; raises MienError."""
    label = request.label
    if not _ID.fullmatch(request.sample_id) or not np.isfinite(request.stamp_s):
        raise MienError(
            f"The moment {request.sample_id[:80]!r} cannot be stored", "Give its id and time as it was told"
        )
    check_embedding("moment", request.embedding, base.embedding_size)
    if label.expression and label.expression not in base.labels:
        known = ", ".join(base.labels) or "no expressions"
        raise MienError(f"The model does not know the expression {label.expression[:80]!r}", f"It knows {known}")
    for name, value in (("valence", label.valence), ("arousal", label.arousal)):
        if not (np.isnan(value) or -1 <= value <= 1):
            raise MienError(f"{name} is {value}", "Give a value from -1 to 1")
    if label.is_empty:
        raise MienError("The label says nothing", "Give an expression, or valence and arousal, or both")
    _check_text("annotator", label.annotator)


def check_satisfaction(request: RememberSatisfaction) -> None:
    """Of one interaction; raises MienError."""
    _check_text("subject", request.subject)
    ranges = (
        ("score", request.score, -1.0, 1.0),
        ("confidence", request.confidence, 0.0, 1.0),
        ("observed_s", request.observed_s, 0.0, np.finfo(np.float64).max),
        ("stamp_s", request.stamp_s, 0.0, np.finfo(np.float64).max),
    )
    for name, value, low, high in ranges:
        if not low <= value <= high:  # NaN, too
            raise MienError(f"Satisfaction: {name} is {value}", f"Give a value from {low} to {high}")


def check_embedding(name: str, embedding: bytes, size: int) -> None:
    """Of float32 bytes; raises MienError where they are not that many finite numbers."""
    if len(embedding) != 4 * size:
        raise MienError(
            f"The embedding of the {name} has {len(embedding) / 4:g} numbers, {size} are needed",
            "Give what this model says of a face",
        )
    if not np.isfinite(np.frombuffer(embedding, "<f4")).all():
        raise MienError(f"The embedding of the {name} holds numbers that are not finite", "Take another moment")


def check_identities(embeddings: Sequence[bytes], size: int | None) -> None:
    """Of identity embeddings; raises MienError.

    Args:
        embeddings: float32 bytes.
        size: how many numbers those have that are stored already; None without any.
    """
    for embedding in embeddings:
        check_embedding("face", embedding, len(embeddings[0]) // 4 if size is None else size)
        if not np.frombuffer(embedding, "<f4").any():
            raise MienError("The embedding of the face is empty", "Take another look at the face")


def _check_text(name: str, text: str) -> None:
    if len(text) > _LONGEST[name]:
        raise MienError(f"{name} has {len(text)} characters", f"Give at most {_LONGEST[name]}")
    if _CONTROL.search(text):
        raise MienError(f"{name} has control characters", "Give plain text")
