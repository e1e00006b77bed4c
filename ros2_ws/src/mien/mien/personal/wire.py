"""How requests and answers travel between a node and the process that owns the store.

Each message is its length, 4 bytes, and a MessagePack of `Asked` one way, of `Answered`, `Failed` or `Told` the other.
"""

from __future__ import annotations

from typing import BinaryIO

import msgspec

from mien.personal.messages import (
    AddIdentity,
    AddLabel,
    Cancel,
    Enroll,
    Export,
    Forget,
    Heads,
    Identities,
    ListPeople,
    Open,
    Personalise,
    Problems,
    Progress,
    RememberSatisfaction,
    Rollback,
)

Request = (
    AddIdentity
    | AddLabel
    | Cancel
    | Enroll
    | Export
    | Forget
    | Heads
    | Identities
    | ListPeople
    | Open
    | Personalise
    | Problems
    | RememberSatisfaction
    | Rollback
)


class Asked(msgspec.Struct, frozen=True):
    """A request and its number, which its answer repeats."""

    number: int
    request: Request


class Answered(msgspec.Struct, frozen=True, tag=True):
    """The answer, as the request's type wants it."""

    number: int
    result: msgspec.Raw


class Failed(msgspec.Struct, frozen=True, tag=True):
    """There is no answer: a MienError."""

    number: int
    problem: str
    remedy: str


class Told(msgspec.Struct, frozen=True, tag=True):
    """How far it is; the answer comes later."""

    number: int
    progress: Progress


asked_decoder = msgspec.msgpack.Decoder(Asked)
answer_decoder = msgspec.msgpack.Decoder(Answered | Failed | Told)
_LENGTH_BYTES = 4


def encode_message(message: Asked | Answered | Failed | Told) -> bytes:
    """A message as it is written."""
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(_LENGTH_BYTES, "little") + data


def read_message(file: BinaryIO) -> bytes | None:
    """The next message; None at the end, also where that comes in the middle of one."""
    length = file.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    size = int.from_bytes(length, "little")
    data = file.read(size)
    return data if len(data) == size else None
