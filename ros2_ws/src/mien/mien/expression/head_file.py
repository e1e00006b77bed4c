"""The file of a head: safetensors, whose metadata say which embeddings and labels it was made for.

Names and shapes of two networks are often the same, but the head of one makes nonsense of the other's embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from mien.errors import MienError

_EMBEDDING, _LABELS = "embedding", "labels"
_Tensors = Mapping[str, NDArray[np.floating[Any]]]


def encode_head(tensors: _Tensors, embedding_id: str, labels: Sequence[str]) -> bytes:
    """A head file for the network with that `BackboneSpec.embedding_id`, and for labels in that order."""
    data: bytes = safetensors.numpy.save(dict(tensors), {_EMBEDDING: embedding_id, _LABELS: ", ".join(labels)})
    return data


def decode_head(data: bytes, path: Path, embedding_id: str, labels: Sequence[str]) -> _Tensors:
    """The tensors of a head file by name.

    Args:
        data: the file.
        path: for errors.
        embedding_id: of the network that it is for.
        labels: in the order of the head's outputs.

    Raises:
        MienError: it is damaged, or says that it was made for something else.
    """
    try:
        tensors: _Tensors = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError) as error:  # KeyError: a number type that numpy lacks
        raise MienError(
            f"{path} is not a safetensors file of numbers ({error})", "Export it again as float32 or float16"
        ) from error
    header = msgspec.json.decode(data[8 : 8 + int.from_bytes(data[:8], "little")])
    said = header.get("__metadata__", {})
    made_for, order = said.get(_EMBEDDING, embedding_id), said.get(_LABELS, ", ".join(labels))
    if made_for != embedding_id:
        raise MienError(
            f"{path} was made for another backbone, input or crop ({made_for[:12]}…, not {embedding_id[:12]}…)",
            "Give a head of this bundle's frozen part, exported with the same options, or the bundle it belongs to",
        )
    if order != ", ".join(labels):
        raise MienError(
            f"{path} tells {order or 'no classes'}, not {', '.join(labels) or 'none'}",
            "Give a head with the bundle's labels in their order, or the bundle it belongs to",
        )
    return tensors


def names_embedding(path: Path) -> bool:
    """Whether a head file says which network it was made for."""
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return _EMBEDDING in (file.metadata() or {})
    except (OSError, safetensors.SafetensorError):
        return False
