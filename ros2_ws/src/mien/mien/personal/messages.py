"""What goes to and from the process that owns the store: one struct per request, one per answer.

Embeddings travel as the bytes of little-endian float32, heads as safetensors, as they are stored.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec
import safetensors.numpy

from mien.expression.head import HeadSpec
from mien.personal.samples import Label, Tensors


class Kind(IntEnum):
    """Whose head it is; the numbers are those of mien_msgs/Person."""

    PERSON = 0
    GROUP = 1
    PLACE = 2


class SubjectSatisfaction(msgspec.Struct, frozen=True):
    """How satisfied a person was with one subject over all remembered interactions.

    Attributes:
        subject: product or service; empty where none was named.
        interactions: how many.
        mean_score: -1 to 1; each interaction weighs its confidence times its observed seconds.
        last_score: of the newest one, -1 to 1.
        last_stamp_s: when that one ended.
    """

    subject: str
    interactions: int
    mean_score: float
    last_score: float
    last_stamp_s: float


class Person(msgspec.Struct, frozen=True):
    """An enrolled person, group or place.

    Attributes:
        person_id: opaque id.
        kind: person, group or place.
        display_name: as given; may be empty.
        consent: the person agreed to learning; always false for groups and places, which need none.
        consent_statement: what was agreed to.
        consent_time_s: when, seconds since 1970; 0 without consent.
        groups: groups and places this one belongs to, in the order in which their heads are looked up.
        samples: labelled moments that this model can learn from: a person's own, those of a group's members, those
            labelled at a place.
        foreign_samples: the same, of another model's embedding: kept, not learned from.
        head_version: of the head in use with this model; 0: the bundle's own.
        versions: of the stored heads that this model can use, oldest first.
        foreign_heads: stored heads of another model: kept, not applied.
        identities: stored identity embeddings of this identity network.
        satisfaction: one entry per subject.
    """

    person_id: str
    kind: Kind
    display_name: str
    consent: bool
    consent_statement: str
    consent_time_s: float
    groups: tuple[str, ...]
    samples: int
    foreign_samples: int
    head_version: int
    versions: tuple[int, ...]
    foreign_heads: int
    identities: int
    satisfaction: tuple[SubjectSatisfaction, ...]


class StoredHead(msgspec.Struct, frozen=True):
    """A head of a person, group or place as it is stored.

    Attributes:
        owner_id: whose it is.
        version: counted from 1 per owner; 0 is the bundle's own head.
        data: its tensors as safetensors; empty for version 0.
    """

    owner_id: str
    version: int
    data: bytes

    def tensors(self) -> Tensors | None:
        """The tensors for `Head`; None for version 0."""
        return safetensors.numpy.load(self.data) if self.version else None


class Identity(msgspec.Struct, frozen=True):
    """An identity embedding of an enrolled person: float32 bytes."""

    person_id: str
    embedding: bytes


class Labelled(msgspec.Struct, frozen=True):
    """A stored label, and what was learned from it.

    Attributes:
        sample_id: the stored moment.
        samples: labelled moments of this person after this one.
        head: the head in use from now on; None where it stays as it was.
        message: what was not learned, and why; empty when all was.
    """

    sample_id: str
    samples: int
    head: StoredHead | None
    message: str


class Outcome(msgspec.Struct, frozen=True):
    """What `personalise` came to.

    Attributes:
        success: a new head is in use.
        message: why not, and the remedy; or what was learned.
        head: the head in use after this.
        samples: used for learning.
        score_before: on held-out moments, 0 to 1, higher is better; NaN when there were too few.
        score_after: likewise.
        duration_s: what it took.
    """

    success: bool
    message: str
    head: StoredHead
    samples: int
    score_before: float
    score_after: float
    duration_s: float


class Forgotten(msgspec.Struct, frozen=True):
    """How much was removed.

    Attributes:
        samples: labelled moments of the person.
        heads: of the person, and of groups and places that had learned from the person.
        heads_in_use: what those groups and places use from now on.
    """

    samples: int
    heads: int
    heads_in_use: tuple[StoredHead, ...]


class Progress(msgspec.Struct, frozen=True):
    """How far `personalise` is; the feedback of mien_msgs/Personalize.

    Attributes:
        step: done.
        steps: in all.
        loss: of the last step.
        held_out_score: 0 to 1, higher is better; NaN while unknown.
    """

    step: int
    steps: int
    loss: float
    held_out_score: float


class Open(msgspec.Struct, frozen=True, tag=True):
    """The first request: which store, for which model. The fields are those of `People` and `BaseHead`."""

    folder: str
    spec: HeadSpec
    tensors: bytes
    labels: tuple[str, ...]
    embedding_size: int
    affect_range: tuple[float, float] | None
    embedding_id: str
    identity_id: str
    learner: str


class Enroll(msgspec.Struct, frozen=True, tag=True):
    """`People.enroll`."""

    kind: Kind
    person_id: str
    display_name: str
    consent: bool
    consent_statement: str
    groups: tuple[str, ...]
    identity: tuple[bytes, ...]


class AddIdentity(msgspec.Struct, frozen=True, tag=True):
    """`People.add_identity`."""

    person_id: str
    embedding: bytes


class AddLabel(msgspec.Struct, frozen=True, tag=True):
    """`People.add_label`: one label of one moment.

    Attributes:
        person_id: whose moment.
        place: id of the place where it was; empty where none is named.
        sample_id: of the moment, 1 to 64 letters, digits, _ or -; the same one again by another annotator is another
            label of the same moment, by the same annotator it replaces the label.
        stamp_s: of the image, seconds.
        embedding: float32 (D,) as bytes.
        label: what the annotator says.
    """

    person_id: str
    place: str
    sample_id: str
    stamp_s: float
    embedding: bytes
    label: Label


class Relabel(msgspec.Struct, frozen=True, tag=True):
    """`People.relabel`."""

    sample_id: str
    label: Label


class Personalise(msgspec.Struct, frozen=True, tag=True):
    """`People.personalise`; `run_id` tells this one apart from others of the same person."""

    person_id: str
    learner: str
    max_steps: int
    run_id: str = ""


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """End a `Personalise` that runs or waits; nothing is kept of it."""

    run_id: str


class Rollback(msgspec.Struct, frozen=True, tag=True):
    """`People.rollback`."""

    person_id: str
    version: int


class Forget(msgspec.Struct, frozen=True, tag=True):
    """`People.forget`."""

    person_id: str


class Export(msgspec.Struct, frozen=True, tag=True):
    """`People.export`."""

    person_id: str


class ListPeople(msgspec.Struct, frozen=True, tag=True):
    """`People.list_people`."""


class Heads(msgspec.Struct, frozen=True, tag=True):
    """`People.heads`."""


class Identities(msgspec.Struct, frozen=True, tag=True):
    """`People.identities`."""


class Problems(msgspec.Struct, frozen=True, tag=True):
    """`People.problems`."""


class RememberSatisfaction(msgspec.Struct, frozen=True, tag=True):
    """`People.remember_satisfaction`."""

    person_id: str
    subject: str
    score: float
    confidence: float
    observed_s: float
    stamp_s: float
