"""Of a bundle, what personalisation needs: its base head, and which embeddings are comparable."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import safetensors.numpy

from mien.bundle import Bundle
from mien.personal.dense import Dense
from mien.personal.samples import BaseHead


def base_head(bundle: Bundle) -> BaseHead:
    """The bundle's own head as learners take it.

    Raises:
        MienError: its file is damaged or does not fit the manifest.
    """
    bundle.load_head()  # says what is wrong with it
    manifest = bundle.manifest
    tensors = safetensors.numpy.load(bundle.read(manifest.head.file))
    affect = manifest.valence_arousal
    return BaseHead(
        spec=manifest.head.spec,
        tensors={name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()},
        labels=manifest.labels,
        embedding_size=manifest.backbone.embedding_size,
        affect_range=(affect.low, affect.high) if affect is not None and affect.source == "head" else None,
    )


def embedding_id(bundle: Bundle) -> str:
    """Which space the bundle's embeddings live in: equal for equal pixels through the same network.

    The precision does not count: it is named by the float32 file, from which the others are made.
    """
    return bundle.manifest.backbone.embedding_id


def head_id(base: BaseHead, embedding: str) -> str:
    """Which models can use a head: the same embedding, outputs, labels, range, and tensors of the same shapes.

    Args:
        base: the head of the model.
        embedding: its `embedding_id`.
    """
    names = {name for layer in Dense(base.spec).layers for name in (layer.weight, layer.bias)}
    shapes = [(name, base.tensors[name].shape) for name in sorted(names)]
    parts = (embedding, base.spec, base.labels, base.affect_range, shapes)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
