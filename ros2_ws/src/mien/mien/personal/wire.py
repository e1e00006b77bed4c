"""How requests and answers travel between a node, the process that owns the store, and the one that learns afresh.

Each message is its length, 4 bytes, and a MessagePack: of `Asked` or a `Task` one way, of `Answered`, `Failed` or
`Told` the other. Arrays travel as type, shape and bytes.
"""

from __future__ import annotations

import os
import sys
from typing import IO, Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

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
    Relabel,
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
    | Relabel
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


def array_to_wire(array: Any) -> tuple[str, tuple[int, ...], bytes]:
    """For msgspec, which asks about what it does not know: an array."""
    return array.dtype.str, array.shape, array.tobytes()


def array_from_wire(kind: Any, data: Any) -> NDArray[Any]:
    """The reverse of `array_to_wire`; cannot be written to."""
    del kind
    dtype, shape, values = data
    return np.frombuffer(values, dtype).reshape(shape)


def encode_message(message: Any) -> bytes:
    """A message as it is written."""
    data = msgspec.msgpack.encode(message, enc_hook=array_to_wire)
    return len(data).to_bytes(_LENGTH_BYTES, "little") + data


def read_message(file: IO[bytes]) -> bytes | None:
    """The next message; None at the end, also where that comes in the middle of one."""
    length = file.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    size = int.from_bytes(length, "little")
    data = file.read(size)
    return data if len(data) == size else None


def take_output() -> BinaryIO:
    """Standard output, for messages alone: whatever libraries print goes to standard error from now on."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output
